import assert from "node:assert/strict";
import { readFileSync, renameSync } from "node:fs";
import { request as requestHttp, type IncomingHttpHeaders, type RequestOptions } from "node:http";
import { request as requestHttps } from "node:https";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { exampleNames, loadExample } from "../../examples/proxy/src/example.ts";
import { type RunningExample, startExample } from "../../examples/proxy/src/start-example.ts";
import { findEnvoy } from "../../scripts/peers-find.mjs";

interface Answer {
	readonly status: number;
	readonly headers: IncomingHttpHeaders;
	readonly body: string;
}

interface Ask extends RequestOptions {
	readonly body?: string | Buffer;
	/** Present: over TLS, and these are its settings. */
	readonly tls?: Readonly<Record<string, unknown>>;
}

function ask(port: number, path: string, { body, tls, ...options }: Ask = {}): Promise<Answer> {
	return new Promise((resolve, reject) => {
		const all = { host: "127.0.0.1", port, path, agent: false, ...options, ...tls };
		const request = (tls === undefined ? requestHttp : requestHttps)(all, (response) => {
			const pieces: Buffer[] = [];
			response.on("data", (piece: Buffer) => pieces.push(piece));
			response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces).toString("latin1") }));
			response.on("error", reject);
		});
		request.on("error", reject);
		request.end(body);
	});
}

interface Echo {
	readonly version: string;
	readonly target: string;
	readonly headers: readonly (readonly [string, string])[];
}

const echoOf = ({ body }: Answer) => JSON.parse(body) as Echo;
const headerOf = (answer: Answer, name: string) => echoOf(answer).headers.find(([key]) => key.toLowerCase() === name)?.[1];

async function until<T>(look: () => Promise<T>, isGood: (value: T) => boolean): Promise<T> {
	const end = performance.now() + 15_000;
	let value = await look();
	while (!isGood(value) && performance.now() < end) {
		await sleep(100);
		value = await look();
	}
	return value;
}

