import { frameType, settingId } from "../../../packages/proxy/src/data/http2/protocol.ts";
import { block, frame } from "../../../packages/proxy/src/data/http2/test-frames.ts";
import { data, type Field, type Http2Script, open, settingsFrame, type UpstreamStream, whole, windowUpdate } from "../http2-peers.ts";
import type { Http2Case } from "../http2-world.ts";
import { get } from "../suite.ts";
import { head, once, pause } from "./http2-messages.ts";

const silent: Http2Script = { onHead: () => true };
const many = (count: number, bytes = 1): readonly Field[] => Array.from({ length: count }, (_, i) => [`x-${i}`, "v".repeat(bytes)]);
/** A field block in as many frames as it needs; it ends its stream. */
const blocks = (id: number, list: readonly Field[]): readonly Buffer[] => {
	const bytes = block(list);
	const pieces = Array.from({ length: Math.ceil(bytes.length / 16_000) }, (_, i) => bytes.subarray(16_000 * i, 16_000 * (i + 1)));
	return pieces.map((piece, i) =>
		frame(i === 0 ? frameType.headers : frameType.continuation, (i === 0 ? 1 : 0) | (i === pieces.length - 1 ? 4 : 0), id, piece),
	);
};
const late =
	(ms: number) =>
	(stream: UpstreamStream): void =>
		void setTimeout(() => (stream.head(200), stream.data("late")), ms);

const ofStreams: readonly Http2Case[] = [
	{
		name: "more streams than allowed",
		listener: "one-stream",
		lines: 1,
		script: { onEnd: late(80) },
		async run(client) {
			const first = client.open(head("GET", "/h2/a"));
			const second = client.open(head("GET", "/h2/b"));
			await client.ended(first, second);
		},
	},
	{
		name: "one stream after the other",
		listener: "one-stream",
		lines: 2,
		async run(client) {
			await client.ended(client.open(head("GET", "/h2/a")));
			await client.ended(client.open(head("GET", "/h2/b")));
		},
	},
	...["h2-one", "h2-strict"].map(
		(cluster): Http2Case => ({
			name: `${cluster}: three streams of one each`,
			lines: 3,
			script: { onEnd: late(80) },
			async run(client) {
				const ids: number[] = [];
				for (const name of ["a", "b", "c"]) {
					ids.push(client.open(head("GET", `/${cluster}/${name}`)));
					await pause(20);
				}
				await client.ended(...ids);
			},
		}),
	),
	{
		name: "one request a connection upstream",
		lines: 2,
		async run(client) {
			await client.ended(client.open(head("GET", "/h2-per/a")));
			await client.ended(client.open(head("GET", "/h2-per/b")));
		},
	},
	{
		name: "idle upstream connection",
		settleMs: 300,
		async run(client) {
			await client.ended(client.open(head("GET", "/h2-idle/a")));
		},
	},
];

const ofConnections: readonly Http2Case[] = [
	{
		name: "a connection grows too old while nothing goes on",
		listener: "duration",
		async run(client) {
			await client.ended(client.open(head("GET", "/h2/a")));
			await client.closed();
		},
	},
	{
		name: "a connection grows too old while it waits",
		listener: "duration",
		script: { onEnd: late(700) },
		async run(client) {
			await client.ended(client.open(head("GET", "/h2/a")));
			await client.closed();
		},
	},
	{
		name: "all requests of a connection",
		listener: "two-requests",
		lines: 2,
		async run(client) {
			await client.ended(client.open(head("GET", "/h2/a")));
			await client.ended(client.open(head("GET", "/h2/b")));
			await client.closed();
		},
	},
	{
		name: "a request behind the last of a connection",
		listener: "two-requests",
		lines: 3,
		async run(client) {
			for (const name of ["a", "b", "c"]) await client.ended(client.open(head("GET", `/h2/${name}`)));
			await client.closed();
		},
	},
	{
		name: "an idle connection",
		listener: "idle",
		lines: 0,
		run: (client) => client.closed(),
	},
	{
		name: "an idle connection after a request",
		listener: "idle",
		async run(client) {
			await client.ended(client.open(head("GET", "/h2/a")));
			await client.closed();
		},
	},
	{
		name: "pings that nobody answers",
		listener: "keep-alive",
		lines: 0,
		run: (client) => client.closed(),
	},
	{
		name: "health checks fail: the connection is drained",
		async run(client, proxy) {
			await proxy.askAdmin("/healthcheck/fail", "POST");
			await client.ended(client.open(head("GET", "/h2/a")));
			await proxy.askAdmin("/healthcheck/ok", "POST");
		},
		settleMs: 200,
	},
];

