import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import type { HttpConnectionManager } from "../../config/http-connection-manager.ts";
import { defaultFaultKeys, type FaultPolicy } from "../../config/http-filters.ts";
import type { RetryPolicy } from "../../config/retry-policy.ts";
import type { Route } from "../../config/routes.ts";
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
import { answerHeads, bodyOf, exchange, get, ok, openClient, type RecordingUpstream, startUpstream, statusOf } from "./test-peers.ts";

const retryOn = (tokens: readonly string[], parts: Partial<RetryPolicy> = {}): RetryPolicy => ({
	retryOn: tokens,
	numRetries: 2,
	perTryTimeoutMs: undefined,
	perTryIdleTimeoutMs: undefined,
	retriableStatusCodes: [],
	retriableHeaders: [],
	retriableRequestHeaders: [],
	backOff: { baseMs: 1, maxMs: 2 },
	rateLimited: undefined,
	avoids: { previous: false, canary: false, metadata: [] },
	previousPriorities: undefined,
	hostSelectionAttemptsMax: 1,
	...parts,
});

for (const transport of ["auto", "raw", "net"] as const) {
	describe(`proxying over the ${transport} transport`, () => {
		let proxy: Standalone;
		let upstream: RecordingUpstream | undefined;
		let listeners = 0;
		before(async () => {
			proxy = await startStandalone(transport);
		});
		after(() => proxy.close());
		afterEach(() => {
			upstream?.close();
			assert.deepEqual(
				proxy.messages.filter((m) => m.kind === "log" && m.level === "error"),
				[],
			);
		});

		/** A listener of its own for each test, to a given upstream port. */
		async function serve(
			port: number,
			action: Partial<ReturnType<typeof forwardTo>> = {},
			manager: Partial<HttpConnectionManager> = {},
			route: Partial<Route> = {},
			cluster = {},
		): Promise<number> {
			const name = `l${++listeners}`;
			const table = tableOf([routeOf("/", { ...forwardTo(name), ...action }, route)]);
			await proxy.apply(
				updateOf({
					listeners: [listenerOf(name, [chainOf([managerOf(table, manager)])])],
					clusters: [clusterOf(name, cluster)],
					hosts: [hostsOf(name, [port])],
				}),
			);
			return proxy.port(name);
		}

		it("forwards a request and its response, less hop-by-hop headers, plus its own", async () => {
			upstream = await startUpstream(answerHeads(() => ok("hello", "keep-alive: timeout=5\r\nX-Up: 1\r\n")));
			const port = await serve(upstream.port);
			const response = await get(port, "/a?b", "X-Down: 1\r\nkeep-alive: 1\r\nte: gzip\r\n");
			assert.equal(bodyOf(response), "hello");
			assert.match(response, /x-up: 1\r\n/);
			assert.match(response, /server: envoy\r\n/);
			assert.match(response, /x-envoy-upstream-service-time: \d+\r\n/);
			assert.doesNotMatch(response, /keep-alive:/);
			const sent = upstream.received[0] ?? "";
			assert.match(sent, /^GET \/a\?b HTTP\/1\.1\r\nhost: h\r\n/);
			assert.match(sent, /x-down: 1\r\n/);
			assert.match(sent, /x-request-id: [0-9a-f-]{36}\r\n/);
			assert.match(sent, /x-forwarded-proto: http\r\n/);
			assert.doesNotMatch(sent, /keep-alive|te:|connection:/);
		});

		it("takes a head as large as the configuration says, in as many pieces as it comes", async () => {
			const lengths: number[] = [];
			upstream = await startUpstream(
				answerHeads((head) => {
					lengths.push(head.length);
					return ok("large");
				}),
			);
			const port = await serve(upstream.port, {}, { requestHeadersBytesMax: 1024 * 1024 });
			const fields = Array.from({ length: 10 }, (_, i) => `x-${i}: ${"y".repeat(50_000)}\r\n`);
			const client = await openClient(port);
			client.send("GET / HTTP/1.1\r\nhost: a\r\n");
			for (const field of fields) {
				client.send(field);
				await new Promise((done) => setTimeout(done, 5));
			}
			client.send("\r\n");
			assert.match(await client.until((text) => text.endsWith("large")), /^HTTP\/1\.1 200/);
			assert.ok((lengths[0] ?? 0) > 500_000);
			client.socket.destroy();
		});

		it("answers pipelined requests one after the other, in order", async () => {
			upstream = await startUpstream(answerHeads((head) => ok(/GET (\S+)/.exec(head)?.[1] ?? "")));
			const port = await serve(upstream.port);
			const response = await exchange(
				port,
				"GET /p1 HTTP/1.1\r\nhost: h\r\n\r\nGET /p2 HTTP/1.1\r\nhost: h\r\n\r\nGET /p3 HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
			);
			assert.deepEqual(response.match(/\/p[123]/g), ["/p1", "/p2", "/p3"]);
			assert.equal(upstream.sockets.length, 1);
		});

		it("passes chunked bodies both ways, framed anew", async () => {
			upstream = await startUpstream((socket, text) => {
				if (text.endsWith("0\r\n\r\n")) socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n4\r\ndefg\r\n0\r\nx-t: 1\r\n\r\n");
			});
			const port = await serve(upstream.port);
			const response = await exchange(port, "POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n2;ext=1\r\nhi\r\n0\r\n\r\n");
			assert.match(upstream.received[0] ?? "", /transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n$/);
			assert.equal(bodyOf(response), "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
		});

		it("passes a large body both ways unchanged while the receiver is slow", async () => {
			const size = 6 * 1024 * 1024;
			const body = "0123456789abcdef".repeat(size / 16);
			upstream = await startUpstream((socket, text) => {
				if (text.length >= size && text.includes("\r\n\r\n") && text.length === text.indexOf("\r\n\r\n") + 4 + size) socket.write(ok(bodyOf(text)), "latin1");
			});
			const port = await serve(upstream.port);
			const client = await openClient(port);
			client.send(`POST / HTTP/1.1\r\nhost: h\r\ncontent-length: ${size}\r\n\r\n`);
			client.send(body);
			client.socket.pause();
			setTimeout(() => client.socket.resume(), 100);
			const response = await client.until((text) => text.length >= size && bodyOf(text).length >= size);
			assert.equal(bodyOf(response) === body, true);
			client.socket.destroy();
		});

		it("gives no body to a direct response of 204 or 304, which a client would take for the next one", async () => {
			for (const status of [204, 304]) {
				const port = await serve(1, {}, {}, { action: { kind: "direct", status, body: Buffer.from("body") } });
				const response = await exchange(port, "GET /1 HTTP/1.1\r\nhost: h\r\n\r\nGET /2 HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
				const [first, second, rest] = response.split("\r\n\r\n");
				for (const head of [first, second]) assert.match(head ?? "", new RegExp(`^HTTP/1.1 ${status} `));
				assert.equal(rest, "");
			}
		});

		it("gives HEAD, 204 and 304 no body, and keeps the connections", async () => {
			upstream = await startUpstream(
				answerHeads((head) =>
					head.startsWith("HEAD") ? "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n" : `HTTP/1.1 ${head.includes("/204") ? 204 : 304} X\r\n\r\n`,
				),
			);
			const port = await serve(upstream.port);
			const response = await exchange(
				port,
				"HEAD /h HTTP/1.1\r\nhost: h\r\n\r\nGET /204 HTTP/1.1\r\nhost: h\r\n\r\nGET /304 HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
			);
			assert.deepEqual(response.match(/HTTP\/1\.1 \d+/g), ["HTTP/1.1 200", "HTTP/1.1 204", "HTTP/1.1 304"]);
			assert.match(response, /content-length: 9/);
			assert.equal(upstream.sockets.length, 1);
		});

		it("frames a response that ends with its connection", async () => {
			upstream = await startUpstream((socket) => void socket.end("HTTP/1.1 200 OK\r\n\r\nuntil the end"));
			const port = await serve(upstream.port);
			const client = await openClient(port);
			client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
			assert.match(await client.until((text) => text.endsWith("0\r\n\r\n")), /transfer-encoding: chunked\r\n[^]*\r\nd\r\nuntil the end\r\n0\r\n\r\n$/);
			client.socket.destroy();
		});

		it("answers Expect itself and forwards without it", async () => {
			upstream = await startUpstream((socket, text) => void (text.endsWith("hello") && socket.write(ok("done"))));
			const port = await serve(upstream.port);
			const client = await openClient(port);
			client.send("POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
			await client.until((text) => text.startsWith("HTTP/1.1 100 Continue\r\n\r\n"));
			client.send("hello");
			await client.until((text) => text.endsWith("done"));
			assert.doesNotMatch(upstream.received[0] ?? "", /expect:/);
			client.socket.destroy();
		});

		it("skips interim responses of the upstream", async () => {
			upstream = await startUpstream((socket) => void socket.write(`HTTP/1.1 100 Continue\r\n\r\n${ok("x")}`));
			const response = await get(await serve(upstream.port), "/");
			assert.equal(statusOf(response), 200);
			assert.equal(bodyOf(response), "x");
		});

		const refusals: readonly (readonly [string, string, number])[] = [
			["a request without host", "GET / HTTP/1.1\r\nconnection: close\r\n\r\n", 400],
			["a length beside chunks", "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400],
			["HTTP/1.0", "GET / HTTP/1.0\r\nhost: h\r\n\r\n", 426],
			["an unknown transfer coding", "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip\r\n\r\n", 501],
			["too many headers", `GET / HTTP/1.1\r\nhost: h\r\n${"x: 1\r\n".repeat(101)}\r\n`, 431],
			["a target that is no path", "GET nothing HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", 400],
			["an upgrade that is not allowed", "GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", 403],
			["CONNECT that is not allowed", "CONNECT h:80 HTTP/1.1\r\nhost: h:80\r\n\r\n", 404],
		];
		for (const [what, bytes, status] of refusals) {
			it(`refuses ${what} with ${status}, and the upstream sees nothing`, async () => {
				upstream = await startUpstream(answerHeads(() => ok("no")));
				assert.equal(statusOf(await exchange(await serve(upstream.port), bytes)), status);
				assert.deepEqual(upstream.received, []);
			});
		}

		it("does not pass on bytes that follow an ended, refused request", async () => {
			upstream = await startUpstream(answerHeads(() => ok("no")));
			const response = await exchange(
				await serve(upstream.port),
				"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabcGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n",
			);
			assert.equal(statusOf(response), 400);
			assert.deepEqual(upstream.received, []);
		});

		it("says 503 and why when the upstream refuses connections, cannot be found, or closes before answering", async () => {
			const closed = await startUpstream(() => {});
			const gone = closed.port;
			closed.close();
			const refused = await get(await serve(gone), "/");
			assert.equal(statusOf(refused), 503);
			assert.match(bodyOf(refused), /reset reason: remote connection failure/);
			upstream = await startUpstream((socket) => void socket.destroy());
			const dropped = await get(await serve(upstream.port), "/");
			assert.equal(statusOf(dropped), 503);
			assert.match(bodyOf(dropped), /reset reason: connection termination$/);
			const unknown = await get(await serve(upstream.port, { cluster: { kind: "cluster", name: "nowhere" } }), "/");
			assert.equal(statusOf(unknown), 503);
			const table = tableOf([routeOf("/only", forwardTo("x"))]);
			await proxy.apply(updateOf({ listeners: [listenerOf("noroute", [chainOf([managerOf(table)])])] }));
			assert.equal(statusOf(await get(proxy.port("noroute"), "/other")), 404);
		});

		it("says 502 to a malformed response", async () => {
			upstream = await startUpstream((socket) => void socket.write("HTTP/1.1 abc\r\n\r\n"));
			const response = await get(await serve(upstream.port), "/");
			assert.equal(statusOf(response), 502);
			assert.match(bodyOf(response), /reset reason: protocol error/);
		});

		it("cuts the client off when a response breaks in the middle", async () => {
			upstream = await startUpstream((socket) => void socket.end("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart"));
			const response = await get(await serve(upstream.port), "/");
			assert.equal(bodyOf(response), "part");
		});

		it("closes an idle upstream connection that speaks unasked, and the next client gets its own answer", async () => {
			upstream = await startUpstream(answerHeads((_, index) => ok(`answer ${index}`)));
			const port = await serve(upstream.port);
			assert.equal(bodyOf(await get(port, "/")), "answer 0");
			upstream.sockets[0]?.write(ok("poison"));
			await new Promise((resolve) => setTimeout(resolve, 30));
			assert.equal(bodyOf(await get(port, "/")), "answer 1");
			assert.equal(upstream.sockets.length, 2);
		});

		it("does not reuse a connection whose answer came with trailing bytes", async () => {
			upstream = await startUpstream(answerHeads((_, index) => (index === 0 ? `${ok("first")}${ok("poison")}` : ok("second"))));
			const port = await serve(upstream.port);
			assert.equal(bodyOf(await get(port, "/")), "first");
			assert.equal(bodyOf(await get(port, "/")), "second");
		});

		it("repeats a request once, unasked, when a reused connection dies without an answer", async () => {
			upstream = await startUpstream((socket, text, connection) => {
				const requests = text.split("\r\n\r\n").length - 1;
				if (connection === 0 && requests === 2) socket.destroy();
				else socket.write(ok(`connection ${connection}`));
			});
			const port = await serve(upstream.port);
			assert.equal(bodyOf(await get(port, "/")), "connection 0");
			assert.equal(bodyOf(await get(port, "/")), "connection 1");
		});

		it("does not repeat a POST that may have been acted upon", async () => {
			upstream = await startUpstream((socket, text, connection) => {
				if (connection === 0 && text.includes("POST")) socket.destroy();
				else socket.write(ok("fine"));
			});
			const port = await serve(upstream.port);
			await get(port, "/");
			assert.equal(statusOf(await exchange(port, "POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi")), 503);
		});

		it("retries by policy, body included, and gives up with the last answer", async () => {
			upstream = await startUpstream((socket, text) => {
				const posts = text.split("POST").length - 1;
				if (text.endsWith("body")) socket.write(posts < 3 ? "HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n" : ok("third"));
				if (text.endsWith("fail")) socket.write("HTTP/1.1 503 X\r\ncontent-length: 4\r\n\r\nlast");
			});
			let count = 0;
			const counting = await startUpstream((socket, text) => {
				if (!text.endsWith("body")) return;
				count++;
				socket.write(count < 3 ? "HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n" : ok("third"));
			});
			const port = await serve(counting.port, { retry: retryOn(["5xx"]) });
			const response = await exchange(port, "POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody");
			assert.equal(bodyOf(response), "third");
			assert.equal(count, 3);
			counting.close();
			const giveUp = await serve(upstream.port, { retry: retryOn(["5xx"], { numRetries: 1 }) });
			assert.equal(bodyOf(await exchange(giveUp, "POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 4\r\n\r\nfail")), "last");
		});

		it("gives up on a slow upstream at the route's timeout, and on a slow attempt at its own", async () => {
			let attempts = 0;
			upstream = await startUpstream((socket) => void (++attempts === 3 && socket.write(ok("late but there"))));
			const slow = await get(await serve(upstream.port, { timeoutMs: 40 }), "/");
			assert.equal(statusOf(slow), 504);
			assert.equal(bodyOf(slow), "upstream request timeout");
			const port = await serve(upstream.port, { timeoutMs: 1000, retry: retryOn(["gateway-error"], { perTryTimeoutMs: 30 }) });
			assert.equal(bodyOf(await get(port, "/")), "late but there");
		});

		it("delays and aborts as a fault policy says", async () => {
			upstream = await startUpstream(answerHeads(() => ok("untouched")));
			const all = { numerator: 100, denominator: 100 } as const;
			const fault = {
				delay: undefined,
				abort: undefined,
				responseRate: undefined,
				headers: [],
				upstreamCluster: "",
				downstreamNodes: [],
				maxActive: undefined,
				keys: defaultFaultKeys,
			};
			const filters = [{ kind: "fault", name: "fault", policy: fault } as const, { kind: "router", name: "router", suppressEnvoyHeaders: false } as const];
			const saying = (policy: FaultPolicy) => ({ filters: { fault: { disabled: false, config: { kind: "fault" as const, policy } } } });
			const aborting = await serve(upstream.port, {}, { filters }, saying({ ...fault, abort: { fraction: all, source: { kind: "http", status: 418 } } }));
			const aborted = await get(aborting, "/");
			assert.equal(statusOf(aborted), 418);
			assert.equal(bodyOf(aborted), "fault filter abort");
			const delaying = await serve(upstream.port, {}, { filters }, saying({ ...fault, delay: { fraction: all, source: { kind: "fixed", ms: 40 } } }));
			const startedAt = performance.now();
			assert.equal(bodyOf(await get(delaying, "/")), "untouched");
			assert.ok(performance.now() - startedAt >= 35);
		});

		it("sends a copy to a mirror and ignores what it says", async () => {
			upstream = await startUpstream(answerHeads(() => ok("main")));
			const shadow = await startUpstream(answerHeads(() => "HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n"));
			await proxy.apply(updateOf({ clusters: [clusterOf("shadow")], hosts: [hostsOf("shadow", [shadow.port])] }));
			const mirrors = [{ cluster: "shadow", fraction: { numerator: 100, denominator: 100 } as const, shadowSuffix: true }];
			assert.equal(bodyOf(await get(await serve(upstream.port, { mirrors }), "/m")), "main");
			await new Promise((resolve) => setTimeout(resolve, 30));
			assert.match(shadow.received[0] ?? "", /^GET \/m HTTP\/1\.1\r\nhost: h-shadow\r\n/);
			shadow.close();
			await proxy.apply({ ...updateOf({}), clusters: { upsert: [], remove: ["shadow"] } });
		});

		it("tunnels an allowed upgrade, and early bytes only after the upstream agreed", async () => {
			upstream = await startUpstream((socket, text) => {
				if (text.endsWith("\r\n\r\n"))
					setTimeout(() => socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nwelcome"), 20);
				else socket.write(`echo:${text.split("\r\n\r\n").at(-1)}`);
			});
			const port = await serve(upstream.port, {}, { upgrades: { websocket: true } });
			const client = await openClient(port);
			client.send("GET /ws HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nearly");
			await client.until((text) => text.includes("echo:early"));
			assert.match(client.text, /^HTTP\/1\.1 101 Switching Protocols\r\n[^]*upgrade: websocket\r\n/);
			client.socket.destroy();
		});

		it("passes nothing on and pools nothing when the upstream does not agree to an upgrade", async () => {
			upstream = await startUpstream(answerHeads(() => ok("no upgrade")));
			const port = await serve(upstream.port, {}, { upgrades: { websocket: true } });
			const response = await exchange(
				port,
				"GET /ws HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n",
			);
			assert.match(response, /^HTTP\/1\.1 200 /);
			assert.equal(bodyOf(response), "");
			assert.doesNotMatch(upstream.received.join(""), /smuggled/);
			await get(port, "/");
			assert.equal(upstream.sockets.length, 2);
		});

		it("holds the limit on requests of a cluster", async () => {
			upstream = await startUpstream((socket) => void setTimeout(() => socket.write(ok("x")), 40));
			const limits = { connectionsMax: 10, pendingRequestsMax: 10, requestsMax: 2, retriesMax: 3, retryBudget: undefined, tracksRemaining: false };
			const port = await serve(upstream.port, {}, {}, {}, { breakers: { default: limits, high: limits } });
			const responses = await Promise.all(Array.from({ length: 5 }, () => get(port, "/")));
			assert.deepEqual(responses.map(statusOf).sort(), [200, 200, 503, 503, 503]);
			assert.equal(responses.filter((r) => r.includes("x-envoy-overloaded: true")).length, 3);
		});

		it("puts an update in force for the next request on a connection that is open", async () => {
			upstream = await startUpstream(answerHeads(() => ok("old")));
			const other = await startUpstream(answerHeads(() => ok("new")));
			await proxy.apply(
				updateOf({
					listeners: [listenerOf("rds", [chainOf([managerOf(tableOf([]), { routes: { kind: "rds", name: "r" } })])])],
					clusters: [clusterOf("old"), clusterOf("new")],
					hosts: [hostsOf("old", [upstream.port]), hostsOf("new", [other.port])],
					routes: [tableOf([routeOf("/", forwardTo("old"))], "r")],
				}),
			);
			const client = await openClient(proxy.port("rds"));
			client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
			await client.until((text) => text.endsWith("old"));
			await proxy.apply({ ...updateOf({ routes: [tableOf([routeOf("/", forwardTo("new"))], "r")] }), clusters: { upsert: [], remove: ["old"] } });
			client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
			await client.until((text) => text.endsWith("new"));
			client.socket.destroy();
			other.close();
		});
	});
}
