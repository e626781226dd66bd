import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { Agent, createServer, request, type Server } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { extension, fileLog, httpFilter, httpListener, listener, loopback, router, staticCluster } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

const types = "type.googleapis.com/envoy.extensions.filters";
const mutation = `${types}.http.header_mutation.v3.HeaderMutation`;
const rbac = `${types}.network.rbac.v3.RBAC`;
const header = (key: string) => ({ "@type": mutation, mutations: { request_mutations: [{ append: { header: { key, value: "1" } } }] } });
const allow = (action: string) => ({
	"@type": rbac,
	stat_prefix: "net",
	rules: { action, policies: { all: { permissions: [{ any: true }], principals: [{ any: true }] } } },
});

/** Configurations of filters that come from files, beside a real Envoy: the same files, changed while both serve. */
describe("extension configuration discovery, beside a real Envoy", { skip: skipReason }, () => {
	const folder = mkdtempSync(join(tmpdir(), "weft-ecds-"));
	const agents = [new Agent({ keepAlive: true, maxSockets: 1 }), new Agent({ keepAlive: true, maxSockets: 1 })] as const;
	let upstream: Server;
	let pair: readonly [Proxy, Proxy];
	let version = 0;

	const file = (name: string) => join(folder, `${name}.json`);
	const write = (name: string, resources: readonly object[]) => {
		const typed = resources.map((resource) => ({ "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", ...resource }));
		writeFileSync(`${file(name)}.new`, JSON.stringify({ version_info: `v${++version}`, resources: typed }));
		renameSync(`${file(name)}.new`, file(name));
	};
	const discovered = (name: string, typeUrl: string, more: object = {}, timeout = "1s") => ({
		name,
		config_discovery: { config_source: { path_config_source: { path: file(name) }, initial_fetch_timeout: timeout }, type_urls: [typeUrl], ...more },
	});
	const ask = (i: 0 | 1, listenerName: string) => askFor(pair[i], listenerName, agents[i]);
	const both = (listenerName: string) => Promise.all([ask(0, listenerName), ask(1, listenerName)]);
	/** Waits for both to have it, then compares. */
	const agree = async (listenerName: string, isThere: (answer: Answer) => boolean) => {
		let answers = await both(listenerName);
		for (const end = performance.now() + 20_000; performance.now() < end && !answers.every(isThere); await sleep(30)) answers = await both(listenerName);
		const plain = answers.map(({ status, body }) => ({ status, body }));
		assert.deepEqual(plain[1], plain[0]);
		assert.ok(isThere(answers[0]), JSON.stringify(answers[0]));
	};

	before(async () => {
		upstream = createServer((incoming, response) =>
			response.end(
				Object.keys(incoming.headers)
					.filter((name) => name.startsWith("x-ecds"))
					.join(),
			),
		);
		await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
		const address = upstream.address();
		const port = typeof address === "object" && address !== null ? address.port : 0;
		write("first", [{ name: "first", typed_config: header("x-ecds-one") }]);
		write("eager", [{ name: "eager", typed_config: header("x-ecds-eager") }]);
		write("last", [{ name: "last", typed_config: { "@type": `${types}.http.router.v3.Router` } }]);
		write("guard", [{ name: "guard", typed_config: allow("ALLOW") }]);
		// What they ask for is not in their files: a refusal ends the waiting.
		for (const name of ["missing", "fallback"]) write(name, [{ name, typed_config: { "@type": `${types}.http.cors.v3.Cors` } }]);
		const build = (accessLog: string) => {
			const routes = { virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "up" } }] }] };
			const log = [fileLog(accessLog, { code: "%RESPONSE_CODE%", flags: "%RESPONSE_FLAGS%" })];
			const http = (name: string, filters: readonly object[]) => httpListener(name, { route_config: routes, access_log: log, http_filters: filters });
			const fallback = { default_config: header("x-ecds-fallback") };
			const eager = { ...fallback, apply_default_config_without_warming: true };
			return {
				node: { id: "sidecar~1", cluster: "test" },
				admin: { address: loopback(0) },
				static_resources: {
					clusters: [staticCluster("up", port)],
					listeners: [
						http("changing", [discovered("first", mutation), router]),
						http("missing", [discovered("missing", mutation), router]),
						http("fallback", [discovered("fallback", mutation, fallback), router]),
						http("eager", [discovered("eager", mutation, eager), router]),
						http("last", [httpFilter("cors", "cors.v3.Cors"), discovered("last", `${types}.http.router.v3.Router`)]),
						listener("tcp", [discovered("guard", rbac), extension("echo", "extensions.filters.network.echo.v3.Echo")]),
					],
				},
			};
		};
		pair = await startPair(build, ["changing", "missing", "fallback", "eager", "last", "tcp"]);
	});
	after(async () => {
		for (const agent of agents) agent.destroy();
		for (const proxy of pair ?? []) await proxy.stop();
		upstream.close();
		rmSync(folder, { recursive: true, force: true });
	});

	test("what came, what did not, what stands in for it, and a router that came by itself", async () => {
		await agree("changing", ({ body }) => body === "x-ecds-one");
		await agree("missing", ({ status }) => status === 500);
		await agree("fallback", ({ body }) => body === "x-ecds-fallback");
		await agree("eager", ({ body }) => body === "x-ecds-eager");
		await agree("last", ({ status }) => status === 200);
		const lines = await logged(pair);
		assert.deepEqual(lines[1], lines[0]);
		assert.deepEqual(
			lines[0].filter(({ code }) => code === 500).map(({ flags }) => flags),
			["NFCF"],
		);
	});

	test("another configuration takes effect on connections that are there; one that is refused changes nothing", async () => {
		const sockets = await Promise.all(([0, 1] as const).map(async (i) => (await ask(i, "changing")).localPort));
		write("first", [{ name: "first", typed_config: header("x-ecds-two") }]);
		await agree("changing", ({ body }) => body === "x-ecds-two");
		write("first", [{ name: "first", typed_config: { "@type": `${types}.http.cors.v3.Cors` } }]);
		await rejections(pair, 1);
		await agree("changing", ({ body }) => body === "x-ecds-two");
		write("first", [{ name: "first", typed_config: header("x-ecds-three") }]);
		await agree("changing", ({ body }) => body === "x-ecds-three");
		assert.deepEqual(await Promise.all(([0, 1] as const).map(async (i) => (await ask(i, "changing")).localPort)), sockets);
		const counts = await Promise.all(
			pair.map((proxy) => proxy.counters(/^extension_config_discovery\.http_filter\.first\.(config|update_(success|rejected))/)),
		);
		const sorted = counts.map((one) => [...one].toSorted(([a], [b]) => (a < b ? -1 : 1)));
		assert.deepEqual(sorted[1], sorted[0]);
	});

	test("a network filter: connections that are there stay, new ones meet the new configuration", async () => {
		const open = await Promise.all(pair.map((proxy) => echo(proxy)));
		assert.deepEqual(
			open.map(({ answer }) => answer),
			["ping", "ping"],
		);
		write("guard", [{ name: "guard", typed_config: allow("DENY") }]);
		for (const proxy of pair) {
			let answer = "ping";
			for (const end = performance.now() + 20_000; performance.now() < end && answer !== ""; await sleep(30)) {
				const one = await echo(proxy);
				one.socket.destroy();
				({ answer } = one);
			}
			assert.equal(answer, "", proxy.name);
		}
		for (const { socket } of open) {
			socket.write("still");
			assert.equal(await new Promise((resolve) => socket.once("data", (bytes) => resolve(bytes.toString()))), "still");
			socket.destroy();
		}
	});

	test("the configuration dump", async () => {
		const [envoy, weft] = await Promise.all(pair.map(async (proxy) => JSON.parse(await proxy.admin("/config_dump?resource=ecds_filters")) as Dump));
		const plain = ({ configs }: Dump) =>
			configs.map(({ ecds_filter, version_info }) => ({ ecds_filter, version_info })).toSorted((a, b) => (a.ecds_filter.name < b.ecds_filter.name ? -1 : 1));
		const of = (dump: Dump | undefined, name: string) => dump && plain(dump).find(({ ecds_filter }) => ecds_filter.name === name);
		for (const name of ["first", "eager", "last"]) assert.deepEqual(of(weft, name), of(envoy, name));
		assert.ok(of(envoy, "first"));
	});
});