const ofTime: readonly Http2Case[] = [
	once("stream idle before the answer", head("GET", "/h2/a"), [], { listener: "stream-idle", script: silent }),
	once("stream idle before the answer, gRPC", head("POST", "/h2/a", [["content-type", "application/grpc"]]), ["x"], {
		listener: "stream-idle",
		script: silent,
	}),
	once("stream idle in the answer", head("GET", "/h2/a"), [], {
		listener: "stream-idle",
		script: { onEnd: (stream) => (stream.head(200), stream.data("part", false)) },
	}),
	...(["stream-idle", "request-timeout"] as const).map(
		(listener): Http2Case => ({
			name: `a request that does not end: ${listener}`,
			listener,
			script: silent,
			run: (client) => client.ended(client.open(head("POST", "/h2/a"), open)),
		}),
	),
	{
		name: "a request that does not end: its head has come in time",
		listener: "headers-timeout",
		script: silent,
		async run(client) {
			client.open(head("POST", "/h2/a"), open);
			await pause(400);
		},
	},
	{
		name: "a field block that does not end",
		listener: "headers-timeout",
		lines: 0,
		async run(client) {
			client.open(head("GET", "/h2/a"), 1);
			await client.ended(1);
		},
	},
	once("stream that lasts too long", head("GET", "/h2/a"), [], { listener: "stream-duration", script: silent }),
	once("answer that lasts too long", head("GET", "/h2/a"), [], {
		listener: "stream-duration",
		script: { onEnd: (stream) => (stream.head(200), stream.data("part", false)) },
	}),
	once("route: stream that lasts too long", head("GET", "/duration"), [], { script: silent }),
	once("route: answer that lasts too long", head("GET", "/duration"), [], { script: { onEnd: (stream) => (stream.head(200), stream.data("part", false)) } }),
	once("route: idle stream", head("GET", "/idle"), [], { script: silent }),
	once(
		"grpc-timeout",
		head("POST", "/grpc-duration", [
			["content-type", "application/grpc"],
			["grpc-timeout", "100m"],
		]),
		["x"],
		{ script: silent },
	),
	once("timeout in the answer", head("GET", "/short"), [], { script: { onEnd: (stream) => (stream.head(200), stream.data("part", false)) } }),
	once("timeout of x-envoy-upstream-rq-timeout-ms", head("GET", "/h2/a", [["x-envoy-upstream-rq-timeout-ms", "100"]]), [], { script: silent }),
];

const ofHeads: readonly Http2Case[] = [
	once("head too large", head("GET", "/h2/a", [["x-large", "v".repeat(3000)]]), [], { listener: "small-head" }),
	once("head too large in many fields", head("GET", "/h2/a", many(50, 60)), [], { listener: "small-head" }),
	once("path too large", head("GET", `/h2/${"p".repeat(3000)}`), [], { listener: "small-head" }),
	once("too many headers", head("GET", "/h2/a", many(20)), [], { listener: "few-headers" }),
	once("as many headers as allowed", head("GET", "/h2/a", many(6)), [], { listener: "few-headers" }),
	once("one header more than allowed", head("GET", "/h2/a", many(7)), [], { listener: "few-headers" }),
	once("as many headers as by default", head("GET", "/h2/a", many(90)), []),
	once("more headers than by default", head("GET", "/h2/a", many(101)), []),
	{
		name: "head too large for the default",
		run: async (client) => {
			client.send(...blocks(1, [...head("GET", "/h2/a"), ...many(5, 14_000)]));
			await client.ended(1);
		},
	},
	once("answer's head too large", head("GET", "/h2/a"), [], {
		script: { onEnd: (stream) => stream.send(...blocks(stream.id, [[":status", "200"], ...many(5, 14_000)])) },
	}),
	once("answer of too many headers", head("GET", "/h2/a"), [], { script: { onEnd: (stream) => stream.head(200, many(101), whole) } }),
	once("answer of as many headers as allowed", head("GET", "/h2/a"), [], { script: { onEnd: (stream) => stream.head(200, many(99), whole) } }),
	{
		name: "answer's head too large, HTTP/1 in front",
		send: get("/h2/a"),
		script: { onEnd: (stream) => stream.send(...blocks(stream.id, [[":status", "200"], ...many(5, 14_000)])) },
	},
];