/** What each tutorial promises. */
const promises: Readonly<Record<string, (running: RunningExample) => Promise<void>>> = {
	async "front-proxy"({ port }) {
		const first = echoOf(await ask(port(10000), "/service/1/hello"));
		const second = echoOf(await ask(port(10000), "/service/2/hello"));
		assert.deepEqual([first.version, second.version], ["one", "two"]);
		assert.equal((await ask(port(10000), "/elsewhere")).status, 404);
		assert.match((await ask(port(9901), "/clusters")).body, /^service1::127\.0\.0\.1:\d+::health_flags::healthy$/m);
	},
	async tls({ folder, port }) {
		const read = (name: string) => readFileSync(join(folder, "certs", name));
		const tls = { ca: read("ca.crt"), servername: "example.com" };
		const headers = { host: "example.com" };
		assert.equal(headerOf(await ask(port(10000), "/", { tls, headers }), "x-forwarded-proto"), "https");
		assert.equal(echoOf(await ask(port(10001), "/")).version, "backend");
		await assert.rejects(ask(port(10002), "/", { tls, headers }));
		const mutual = await ask(port(10002), "/", { tls: { ...tls, cert: read("client.crt"), key: read("client.key") }, headers });
		assert.match(headerOf(mutual, "x-forwarded-client-cert") ?? "", /DNS=client\.example\.com/);
	},
	async sni({ folder, port }) {
		const ca = readFileSync(join(folder, "certs", "ca.crt"));
		for (const name of ["one", "two", "three"]) {
			const answer = await ask(port(10000), "/", { tls: { ca, servername: `${name}.example.com` }, headers: { host: `${name}.example.com` } });
			assert.equal(echoOf(answer).version, name);
		}
		await assert.rejects(ask(port(10000), "/", { tls: { ca, servername: "four.example.com" } }));
	},
	async websocket({ port }) {
		const upgrade = { connection: "upgrade", upgrade: "websocket", "sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" };
		assert.equal((await ask(port(10000), "/other", { headers: upgrade })).status, 403);
		const socket = connect(port(10000), "127.0.0.1");
		const lines = Object.entries(upgrade).map(([name, value]) => `${name}: ${value}\r\n`);
		socket.write(`GET /chat HTTP/1.1\r\nhost: example.com\r\n${lines.join("")}\r\n`);
		const received: Buffer[] = [];
		socket.on("data", (piece: Buffer) => received.push(piece));
		const text = () => Promise.resolve(Buffer.concat(received).toString("latin1"));
		const head = await until(text, (seen) => seen.includes("\r\n\r\n"));
		assert.match(head, /^HTTP\/1\.1 101/);
		assert.match(head.toLowerCase(), /sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk\+xoo=/);
		socket.write(Buffer.concat([Buffer.from([0x81, 0x85, 0, 0, 0, 0]), Buffer.from("hello")]));
		assert.ok((await until(text, (seen) => seen.endsWith("\x81\x05hello"))).endsWith("\x81\x05hello"));
		socket.destroy();
	},
	async cors({ port }) {
		const preflight = await ask(port(10000), "/", {
			method: "OPTIONS",
			headers: { origin: "https://app.example.com", "access-control-request-method": "PUT" },
		});
		assert.deepEqual(
			[
				preflight.status,
				preflight.headers["access-control-allow-origin"],
				preflight.headers["access-control-allow-methods"],
				preflight.headers["access-control-max-age"],
			],
			[200, "https://app.example.com", "GET, PUT", "600"],
		);
		const origins = ["https://app.example.com", "https://shop.apps.example.com", "https://evil.test"];
		const allowed = await Promise.all(
			origins.map(async (origin) => (await ask(port(10000), "/", { headers: { origin } })).headers["access-control-allow-origin"]),
		);
		assert.deepEqual(allowed, ["https://app.example.com", "https://shop.apps.example.com", undefined]);
		const own = await ask(port(10000), "/private", { headers: { origin: "https://app.example.com" } });
		assert.equal(own.headers["access-control-allow-origin"], undefined);
	},
	async jwt({ folder, port }) {
		assert.equal((await ask(port(10000), "/open")).status, 200);
		assert.equal((await ask(port(10000), "/")).status, 401);
		const token = readFileSync(join(folder, "token.txt"), "utf8");
		const bad = await ask(port(10000), "/", { headers: { authorization: `Bearer ${token.slice(0, -8)}AAAAAAAA` } });
		assert.equal(bad.status, 401);
		const good = await ask(port(10000), "/", { headers: { authorization: `Bearer ${token}` } });
		const claims = JSON.parse(Buffer.from(headerOf(good, "x-jwt-payload") ?? "", "base64url").toString()) as { sub: string };
		assert.deepEqual([good.status, claims.sub, headerOf(good, "authorization")], [200, "alice", undefined]);
	},
	async "ext-authz"({ port }) {
		const stranger = await ask(port(10000), "/");
		assert.deepEqual([stranger.status, stranger.body], [403, "the password, please\n"]);
		const known = await ask(port(10000), "/", { headers: { authorization: "Bearer open-sesame" } });
		assert.deepEqual([known.status, headerOf(known, "x-current-user")], [200, "alice"]);
		assert.equal((await ask(port(10000), "/healthz")).status, 200);
	},
	async fault({ port }) {
		const aborted = await ask(port(10000), "/", { headers: { "x-fault": "abort" } });
		assert.deepEqual([aborted.status, aborted.body], [503, "fault filter abort"]);
		assert.equal((await ask(port(10000), "/", { headers: { "x-fault": "delay" } })).status, 200);
		assert.equal((await ask(port(10000), "/")).status, 200);
		const stats = (await ask(port(9901), "/stats?filter=fault")).body;
		assert.match(stats, /http\.fault\.fault\.aborts_injected: 1\n/);
		assert.match(stats, /http\.fault\.fault\.delays_injected: 1\n/);
	},
	async "local-rate-limit"({ port }) {
		const answers: Answer[] = [];
		for (let i = 0; i < 5; i++) answers.push(await ask(port(10000), "/"));
		assert.deepEqual(
			answers.map(({ status }) => status),
			[200, 200, 200, 429, 429],
		);
		assert.equal(answers[4]?.headers["x-local-rate-limit"], "true");
		assert.equal((await ask(port(10000), "/free")).status, 200);
		assert.match((await ask(port(9901), "/stats?filter=limited")).body, /limited\.http_local_rate_limit\.rate_limited: 2\n/);
	},
	async mirroring({ port }) {
		assert.equal(echoOf(await ask(port(10000), "/hello")).version, "backend");
		assert.equal(echoOf(await ask(port(10000), "/post", { method: "POST", body: "words" })).version, "backend");
		const look = async () => JSON.parse((await ask(port(8002), "/seen")).body) as { method: string; url: string; host: string; body: string }[];
		const seen = await until(look, (all) => all.length >= 2);
		assert.deepEqual(seen.map(({ method, url, body }) => `${method} ${url} ${body}`).sort(), ["GET /hello ", "POST /post words"]);
		// The port stays behind the name.
		assert.match(seen[0]?.host ?? "", /-shadow/);
	},
	async "dynamic-files"({ folder, port }) {
		const look = async () => echoOf(await ask(port(10000), "/")).version;
		const lookAnyway = () => look().catch(() => "");
		assert.equal(await until(lookAnyway, (version) => version === "one"), "one");
		renameSync(join(folder, "config/eds-two.yaml"), join(folder, "config/eds.yaml"));
		assert.equal(await until(look, (version) => version === "two"), "two");
		assert.match((await ask(port(9901), "/config_dump")).body, /"dynamic_active_clusters"/);
	},
	async "dynamic-control-plane"({ port }) {
		const look = async () => echoOf(await ask(port(10000), "/")).version;
		assert.equal(
			await until(
				() => look().catch(() => ""),
				(version) => version === "one",
			),
			"one",
		);
		assert.equal((await ask(port(8080), "/switch", { method: "POST" })).status, 200);
		assert.equal(await until(look, (version) => version === "two"), "two");
	},
	zipkin: (running) => traced(running, 9411, "x-b3-traceid", (value) => value, "checkout"),
	"open-telemetry": (running) => traced(running, 4318, "traceparent", (value) => value.split("-")[1] ?? "", "checkout"),
	async "grpc-bridge"({ port }) {
		const message = Buffer.from("\0\0\0\0\x05hello", "latin1");
		const headers = { "content-type": "application/grpc", te: "trailers" };
		const good = await ask(port(10000), "/echo.Echo/Say", { method: "POST", headers, body: message });
		assert.deepEqual([good.status, good.headers["grpc-status"], good.headers["content-length"], good.body], [200, "0", "10", message.toString("latin1")]);
		const bad = await ask(port(10000), "/echo.Echo/Nothing", { method: "POST", headers, body: message });
		assert.deepEqual([bad.headers["grpc-status"], bad.headers["grpc-message"]?.toString().startsWith("no%20method")], ["12", true]);
	},
};