interface Dump {
	readonly configs: readonly { readonly ecds_filter: { readonly name: string }; readonly version_info: string }[];
}

interface Answer {
	readonly status: number;
	readonly body: string;
	/** Of the connection that it came by. */
	readonly localPort: number;
}

function askFor(proxy: Proxy, listenerName: string, agent: Agent): Promise<Answer> {
	return new Promise((resolve, reject) => {
		const sent = request({ host: "127.0.0.1", port: proxy.port(listenerName), path: "/", agent }, (response) => {
			let body = "";
			const { localPort = 0 } = response.socket;
			response.on("data", (bytes: Buffer) => (body += bytes.toString()));
			response.on("end", () => resolve({ status: response.statusCode ?? 0, body, localPort }));
		});
		sent.on("error", reject);
		sent.end();
	});
}

/** What comes back of `ping`; "" where the connection is closed instead. */
async function echo(proxy: Proxy) {
	const socket = connect(proxy.port("tcp"), "127.0.0.1");
	socket.on("error", () => {});
	const answer = await new Promise<string>((resolve) => {
		socket.once("data", (bytes) => resolve(bytes.toString()));
		socket.once("close", () => resolve(""));
		socket.write("ping");
	});
	return { socket, answer };
}

async function logged(pair: readonly Proxy[]) {
	for (const end = performance.now() + 20_000; performance.now() < end && pair.some((proxy) => proxy.log().length < 5); await sleep(30));
	return pair.map((proxy) => proxy.log()) as [ReturnType<Proxy["log"]>, ReturnType<Proxy["log"]>];
}

async function rejections(pair: readonly Proxy[], atLeast: number): Promise<void> {
	const name = "extension_config_discovery.http_filter.first.update_rejected";
	for (const proxy of pair) {
		for (const end = performance.now() + 20_000; performance.now() < end; await sleep(30))
			if (((await proxy.counters(/first/)).get(name) ?? 0) >= atLeast) break;
	}
}
