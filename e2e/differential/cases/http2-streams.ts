import { frame } from "../../../packages/proxy/src/data/http2/test-frames.ts";
import { data, type Field, fields, goaway, type Http2Script, open, reset, type UpstreamStream, whole } from "../http2-peers.ts";
import type { Http2Case } from "../http2-world.ts";
import { get } from "../suite.ts";
import { head, once, pause } from "./http2-messages.ts";

const silent: Http2Script = { onHead: () => true };
const codes = [0, 1, 2, 3, 5, 7, 8, 9, 11, 13, 99];
const onEnd = (answer: (stream: UpstreamStream) => void): Partial<Http2Case> => ({ script: { onEnd: answer } });
const fine: readonly Field[] = [["x-fine", "1"]];

const fromClient: readonly Http2Case[] = [
	...codes.map(
		(code): Http2Case => ({
			name: `client resets with ${code}`,
			script: silent,
			async run(client) {
				const id = client.open(head("POST", "/h2/a"), open);
				await pause(60);
				client.send(reset(id, code));
			},
		}),
	),
	{
		name: "client resets in the middle of the answer",
		script: { onEnd: (stream) => (stream.head(200), stream.data("part", false)) },
		async run(client) {
			const id = client.open(head("GET", "/h2/a"));
			await client.bodyOf(id, 4);
			client.send(reset(id, 8));
		},
	},
	{
		name: "client resets, HTTP/1 behind",
		reply: () => undefined,
		async run(client) {
			const id = client.open(head("GET", "/h1/a"));
			await pause(60);
			client.send(reset(id, 8));
		},
	},
	{
		name: "client goes away and its stream is answered",
		script: { onEnd: (stream) => void setTimeout(() => (stream.head(200), stream.data("late")), 60) },
		async run(client) {
			const id = client.open(head("GET", "/h2/a"));
			client.send(goaway(0));
			await client.ended(id);
		},
	},
	{
		name: "client goes away because of an error",
		script: { onEnd: (stream) => void setTimeout(() => (stream.head(200), stream.data("late")), 60) },
		async run(client) {
			const id = client.open(head("GET", "/h2/a"));
			client.send(goaway(0, 1));
			await client.ended(id);
		},
	},
	{
		name: "client goes away and opens another",
		async run(client) {
			// In one piece: whoever goes away may be gone with the next.
			client.send(goaway(0), fields(1, head("GET", "/h2/a")));
			await client.ended(1);
		},
	},
	{
		name: "client ends the connection while it waits",
		script: silent,
		async run(client) {
			client.open(head("GET", "/h2/a"));
			await pause(60);
			client.close();
		},
	},
	{
		name: "client closes its half while it waits",
		script: { onEnd: (stream) => void setTimeout(() => (stream.head(200), stream.data("late")), 60) },
		async run(client) {
			const id = client.open(head("GET", "/h2/a"));
			await pause(40);
			client.endSending();
			await client.ended(id);
		},
	},
	{
		name: "data on a stream that has ended",
		async run(client) {
			const id = client.open(head("GET", "/h2/a"));
			client.send(data(id, "abc", true));
			await client.ended(id);
		},
		settleMs: 150,
	},
	{
		name: "data on a stream that was never opened",
		lines: 0,
		async run(client) {
			client.send(data(5, "abc", true));
			await client.closed();
		},
	},
	{
		name: "a stream with an even id",
		lines: 0,
		async run(client) {
			client.send(fields(2, head("GET", "/h2/a")));
			await client.closed();
		},
	},
	{
		name: "an id below the last",
		async run(client) {
			client.send(fields(5, head("GET", "/h2/a")), fields(3, head("GET", "/h2/b")));
			await client.closed();
		},
	},
	{
		name: "PING is answered",
		lines: 0,
		async run(client) {
			client.send(frame(6, 0, 0, "12345678"));
			await client.events(1);
		},
	},
	{
		name: "PING of a wrong size",
		lines: 0,
		async run(client) {
			client.send(frame(6, 0, 0, "1234"));
			await client.closed();
		},
	},
	{
		name: "a frame of an unknown type",
		async run(client) {
			client.send(frame(77, 0, 0, "1234"));
			await client.ended(client.open(head("GET", "/h2/a")));
		},
	},
	{
		name: "PUSH_PROMISE of a client",
		lines: 0,
		async run(client) {
			client.send(frame(5, 4, 1, "\0\0\0\x02"));
			await client.closed();
		},
	},
	{
		name: "a field block that is none",
		lines: 0,
		async run(client) {
			client.send(frame(1, 5, 1, "\xff\xff\xff\xff\xff\xff"));
			await client.closed();
		},
	},
	{
		name: "a frame larger than allowed",
		lines: 0,
		async run(client) {
			client.send(frame(0, 0, 1, "x".repeat(17_000)));
			await client.closed();
		},
	},
	{
		name: "three streams at once",
		lines: 3,
		async run(client) {
			await client.ended(...["a", "b", "c"].map((name) => client.open(head("GET", `/h2/${name}`))));
		},
	},
];

