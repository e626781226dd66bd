import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { after, afterEach, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type BandwidthLimit, defaultFaultKeys, type FaultPolicy, type HttpFilter } from "../../config/http-filters.ts";
import { answerHeads, bodyOf, get, ok, openClient, type RecordingUpstream, startUpstream } from "../http/test-peers.ts";
import {
	chainOf,
	clusterOf,
	forwardTo,
	hostsOf,
	listenerOf,
	managerOf,
	routeOf,
	type Standalone,
	startStandalone,
	tableOf,
	updateOf,
} from "../worker/standalone.ts";

const router: HttpFilter = { kind: "router", name: "router", suppressEnvoyHeaders: false };
const all = { numerator: 100, denominator: 100 } as const;
const noFault: FaultPolicy = {
	delay: undefined,
	abort: undefined,
	responseRate: undefined,
	headers: [],
	upstreamCluster: "",
	downstreamNodes: [],
	maxActive: undefined,
	keys: defaultFaultKeys,
};
/** 50 ms' bytes at once, the same every 50 ms. */
const slow = (kibPerSecond: number): HttpFilter => ({
	kind: "fault",
	name: "fault",
	policy: { ...noFault, responseRate: { fraction: all, source: { kind: "fixed", kibPerSecond } } },
});
let limits = 0;
const limited = (parts: Partial<BandwidthLimit>): HttpFilter => ({
	kind: "bandwidthLimit",
	name: "limit",
	limit: {
		statPrefix: "l",
		enabled: { value: true },
		limitsRequests: false,
		limitsResponses: false,
		kibPerSecond: 10,
		fillIntervalMs: 20,
		trailers: undefined,
		key: `bucket ${++limits}`,
		...parts,
	},
});
const grpcWeb: HttpFilter = { kind: "grpcWeb", name: "web" };

const authorization = {
	service: {
		kind: "http",
		cluster: "authz",
		authority: "authz",
		pathPrefix: "",
		timeoutMs: 1000,
		headersToAdd: [],
		allowedUpstreamHeaders: [{ kind: "exact", value: "x-checked", ignoreCase: false }],
		allowedUpstreamHeadersToAppend: [],
		allowedClientHeaders: [],
		allowedClientHeadersOnSuccess: [],
		metadataFromHeaders: [],
	},
	failureModeAllow: false,
	failureModeAllowHeaderAdd: false,
	body: undefined,
	statusOnError: 403,
	enabled: all,
	enabledMetadata: undefined,
	denyAtDisable: { value: false },
	statPrefix: "",
} as const;

