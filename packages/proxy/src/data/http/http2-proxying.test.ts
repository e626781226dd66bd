import assert from "node:assert/strict";
import { createServer, type IncomingMessage, request as http1Request, type Server, type ServerResponse } from "node:http";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { after, afterEach, before, describe, it } from "node:test";
import type { Cluster } from "../../config/clusters.ts";
import type { HttpConnectionManager } from "../../config/http-connection-manager.ts";
import type { RetryPolicy } from "../../config/retry-policy.ts";
import type { Route } from "../../config/routes.ts";
import { http2Defaults } from "../../config/http2-defaults.ts";
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
import { answerOf, type Http2Answer, type Http2Server, openSession, readAll, request, send, startHttp2Server } from "./http2-test-peers.ts";
import { errorCode, frameFlag, frameType, settingId } from "../http2/protocol.ts";
import { frame, headers, openRawClient, requestFields, settings, startRawServer, uint32 } from "../http2/test-frames.ts";
import { answerHeads, exchange, ok, openClient, startUpstream } from "./test-peers.ts";

const http2Cluster: Partial<Cluster> = { upstreamProtocol: "http2", http1: { headerCase: "lower", enableTrailers: true } };
const withTrailers = {
	acceptHttp10: false,
	allowAbsoluteUrl: true,
	allowCustomMethods: false,
	defaultHostForHttp10: "",
	enableTrailers: true,
	headerCase: "lower",
} as const;
const retryNever: RetryPolicy = {
	retryOn: [],
	numRetries: 0,
	perTryTimeoutMs: undefined,
	perTryIdleTimeoutMs: undefined,
	retriableStatusCodes: [],
	retriableHeaders: [],
	retriableRequestHeaders: [],
	backOff: { baseMs: 1, maxMs: 2 },
	rateLimited: undefined,
	avoids: { previous: false, canary: false, metadata: [] },
	previousPriorities: undefined,
	hostSelectionAttemptsMax: 0,
};
const large = Buffer.alloc(5_000_000, "abcdefghij");