const resets: readonly Http2Case[] = [
	...codes.map((code) =>
		once(
			`upstream resets with ${code} before it answers`,
			head("GET", "/h2/a"),
			[],
			onEnd((stream) => stream.reset(code)),
		),
	),
	...codes.map((code) =>
		once(
			`upstream resets with ${code} in its answer`,
			head("GET", "/h2/a"),
			[],
			onEnd((stream) => {
				stream.head(200);
				stream.data("part", false);
				setTimeout(() => stream.reset(code), 40);
			}),
		),
	),
	once("upstream resets with 0 behind a whole answer to half a request", head("POST", "/h2/a"), ["abc", "def"], {
		script: {
			onHead(stream) {
				stream.head(200, fine, whole);
				stream.reset(0);
				return true;
			},
		},
	}),
	{
		name: "upstream answers before the request has ended",
		script: { onHead: (stream) => (stream.head(200, fine), stream.data("early"), true) },
		async run(client) {
			const id = client.open(head("POST", "/h2/a"), open);
			await client.ended(id);
		},
	},
	...["gRPC", "plain"].map((kind) =>
		once(
			`upstream ends the connection, ${kind}`,
			head("POST", "/h2/a", kind === "gRPC" ? [["content-type", "application/grpc"]] : []),
			["abc"],
			onEnd((stream) => stream.connection.incoming.peer.close()),
		),
	),
	{ name: "upstream resets, HTTP/1 in front", send: get("/h2/a"), ...onEnd((stream) => stream.reset(2)) },
	{
		name: "upstream resets in its answer, HTTP/1 in front",
		send: get("/h2/a"),
		...onEnd((stream) => {
			stream.head(200);
			stream.data("part", false);
			setTimeout(() => stream.reset(2), 40);
		}),
	},
	...["retry-refused", "retry-reset"].flatMap((route) =>
		[7, 2, 8].map((code) => {
			const script = (): Http2Script => ({ onEnd: (stream) => (stream.id === 1 ? stream.reset(code) : (stream.head(200), stream.data("again"))) });
			return once(`${route} after ${code}`, head("GET", `/${route}`), [], { script: script() });
		}),
	),
	once(
		"retried until no more is left",
		head("GET", "/retry-refused"),
		[],
		onEnd((stream) => stream.reset(7)),
	),
	once(
		"retried on a gRPC status",
		head("POST", "/retry-grpc", [["content-type", "application/grpc"]]),
		["\0\0\0\0\0"],
		onEnd((stream) =>
			stream.head(
				200,
				[
					["content-type", "application/grpc"],
					["grpc-status", stream.id === 1 ? "14" : "0"],
				],
				whole,
			),
		),
	),
];

const goaways: readonly Http2Case[] = [
	once(
		"upstream goes away and answers",
		head("GET", "/h2/a"),
		[],
		onEnd((stream) => {
			stream.send(goaway(stream.id));
			setTimeout(() => (stream.head(200), stream.data("late")), 40);
		}),
	),
	once(
		"upstream goes away below the stream",
		head("GET", "/h2/a"),
		[],
		onEnd((stream) => stream.send(goaway(0))),
	),
	once("upstream goes away below the stream, retried", head("GET", "/retry-refused"), [], {
		script: { onEnd: (stream) => (stream.connection.index === 0 ? stream.send(goaway(0)) : (stream.head(200), stream.data("again"))) },
	}),
	once(
		"upstream goes away because of an error",
		head("GET", "/h2/a"),
		[],
		onEnd((stream) => stream.send(goaway(0, 11))),
	),
	{
		name: "upstream goes away with streams above and below",
		lines: 2,
		script: {
			onHead(stream) {
				if (stream.connection.index > 0) return false;
				if (stream.field(":path") === "/h2/b") stream.send(goaway(1));
				return true;
			},
		},
		async run(client) {
			const first = client.open(head("GET", "/h2/a"));
			await pause(40);
			const second = client.open(head("GET", "/h2/b"));
			await client.ended(second);
			client.send(reset(first, 8));
		},
	},
	{
		name: "another connection after upstream went away",
		lines: 2,
		script: { onEnd: (stream) => (stream.send(goaway(stream.id)), stream.head(200), stream.data("bye")) },
		async run(client) {
			await client.ended(client.open(head("GET", "/h2/a")));
			await client.ended(client.open(head("GET", "/h2/b")));
		},
	},
];