describe("throttled streams", () => {
	let proxy: Standalone;
	let upstream: RecordingUpstream | undefined;
	let names = 0;
	before(async () => {
		proxy = await startStandalone();
	});
	after(() => proxy.close());
	afterEach(() => upstream?.close());

	async function serve(filters: readonly HttpFilter[], upgrades: Readonly<Record<string, boolean>> = {}): Promise<number> {
		const name = `t${++names}`;
		const table = tableOf([routeOf("/", forwardTo("up"))], name);
		const manager = managerOf(table, { filters: [...filters, router], statPrefix: name, upgrades });
		await proxy.apply(
			updateOf({ listeners: [listenerOf(name, [chainOf([manager])])], clusters: [clusterOf("up")], hosts: [hostsOf("up", [upstream?.port ?? 0])] }),
		);
		return proxy.port(name);
	}

	const timed = async <T>(run: Promise<T>): Promise<readonly [value: T, ms: number]> => {
		const startedAt = performance.now();
		return [await run, performance.now() - startedAt];
	};

	it("requests on one connection wait for the answers before them", async () => {
		upstream = await startUpstream(answerHeads((_, i) => ok(String(i).repeat(1000))));
		const client = await openClient(await serve([slow(5)]));
		client.send("GET /1 HTTP/1.1\r\nhost: h\r\n\r\nGET /2 HTTP/1.1\r\nhost: h\r\n\r\n");
		const [text, ms] = await timed(client.until((got) => got.endsWith("1".repeat(1000))));
		assert.match(text, /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n0{1000}HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n1{1000}$/);
		assert.ok(ms > 200, `${ms} ms`);
		client.socket.destroy();
	});

	it("what is slowed down twice is as slow as the slower", async () => {
		upstream = await startUpstream(answerHeads(() => ok("ab".repeat(1000))));
		const [text, ms] = await timed(get(await serve([slow(5), limited({ limitsResponses: true, kibPerSecond: 1000 }), slow(1000)]), "/"));
		assert.equal(bodyOf(text), "ab".repeat(1000));
		assert.ok(ms > 200, `${ms} ms`);
	});

	it("filters on either side of it see the whole body before the end", async () => {
		const frame = `\0\0\0\x01\0${"m".repeat(256)}`;
		const message = `HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\ntrailer: grpc-status\r\n\r\n105\r\n${frame}\r\n0\r\ngrpc-status: 0\r\n\r\n`;
		for (const filters of [
			[slow(3), grpcWeb],
			[grpcWeb, slow(3)],
		]) {
			upstream = await startUpstream((socket, text) => void (text.endsWith("0\r\n\r\n") && socket.write(message, "latin1")));
			const client = await openClient(await serve(filters));
			client.send("POST /a.B/C HTTP/1.1\r\nhost: h\r\ncontent-type: application/grpc-web-text\r\ncontent-length: 8\r\n\r\nAAAAAAA=");
			const text = await client.until((got) => got.endsWith("\r\n0\r\n\r\n"));
			const body = Array.from(bodyOf(text).matchAll(/[0-9a-f]+\r\n([A-Za-z0-9+/=]*)\r\n/g), ([, piece]) => piece).join("");
			assert.ok(Buffer.from(body, "base64").toString("latin1").startsWith(frame), text);
			client.socket.destroy();
			upstream.close();
		}
	});

	it("a request waits, and its end with it; the host hears all of it", async () => {
		upstream = await startUpstream((socket, text) => void (text.endsWith("z") && socket.write(ok("got it"))));
		const port = await serve([limited({ limitsRequests: true, kibPerSecond: 2 })]);
		const client = await openClient(port);
		const body = `${"y".repeat(2999)}z`;
		client.send(`POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3000\r\n\r\n${body}`);
		const [, ms] = await timed(client.until((got) => got.endsWith("got it")));
		assert.ok(ms > 300, `${ms} ms`);
		assert.equal(bodyOf(upstream.received[0] ?? ""), body);
		client.socket.destroy();
	});

	it("an answer to a request that still waits ends it", async () => {
		upstream = await startUpstream(answerHeads(() => ok("early")));
		const client = await openClient(await serve([limited({ limitsRequests: true, kibPerSecond: 1 })]));
		client.send(`POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5000\r\n\r\n${"y".repeat(5000)}GET /next HTTP/1.1\r\nhost: h\r\n\r\n`);
		await client.until((got) => got.split("early").length === 3);
		client.socket.destroy();
	});

	it("bytes of a tunnel wait in both directions, and so does the client's end", async () => {
		const switching = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
		upstream = await startUpstream((socket, text, i) => {
			if (i !== 0 || !text.endsWith("\r\n\r\n")) return;
			socket.write(`${switching}${"w".repeat(1500)}`);
			socket.on("end", () => socket.end("bye"));
		});
		const client = await openClient(await serve([limited({ limitsRequests: true, limitsResponses: true, kibPerSecond: 2 })], { websocket: true }));
		client.send("GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
		await client.until((got) => got.endsWith("w".repeat(1500)));
		client.socket.end("c".repeat(1500));
		const [text, ms] = await timed(client.until((got) => got.endsWith("bye")));
		assert.ok(ms > 200, `${ms} ms`);
		assert.ok(text.endsWith(`${"w".repeat(1500)}bye`));
		assert.ok(upstream.received[0]?.endsWith("c".repeat(1500)));
	});

	it("a route that a filter chooses later has a rate of its own, and what was begun goes on once", async () => {
		const body = Array.from({ length: 500 }, (_, i) => String(1000 + i)).join("");
		upstream = await startUpstream(answerHeads(() => ok(body)));
		const rate = (kibPerSecond: number) => {
			const { policy } = slow(kibPerSecond) as Extract<HttpFilter, { kind: "fault" }>;
			return { filters: { fault: { disabled: false, config: { kind: "fault" as const, policy } } } };
		};
		const marked: HttpFilter = {
			kind: "extAuthz",
			name: "authz",
			authz: { ...authorization, clearRouteCache: true, allowedHeaders: [], disallowedHeaders: [] },
		};
		const header = { name: "x-checked", match: { kind: "present" }, invert: false, treatMissingAsEmpty: false } as const;
		const later = routeOf("/", forwardTo("up"), rate(6));
		const routes = [{ ...later, headers: [header] }, routeOf("/", forwardTo("up"), rate(5))];
		const authorizer = await startUpstream(answerHeads(() => ok("", "x-checked: yes\r\n")));
		const name = `t${++names}`;
		const manager = managerOf(tableOf(routes, name), { filters: [{ kind: "fault", name: "fault", policy: noFault }, marked, router], statPrefix: name });
		const clusters = [clusterOf("up"), clusterOf("authz")];
		const hosts = [hostsOf("up", [upstream.port]), hostsOf("authz", [authorizer.port])];
		await proxy.apply(updateOf({ listeners: [listenerOf(name, [chainOf([manager])])], clusters, hosts }));
		const [text, ms] = await timed(get(proxy.port(name), "/"));
		assert.equal(bodyOf(text), body);
		assert.ok(ms > 200, `${ms} ms`);
		assert.match(upstream.received[0] ?? "", /x-checked: yes/);
		authorizer.close();
	});

	it("a client that goes away takes what waits with it, and its connection goes on with other streams", async () => {
		upstream = await startUpstream(answerHeads((head) => ok("x".repeat(head.includes("/long") ? 100_000 : 10))));
		const session = connectHttp2(`http://127.0.0.1:${await serve([slow(5)])}`);
		const long = session.request({ ":path": "/long" });
		await new Promise((resolve) => long.once("data", resolve));
		long.close(8);
		const short = session.request({ ":path": "/short" });
		let text = "";
		for await (const piece of short.setEncoding("latin1")) text += piece;
		assert.equal(text, "x".repeat(10));
		await sleep(120);
		session.destroy();
	});
});