/** Two hops of one request: their spans are of one trace, the inner one a child or the other half of the outer one. */
async function traced({ port }: RunningExample, collector: number, header: string, read: (value: string) => string, operation: string): Promise<void> {
	const answer = await ask(port(10000), "/cart", { headers: { "x-tenant": "acme" } });
	const traceId = read(headerOf(answer, header) ?? "");
	assert.match(traceId, /^[0-9a-f]{16,32}$/);
	interface Seen {
		readonly traceId: string;
		readonly parentId: string;
		readonly id: string;
		readonly name: string;
		readonly service: string;
		readonly tags: Readonly<Record<string, string>>;
	}
	const look = async () => (JSON.parse((await ask(port(collector), "/spans")).body) as Seen[]).filter((span) => span.traceId === traceId);
	const spans = await until(look, (all) => all.length >= 2);
	assert.equal(spans.length, 2);
	const outer = spans.find((span) => span.tags["upstream_cluster"] === "inner");
	const inner = spans.find((span) => span.tags["upstream_cluster"] === "backend");
	assert.deepEqual([outer?.name, outer?.parentId, outer?.service, outer?.tags["tenant"]], [operation, "", "shop", "acme"]);
	assert.equal(inner?.tags["http.status_code"], "200");
	assert.ok(inner?.id === outer?.id || inner?.parentId === outer?.id, "the inner span does not belong to the outer one");
}

const envoy = findEnvoy();
const proxies: readonly (readonly [name: string, path: string | undefined, skip: string | false])[] = [
	["weft-proxy", undefined, false],
	["a real Envoy", envoy, envoy === undefined ? "no Envoy here: npm run peers" : false],
];

for (const [proxy, path, skip] of proxies) {
	describe(`the examples in ${proxy}`, { skip }, () => {
		for (const [name, check] of Object.entries(promises)) {
			describe(name, () => {
				let running: RunningExample;
				const lines: string[] = [];
				before(async () => {
					running = await startExample(loadExample(name), { envoy: path, usesFreePorts: true, log: (line) => void lines.push(line) });
				});
				after(() => running.stop());
				test("does what it promises", async (t) => {
					t.after(() => (t.passed ? undefined : t.diagnostic(lines.slice(-20).join("\n"))));
					await check(running);
				});
			});
		}
	});
}

/** Those of clusters: cluster-examples.test.ts. */
const elsewhere = new Set(["health-checks", "load-balancing", "outlier", "priorities-and-panic"]);

test("every example has its promise", () => {
	const unchecked = exampleNames().filter((name) => !Object.hasOwn(promises, name) && !elsewhere.has(name));
	assert.deepEqual(unchecked, []);
});