const answers: readonly Http2Case[] = [
	...[100, 102, 103].map((status) =>
		once(
			`upstream says ${status} first`,
			head("GET", "/h2/a"),
			[],
			onEnd((stream) => (stream.head(status, [["x-i", "1"]]), stream.head(200), stream.data("body"))),
		),
	),
	...[100, 103].map((status) =>
		once(`HTTP/1 upstream says ${status} first`, head("GET", "/h1/a"), [], {
			reply: `HTTP/1.1 ${status} Reason\r\nx-i: 1\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok`,
		}),
	),
	once("100-continue passed on", head("POST", "/h2/a", [["expect", "100-continue"]]), ["abc"], {
		listener: "preserve",
		script: { onEnd: (stream) => (stream.head(100), stream.head(200), stream.data("body")) },
	}),
	once(
		"answer: 101",
		head("GET", "/h2/a"),
		[],
		onEnd((stream) => stream.head(101)),
	),
	once(
		"answer: 103 that ends the stream",
		head("GET", "/h2/a"),
		[],
		onEnd((stream) => stream.head(103, [], whole)),
	),
	once(
		"answer: no status",
		head("GET", "/h2/a"),
		[],
		onEnd((stream) => stream.send(fields(stream.id, [["x-a", "1"]], whole))),
	),
	...["0", "99", "600", "abc", "2000", "+200", ""].map((status) =>
		once(
			`answer: status ${JSON.stringify(status)}`,
			head("GET", "/h2/a"),
			[],
			onEnd((stream) => stream.head(status, [], whole)),
		),
	),
	once(
		"answer: two statuses",
		head("GET", "/h2/a"),
		[],
		onEnd((stream) => stream.head(200, [[":status", "200"]], whole)),
	),
	once(
		"answer: a pseudo header of requests",
		head("GET", "/h2/a"),
		[],
		onEnd((stream) => stream.head(200, [[":path", "/"]], whole)),
	),
	...(
		[
			["X-Upper", "1"],
			["connection", "close"],
			["transfer-encoding", "chunked"],
			["upgrade", "x"],
			["keep-alive", "x"],
			["te", "trailers"],
			["x a", "1"],
			["x-a", "a\0b"],
			["x-a", "a\nb"],
			["x_under", "1"],
			["x-a", "caf\xe9"],
		] as const
	).map(([name, value]) =>
		once(
			`answer: ${name}: ${JSON.stringify(value)}`,
			head("GET", "/h2/a"),
			[],
			onEnd((stream) => stream.head(200, [[name, value]], whole)),
		),
	),
	once(
		"answer: less than its length",
		head("GET", "/h2/a"),
		[],
		onEnd((stream) => (stream.head(200, [["content-length", "5"]]), stream.data("abc"))),
	),
	once(
		"answer: more than its length",
		head("GET", "/h2/a"),
		[],
		onEnd((stream) => (stream.head(200, [["content-length", "2"]]), stream.data("abc"))),
	),
	once(
		"answer: a length and no body",
		head("GET", "/h2/a"),
		[],
		onEnd((stream) => stream.head(200, [["content-length", "5"]], whole)),
	),
	once(
		"answer: a length of 204",
		head("GET", "/h2/a"),
		[],
		onEnd((stream) => stream.head(204, [["content-length", "0"]], whole)),
	),
	once(
		"answer: a body of 204",
		head("GET", "/h2/a"),
		[],
		onEnd((stream) => (stream.head(204), stream.data("abc"))),
	),
	once(
		"answer: a body to HEAD",
		head("HEAD", "/h2/a"),
		[],
		onEnd((stream) => (stream.head(200), stream.data("abc"))),
	),
	once(
		"answer: data before its head",
		head("GET", "/h2/a"),
		[],
		onEnd((stream) => stream.data("abc")),
	),
	once(
		"answer: trailers that do not end",
		head("GET", "/h2/a"),
		[],
		onEnd((stream) => (stream.head(200), stream.data("abc", false), stream.head(200))),
	),
	once(
		"answer: a pseudo header in trailers",
		head("GET", "/h2/a"),
		[],
		onEnd((stream) => (stream.head(200), stream.data("abc", false), stream.trailers([[":status", "200"]]))),
	),
	once(
		"answer: PUSH_PROMISE",
		head("GET", "/h2/a"),
		[],
		onEnd((stream) => stream.send(frame(5, 4, stream.id, "\0\0\0\x02"))),
	),
	once(
		"answer: on a stream that nobody opened",
		head("GET", "/h2/a"),
		[],
		onEnd((stream) => stream.send(fields(stream.id + 100, [[":status", "200"]], whole))),
	),
	...(["X-Upper", "connection"] as const).map((name) =>
		once(
			`answer of a cluster that ends streams alone: ${name}`,
			head("GET", "/h2-lenient/a"),
			[],
			onEnd((stream) => stream.head(200, [[name, "close"]], whole)),
		),
	),
];

export const http2Streams: readonly Http2Case[] = [...fromClient, ...resets, ...goaways, ...answers];