const body = "0123456789".repeat(20);

const ofFlow: readonly Http2Case[] = [
	{
		name: "answer over a window of 10",
		settings: [[settingId.initialWindowSize, 10]],
		script: { onEnd: (stream) => (stream.head(200), stream.data(body)) },
		async run(client) {
			const id = client.open(head("GET", "/h2/a"));
			for (let i = 1; i <= 20; i++) {
				await client.bodyOf(id, 10 * i);
				if (i < 20) client.send(windowUpdate(id, 10));
			}
			await client.ended(id);
		},
	},
	{
		name: "a window that opens later",
		settings: [[settingId.initialWindowSize, 0]],
		script: { onEnd: (stream) => (stream.head(200), stream.data(body)) },
		async run(client) {
			const id = client.open(head("GET", "/h2/a"));
			await client.answered(id);
			client.send(settingsFrame([settingId.initialWindowSize, 1000]));
			await client.ended(id);
		},
	},
	{
		name: "trailers behind a window of 0",
		settings: [[settingId.initialWindowSize, 0]],
		script: { onEnd: (stream) => (stream.head(200), stream.trailers([["x-t", "1"]])) },
		async run(client) {
			await client.ended(client.open(head("GET", "/h2/a")));
		},
	},
	{
		name: "request over a window of 5",
		script: {
			onHead(stream) {
				for (let i = 1; i <= 10; i++) setTimeout(() => stream.send(windowUpdate(stream.id, 5)), 10 * i);
				return false;
			},
		},
		async run(client) {
			const id = client.open(head("POST", "/h2-window/a"), open);
			client.send(data(id, body.slice(0, 50), true));
			await client.ended(id);
		},
	},
	{
		name: "window of a stream overflows",
		script: silent,
		async run(client) {
			const id = client.open(head("GET", "/h2/a"));
			await pause(40);
			client.send(windowUpdate(id, 0x7fff_ffff));
			await client.ended(id);
		},
	},
	{
		name: "window of the connection overflows",
		lines: 0,
		async run(client) {
			client.send(windowUpdate(0, 0x7fff_ffff));
			await client.closed();
		},
	},
	{
		name: "WINDOW_UPDATE of 0",
		script: silent,
		async run(client) {
			const id = client.open(head("GET", "/h2/a"));
			await pause(40);
			client.send(windowUpdate(id, 0));
			await client.ended(id);
		},
	},
	{
		name: "an initial window beyond the limit",
		lines: 0,
		async run(client) {
			client.send(settingsFrame([settingId.initialWindowSize, 0x8000_0000]));
			await client.closed();
		},
	},
	{
		name: "a frame size below the limit",
		lines: 0,
		async run(client) {
			client.send(settingsFrame([settingId.maxFrameSize, 100]));
			await client.closed();
		},
	},
	{
		name: "more data than the window",
		listener: "small-window",
		script: silent,
		async run(client) {
			const id = client.open(head("POST", "/h2/a"), open);
			for (let i = 0; i < 5; i++) client.send(data(id, "x".repeat(16_384)));
			await client.closed();
		},
	},
];

export const http2Limits: readonly Http2Case[] = [...ofStreams, ...ofConnections, ...ofTime, ...ofHeads, ...ofFlow];