describe("HTTP/2", () => {
	let proxy: Standalone;
	let names = 0;
	const closers: (() => void)[] = [];
	before(async () => {
		proxy = await startStandalone();
	});
	after(() => proxy.close());
	afterEach(() => {
		for (const close of closers.splice(0)) close();
	});

	async function serve(
		upstreamPort: number,
		cluster: Partial<Cluster> = {},
		manager: Partial<HttpConnectionManager> = {},
		action: Partial<Extract<Route["action"], { kind: "route" }>> = {},
	): Promise<number> {
		const name = `l${++names}`;
		const chain = chainOf([managerOf(tableOf([routeOf("/", { ...forwardTo(name), ...action })]), { http1: withTrailers, ...manager })]);
		await proxy.apply(
			updateOf({ listeners: [listenerOf(name, [chain])], clusters: [clusterOf(name, cluster)], hosts: [{ ...hostsOf("", [upstreamPort]), cluster: name }] }),
		);
		return proxy.port(name);
	}

	const counterOf = (prefix: string, name: string): number => {
		const block = proxy.worker.context.stats.dump().counters.find((found) => found.prefix === prefix && found.names.includes(name));
		return block?.values[block.names.indexOf(name)] ?? -1;
	};

	/** Says what it was sent: method, path, size of the body, trailers; and `large` for /large. */
	async function startHttp2Echo(): Promise<Http2Server> {
		const server = await startHttp2Server((stream, headers) => {
			let trailers: IncomingHttpHeaders = {};
			stream.on("trailers", (fields) => (trailers = fields));
			void readAll(stream).then(
				(body) => answerEcho(stream, headers, body, trailers),
				() => {},
			);
		});
		closers.push(() => server.close());
		return server;
	}

	function answerEcho(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, body: Buffer, trailers: IncomingHttpHeaders): void {
		const said = { method: headers[":method"], path: headers[":path"], bytes: body.length, trailer: trailers["x-sent"], cookie: headers["cookie"] };
		stream.respond({ ":status": 200, "x-kind": "echo" }, { waitForTrailers: true });
		stream.on("wantTrailers", () => stream.sendTrailers({ "x-got": "t" }));
		stream.end(headers[":path"] === "/large" ? large : JSON.stringify(said));
	}

	async function startHttp1Echo(): Promise<{ readonly port: number }> {
		const server: Server = createServer((incoming: IncomingMessage, response: ServerResponse) => {
			const pieces: Buffer[] = [];
			incoming.on("data", (bytes: Buffer) => pieces.push(bytes));
			incoming.on("end", () => {
				const bytes = Buffer.concat(pieces).length;
				const { method, url: path, headers } = incoming;
				const said = { method, path, bytes, trailer: incoming.trailers["x-sent"], cookie: headers.cookie };
				response.writeHead(200, { "x-kind": "echo", trailer: "x-got", "transfer-encoding": "chunked" });
				response.addTrailers({ "x-got": "t" });
				response.end(path === "/large" ? large : JSON.stringify(said));
			});
		});
		await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
		closers.push(() => {
			server.close();
			server.closeAllConnections();
		});
		return { port: (server.address() as AddressInfo).port };
	}

	async function openTo(port: number): Promise<Awaited<ReturnType<typeof openSession>>> {
		const session = await openSession(port);
		closers.push(() => session.destroy());
		return session;
	}

	function http1(port: number, method: string, path: string, body?: Buffer): Promise<Http2Answer> {
		return new Promise((resolve, reject) => {
			const outgoing = http1Request(
				{ port, host: "127.0.0.1", method, path, headers: body === undefined ? {} : { "transfer-encoding": "chunked", trailer: "x-sent" } },
				(answer) => {
					const pieces: Buffer[] = [];
					answer.on("data", (bytes: Buffer) => pieces.push(bytes));
					answer.on("end", () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(pieces), trailers: answer.trailers }));
				},
			);
			outgoing.on("error", reject);
			if (body !== undefined) outgoing.addTrailers({ "x-sent": "s" });
			outgoing.end(body);
		});
	}

	for (const upstream of ["HTTP/1.1", "HTTP/2"] as const) {
		for (const downstream of ["HTTP/1.1", "HTTP/2"] as const) {
			it(`${downstream} from the client, ${upstream} to the host: bodies of any size and trailers both ways`, async () => {
				const host = upstream === "HTTP/2" ? await startHttp2Echo() : await startHttp1Echo();
				const port = await serve(host.port, upstream === "HTTP/2" ? http2Cluster : { http1: { headerCase: "lower", enableTrailers: true } });
				const session = downstream === "HTTP/2" ? await openTo(port) : undefined;
				const ask = (method: string, path: string, body?: Buffer): Promise<Http2Answer> =>
					session === undefined
						? http1(port, method, path, body)
						: request(session, { ":method": method, ":path": path }, body, body === undefined ? undefined : { "x-sent": "s" });
				for (const bytes of [undefined, 0, 1, 70_000, 3_000_000]) {
					const answer = await ask(bytes === undefined ? "GET" : "POST", "/some?q=1", bytes === undefined ? undefined : Buffer.alloc(bytes, 1));
					assert.equal(answer.status, 200);
					assert.equal(answer.headers["x-kind"], "echo");
					const said = JSON.parse(answer.body.toString()) as Record<string, unknown>;
					assert.deepEqual(said, {
						method: bytes === undefined ? "GET" : "POST",
						path: "/some?q=1",
						bytes: bytes ?? 0,
						...(bytes === undefined ? {} : { trailer: "s" }),
					});
					assert.equal(answer.trailers["x-got"], "t");
				}
				const answers = await Promise.all([ask("GET", "/large"), ask("GET", "/large"), ask("GET", "/small")]);
				assert.ok(answers[0]?.body.equals(large) && answers[1]?.body.equals(large));
				assert.equal((await ask("HEAD", "/large")).body.length, 0);
			});
		}
	}

	it("a request without content tells a host of HTTP/1 so where that expects some (RFC 9110 8.6)", async () => {
		const host = await startUpstream(answerHeads(() => ok("")));
		closers.push(() => host.close());
		const session = await openTo(await serve(host.port));
		for (const method of ["POST", "PUT", "PATCH", "GET", "DELETE"]) await request(session, { ":method": method, ":path": "/" });
		const heads = host.received.join("").split("\r\n\r\n").slice(0, 5);
		assert.deepEqual(
			// Once: two of them are two messages to some servers.
			heads.map((head) => head.match(/^content-length: 0$/gm)?.length ?? 0),
			[1, 1, 1, 0, 0],
		);
	});

	it("cookies that came in pieces leave as one (RFC 9113 8.2.3)", async () => {
		const host = await startHttp1Echo();
		const session = await openTo(await serve(host.port));
		const answer = await request(session, { ":path": "/", cookie: ["a=1", "b=2"] });
		assert.equal(JSON.parse(answer.body.toString()).cookie, "a=1; b=2");
	});

	it("many requests share one connection to the host, and more connections are made where it takes few streams", async () => {
		const waiting: ServerHttp2Stream[] = [];
		const take = (stream: ServerHttp2Stream) => void waiting.push(stream);
		for (const [limit, connections] of [
			[100, 1],
			[2, 4],
		] as const) {
			const host = await startHttp2Server(take, { maxConcurrentStreams: limit });
			closers.push(() => host.close());
			const port = await serve(host.port, { ...http2Cluster, http2: { ...http2Defaults, maxConcurrentStreams: limit } });
			const session = await openTo(port);
			const answers = Array.from({ length: 8 }, () => request(session, { ":path": "/" }));
			while (waiting.length < 8) await new Promise((resolve) => setTimeout(resolve, 5));
			assert.equal(host.sessions.length, connections);
			for (const stream of waiting.splice(0)) {
				stream.respond({ ":status": 204 });
				stream.end();
			}
			for (const answer of await Promise.all(answers)) assert.equal(answer.status, 204);
		}
	});

	it("a stream that the client resets is reset towards the host, and the connections stay", async () => {
		const { promise, resolve } = Promise.withResolvers<number>();
		const host = await startHttp2Server((stream, headers) => {
			if (headers[":path"] !== "/wait") return stream.respond({ ":status": 204 }, { endStream: true });
			stream.on("close", () => resolve(stream.rstCode));
			stream.respond({ ":status": 200 });
			stream.write("x");
		});
		closers.push(() => host.close());
		const session = await openTo(await serve(host.port, http2Cluster));
		const stream = send(session, { ":path": "/wait" });
		await new Promise((done) => stream.once("data", done));
		stream.close(8);
		assert.equal(await promise, 2);
		assert.equal((await request(session, { ":path": "/" })).status, 204);
		assert.equal(host.sessions.length, 1);
	});

	it("a reset by the host before its response is a 503 with its reason, and after it a reset", async () => {
		const host = await startRawServer(async (peer) => {
			for (const [streamId, code] of [
				[1, errorCode.internalError],
				[3, errorCode.refusedStream],
				[5, errorCode.internalError],
			] as const) {
				await peer.next((found) => found.type === frameType.headers && found.streamId === streamId);
				if (streamId === 5) peer.send(headers(streamId, [[":status", "200"]], frameFlag.endHeaders), frame(frameType.data, 0, streamId, "begun"));
				peer.send(frame(frameType.rstStream, 0, streamId, uint32(code)));
			}
		});
		closers.push(() => host.close());
		const session = await openTo(await serve(host.port, http2Cluster));
		const early = await request(session, { ":path": "/" });
		assert.equal(early.status, 503);
		assert.equal(early.body.toString(), "upstream connect error or disconnect/reset before headers. reset reason: remote reset");
		const refused = await request(session, { ":path": "/refuse" });
		assert.equal(refused.body.toString(), "upstream connect error or disconnect/reset before headers. reset reason: remote refused stream reset");
		await assert.rejects(request(session, { ":path": "/late" }), /NGHTTP2_INTERNAL_ERROR/);
	});

	it("a body where there is none, of 204 or in answer to HEAD, is not passed on (RFC 9110 6.4.1)", async () => {
		for (const [method, status] of [
			["GET", "204"],
			["HEAD", "200"],
		] as const) {
			const host = await startRawServer(async (peer) => {
				await peer.next(({ type }) => type === frameType.headers);
				peer.send(headers(1, [[":status", status]], frameFlag.endHeaders), frame(frameType.data, frameFlag.endStream, 1, "body"));
			});
			closers.push(() => host.close());
			const session = await openTo(await serve(host.port, http2Cluster));
			await assert.rejects(request(session, { ":method": method, ":path": "/" }), /NGHTTP2_INTERNAL_ERROR/);
			const reset = await host.peers[0]?.next(({ type }) => type === frameType.rstStream);
			assert.equal(reset?.payload.readUInt32BE(0), errorCode.protocolError);
		}
	});

	it("a host that goes away before it looked at a request gets none of the blame: another connection takes it", async () => {
		const host = await startRawServer(async (peer) => {
			const { streamId } = await peer.next(({ type }) => type === frameType.headers);
			if (host.peers.length === 1) peer.send(frame(frameType.goaway, 0, 0, uint32(0, errorCode.noError)));
			else peer.send(headers(streamId, [[":status", "204"]]));
		});
		closers.push(() => host.close());
		const session = await openTo(await serve(host.port, http2Cluster));
		assert.equal((await request(session, { ":path": "/", ":method": "POST" }, "body")).status, 204);
		assert.equal(host.peers.length, 2);
	});

	it("a refused stream is tried again by policy, though its window had stopped the client", async () => {
		const bytes = 600_000;
		const small = { ...http2Defaults, streamWindow: 131_072, connectionWindow: 131_072 };
		let received = 0;
		const host = await startRawServer(async (peer) => {
			await peer.next(({ type, streamId }) => type === frameType.headers && streamId === 1);
			// 65 535 bytes come, the rest waits.
			await peer.until(() => peer.frames.filter(({ type }) => type === frameType.data).length >= 4);
			await new Promise((resolve) => setTimeout(resolve, 50));
			// From now on there is room, so that nothing tells the next attempt to go on.
			peer.send(
				frame(frameType.rstStream, 0, 1, uint32(errorCode.refusedStream)),
				settings([settingId.initialWindowSize, 1_000_000]),
				frame(frameType.windowUpdate, 0, 0, uint32(1_000_000)),
			);
			await peer.next(({ type, streamId, flags }) => type === frameType.data && streamId === 3 && flags === frameFlag.endStream);
			for (const { type, streamId, payload } of peer.frames) if (type === frameType.data && streamId === 3) received += payload.length;
			peer.send(headers(3, [[":status", "204"]]));
		});
		closers.push(() => host.close());
		const session = await openTo(
			await serve(host.port, http2Cluster, { http2: small }, { retry: { ...retryNever, retryOn: ["refused-stream"], numRetries: 1 } }),
		);
		assert.equal((await request(session, { ":path": "/", ":method": "POST" }, Buffer.alloc(bytes))).status, 204);
		assert.equal(received, bytes);
	});

	it("an answer before the request's end ends the request with NO_ERROR (RFC 9113 8.1)", async () => {
		const host = await startHttp2Server((stream) => stream.respond({ ":status": 413 }, { endStream: true }));
		closers.push(() => host.close());
		const session = await openTo(await serve(host.port, http2Cluster));
		const stream = session.request({ ":method": "POST", ":path": "/", ":authority": "h" });
		stream.write("more to come");
		assert.equal((await answerOf(stream)).status, 413);
	});

	for (const [from, to] of [
		["HTTP/1.1", "HTTP/2"],
		["HTTP/2", "HTTP/1.1"],
		["HTTP/2", "HTTP/2"],
	] as const) {
		it(`websocket over ${from} from the client and ${to} to the host (RFC 8441)`, async () => {
			const upgrades = { websocket: true };
			const http2 = { ...http2Defaults, allowConnect: true };
			const hostPort = to === "HTTP/2" ? await startHttp2Tunnel() : await startHttp1Tunnel();
			const port = await serve(hostPort, to === "HTTP/2" ? http2Cluster : {}, { upgrades, http2 }, { upgrades });
			if (from === "HTTP/2") {
				const session = await openTo(port);
				if (session.remoteSettings.enableConnectProtocol !== true) await new Promise((resolve) => session.once("remoteSettings", resolve));
				const stream = session.request({ ":method": "CONNECT", ":protocol": "websocket", ":path": "/chat", ":scheme": "http", ":authority": "h" });
				const head = await new Promise<{ readonly ":status"?: number }>((resolve) => stream.once("response", resolve));
				assert.equal(head[":status"], 200);
				stream.write("ping");
				assert.equal((await new Promise<Buffer>((resolve) => stream.once("data", resolve))).toString(), "pong ping");
				stream.close();
			} else {
				const client = await openClient(port);
				client.send("GET /chat HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
				const head = await client.until((text) => text.includes("\r\n\r\n"));
				assert.match(head, /^HTTP\/1\.1 101 /);
				assert.match(head, /sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/);
				client.send("ping");
				await client.until((text) => text.endsWith("pong ping"));
				client.socket.destroy();
			}
		});
	}

	async function startHttp2Tunnel(): Promise<number> {
		const host = await startHttp2Server(
			(stream, headers) => {
				assert.deepEqual([headers[":method"], headers[":protocol"], headers[":path"]], ["CONNECT", "websocket", "/chat"]);
				stream.respond({ ":status": 200 });
				stream.on("data", (bytes: Buffer) => stream.write(`pong ${bytes.toString()}`));
			},
			{ enableConnectProtocol: true },
		);
		closers.push(() => host.close());
		return host.port;
	}

	async function startHttp1Tunnel(): Promise<number> {
		const server = createServer();
		server.on("upgrade", (incoming: IncomingMessage, socket) => {
			assert.equal(incoming.headers.upgrade, "websocket");
			assert.equal(Buffer.from(incoming.headers["sec-websocket-key"] ?? "", "base64").length, 16);
			socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
			socket.on("data", (bytes: Buffer) => socket.write(`pong ${bytes.toString()}`));
			socket.on("error", () => {});
		});
		await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
		closers.push(() => server.close());
		return (server.address() as AddressInfo).port;
	}

	it("each codec takes its own protocol only when the configuration says so", async () => {
		const host = await startHttp1Echo();
		const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
		assert.equal(await exchange(await serve(host.port, {}, { codec: "http1" }), preface), "");
		const answer = await exchange(await serve(host.port, {}, { codec: "http2" }), "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
		// SETTINGS, then GOAWAY.
		assert.equal(answer.charCodeAt(3), 4);
		assert.match(answer, /invalid connection preface/);
	});

	it("a client is warned before it is cut off: two GOAWAYs, and what came between is answered (RFC 9113 6.8)", async () => {
		const host = await startHttp1Echo();
		const client = await openRawClient(await serve(host.port, {}, { maxRequestsPerConnection: 1, drainTimeoutMs: 50 }));
		closers.push(() => client.close());
		client.send(headers(1, requestFields()));
		const warning = await client.next(({ type }) => type === frameType.goaway);
		assert.deepEqual(warning.payload, uint32(0x7fffffff, errorCode.noError));
		client.send(headers(3, requestFields()));
		await client.next(({ type, streamId }) => type === frameType.headers && streamId === 3);
		await client.until(() => false);
		const last = client.frames.filter(({ type }) => type === frameType.goaway).at(-1);
		assert.deepEqual(last?.payload, uint32(3, errorCode.noError));
	});

	it("what a client takes back by the same bytes reaches no host, and counts (CVE-2023-44487)", async () => {
		const paths: (string | undefined)[] = [];
		const host = await startHttp2Server((stream, fields) => {
			paths.push(fields[":path"]);
			stream.respond({ ":status": 200 }, { endStream: true });
		});
		closers.push(() => host.close());
		const client = await openRawClient(await serve(host.port, http2Cluster, { statPrefix: "taken-back" }));
		closers.push(() => client.close());
		const cancelled = [1, 3, 5].map((id) => [headers(id, requestFields("/no")), frame(frameType.rstStream, 0, id, uint32(errorCode.cancel))]);
		// One with a body, too.
		const posted = [headers(7, requestFields("/no"), frameFlag.endHeaders), frame(frameType.rstStream, 0, 7, uint32(errorCode.cancel))];
		client.send(Buffer.concat([...cancelled.flat(), ...posted, headers(9, requestFields("/yes"))]));
		await client.next(({ type, streamId }) => type === frameType.headers && streamId === 9);
		assert.deepEqual(paths, ["/yes"]);
		assert.equal(counterOf("http.taken-back.", "downstream_rq_total"), 5);
		assert.equal(counterOf("http.taken-back.", "downstream_rq_rx_reset"), 4);
	});

	it("who takes many back at once is not read for a while, and then served as before", async () => {
		const host = await startHttp2Server((stream) => stream.respond({ ":status": 200 }, { endStream: true }));
		closers.push(() => host.close());
		const client = await openRawClient(await serve(host.port, http2Cluster, { statPrefix: "at-rest" }));
		closers.push(() => client.close());
		const stat = (name: string) => counterOf("http.at-rest.", `downstream_flow_control_${name}_reading_total`);
		const cancelled = (from: number, count: number) =>
			Array.from({ length: count }, (_, i) => from + 2 * i).flatMap((id) => [headers(id, requestFields("/no")), frame(frameType.rstStream, 0, id, uint32(8))]);
		client.send(Buffer.concat([...cancelled(1, 32), headers(65, requestFields("/yes"))]));
		await client.next(({ type, streamId }) => type === frameType.headers && streamId === 65);
		assert.deepEqual([stat("paused"), stat("resumed")], [0, 0]);
		client.send(Buffer.concat([...cancelled(67, 33), headers(133, requestFields("/yes"))]));
		await client.next(({ type, streamId }) => type === frameType.headers && streamId === 133);
		assert.equal(stat("paused"), 1);
		client.send(headers(135, requestFields("/yes")));
		await client.next(({ type, streamId }) => type === frameType.headers && streamId === 135);
		assert.deepEqual([stat("paused"), stat("resumed")], [1, 1]);
	});

	it("follows a redirect with the body that was sent, and 303 without it", async () => {
		const host = await startHttp2Server((stream, fields) => {
			const status = /^\/(\d+)$/.exec(fields[":path"] ?? "")?.[1];
			void readAll(stream).then((body) => {
				if (status === undefined) return answerEcho(stream, fields, body, {});
				stream.respond({ ":status": Number(status), location: "http://h/target" });
				stream.end("moved");
			});
		});
		closers.push(() => host.close());
		const internalRedirect = { redirectsMax: 1, statuses: [303, 307], predicates: [], allowsCrossScheme: false, copiedHeaders: [] };
		const port = await serve(host.port, http2Cluster, { statPrefix: "redirected" }, { internalRedirect });
		const session = await openTo(port);
		const bodyOf = async (path: string) =>
			JSON.parse((await request(session, { ":method": "POST", ":path": path }, large.subarray(0, 100_000))).body.toString());
		const [kept, dropped] = await Promise.all([bodyOf("/307"), bodyOf("/303")]);
		assert.deepEqual(kept, { method: "POST", path: "/target", bytes: 100_000 });
		assert.deepEqual(dropped, { method: "GET", path: "/target", bytes: 0 });
		assert.equal((await request(session, { ":path": "/302" })).status, 302);
		assert.equal(counterOf("http.redirected.", "downstream_rq_http2_total"), 5);
		assert.equal(counterOf(`cluster.l${names}.`, "upstream_internal_redirect_succeeded_total"), 2);
	});

	it("counts under Envoy's names", async () => {
		const host = await startHttp2Echo();
		const port = await serve(host.port, http2Cluster, { statPrefix: "counted" });
		const name = `cluster.l${names}.`;
		const session = await openTo(port);
		await request(session, { ":path": "/" });
		assert.equal(counterOf("http.counted.", "downstream_cx_http2_total"), 1);
		assert.equal(counterOf("http.counted.", "downstream_cx_http1_total"), 0);
		assert.equal(counterOf("http.counted.", "downstream_cx_total"), 1);
		assert.equal(counterOf("http.counted.", "downstream_rq_http2_total"), 1);
		assert.equal(counterOf(name, "upstream_cx_http2_total"), 1);
		assert.equal(counterOf(name, "http2.trailers"), 0);
	});
});
