import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { errorCode, frameFlag, frameType } from "./protocol.ts";
import { block, frame, headers, requestFields, settings, uint32 } from "./test-frames.ts";
import { TestSession, type TestStream } from "./test-session.ts";

const { protocolError, flowControlError, frameSizeError, streamClosed, compressionError, refusedStream, noError } = errorCode;
const hello = settings();
const open = headers(1, requestFields(), frameFlag.endHeaders);
const whole = headers(1, requestFields());
const reply = (session: TestSession, id = 1): void => {
	const stream = session.session.streams.get(id) as TestStream;
	const at = session.session.sender.beginBlock(16);
	session.session.outbound.bytes[at] = 0x88;
	session.session.sender.endBlock(stream, at + 1, true);
};
const streamOf = (session: TestSession, id = 1): TestStream => session.session.streams.get(id) as TestStream;

/** The last frame that says that something was wrong: GOAWAY's code, or RST_STREAM's with its stream. */
function verdict(session: TestSession): string {
	const last = session.frames.filter(({ type }) => type === frameType.goaway || type === frameType.rstStream).at(-1);
	if (last === undefined) return "none";
	return last.type === frameType.goaway ? `goaway ${last.payload.readUInt32BE(4)}` : `reset ${last.streamId} ${last.payload.readUInt32BE(0)}`;
}

const connectionErrors: readonly (readonly [title: string, frames: readonly Buffer[], code: number])[] = [
	["3.4: the first frame is not SETTINGS", [whole], protocolError],
	["3.4: the first frame is DATA", [frame(frameType.data, 0, 1, "x")], protocolError],
	["4.2: a frame larger than was allowed", [hello, frame(frameType.headers, 4, 1, Buffer.alloc(16_385))], frameSizeError],
	["4.3: another frame within a field block", [hello, headers(1, requestFields(), 0), frame(frameType.ping, 0, 0, "12345678")], protocolError],
	["4.3: DATA within a field block", [hello, headers(1, requestFields(), 0), frame(frameType.data, 0, 1, "x")], protocolError],
	["4.3: a block that cannot be decoded", [hello, frame(frameType.headers, 5, 1, Buffer.from([0x80]))], compressionError],
	["5.1: DATA on an idle stream", [hello, frame(frameType.data, 0, 1, "x")], protocolError],
	["5.1: RST_STREAM on an idle stream", [hello, frame(frameType.rstStream, 0, 1, uint32(0))], protocolError],
	["5.1: WINDOW_UPDATE on an idle stream", [hello, frame(frameType.windowUpdate, 0, 1, uint32(1))], protocolError],
	["5.1: HEADERS on a stream that the peer has reset", [hello, open, frame(frameType.rstStream, 0, 1, uint32(8)), open], streamClosed],
	["5.1.1: an even stream id", [hello, headers(2, requestFields())], protocolError],
	["5.1.1: a lower stream id than before", [hello, headers(5, requestFields()), headers(3, requestFields())], protocolError],
	["6.1: DATA on stream 0", [hello, frame(frameType.data, 0, 0, "x")], protocolError],
	["6.1: DATA with more padding than payload", [hello, open, frame(frameType.data, frameFlag.padded, 1, "\x05abc")], protocolError],
	["6.2: HEADERS on stream 0", [hello, headers(0, requestFields())], protocolError],
	["6.2: HEADERS with more padding than payload", [hello, frame(frameType.headers, 0xc, 1, "\x30a")], protocolError],
	["6.3: PRIORITY on stream 0", [hello, frame(frameType.priority, 0, 0, uint32(0, 0).subarray(0, 5))], protocolError],
	["6.4: RST_STREAM on stream 0", [hello, frame(frameType.rstStream, 0, 0, uint32(0))], protocolError],
	["6.4: RST_STREAM of another length", [hello, open, frame(frameType.rstStream, 0, 1, "123")], frameSizeError],
	["6.5: SETTINGS on a stream", [hello, frame(frameType.settings, 0, 1)], protocolError],
	["6.5: SETTINGS of a length that is no multiple of 6", [hello, frame(frameType.settings, 0, 0, "123")], frameSizeError],
	["6.5: an acknowledgement with a payload", [hello, frame(frameType.settings, frameFlag.ack, 0, "123456")], frameSizeError],
	["6.5.2: ENABLE_PUSH of 2", [settings([2, 2])], protocolError],
	["6.5.2: INITIAL_WINDOW_SIZE above 2^31-1", [settings([4, 0x8000_0000])], flowControlError],
	["6.5.2: MAX_FRAME_SIZE below 2^14", [settings([5, 16_383])], protocolError],
	["6.5.2: MAX_FRAME_SIZE above 2^24-1", [settings([5, 1 << 24])], protocolError],
	["RFC 8441 3: ENABLE_CONNECT_PROTOCOL of 2", [settings([8, 2])], protocolError],
	["RFC 8441 3: ENABLE_CONNECT_PROTOCOL taken back", [settings([8, 1]), settings([8, 0])], protocolError],
	["6.6: PUSH_PROMISE from a client", [hello, frame(frameType.pushPromise, 4, 1, uint32(2))], protocolError],
	["6.7: PING on a stream", [hello, frame(frameType.ping, 0, 1, "12345678")], protocolError],
	["6.7: PING of another length", [hello, frame(frameType.ping, 0, 0, "123")], frameSizeError],
	["6.8: GOAWAY on a stream", [hello, frame(frameType.goaway, 0, 1, uint32(0, 0))], protocolError],
	["6.9: WINDOW_UPDATE of 0 for the connection", [hello, frame(frameType.windowUpdate, 0, 0, uint32(0))], protocolError],
	["6.9: WINDOW_UPDATE of another length", [hello, frame(frameType.windowUpdate, 0, 0, "123")], frameSizeError],
	["6.9.1: a connection window above 2^31-1", [hello, frame(frameType.windowUpdate, 0, 0, uint32(0x7fff_ffff))], flowControlError],
	[
		"6.9.2: a setting that makes a stream's window too large",
		[hello, open, frame(frameType.windowUpdate, 0, 1, uint32(0x7fff_0000)), settings([4, 0x7fff_ffff])],
		flowControlError,
	],
	["6.10: CONTINUATION without HEADERS", [hello, frame(frameType.continuation, 4, 1, "x")], protocolError],
	["6.10: CONTINUATION behind the end of a block", [hello, open, frame(frameType.continuation, 4, 1, "x")], protocolError],
	["8.1: DATA where a head is missing", [hello, headers(1, requestFields(), 0), frame(frameType.continuation, 0, 3, "")], protocolError],
];

const streamErrors: readonly (readonly [title: string, frames: readonly Buffer[], code: number])[] = [
	[
		"8.1.1: less content than was said",
		[hello, headers(1, requestFields("/", [["content-length", "5"]]), 4), frame(frameType.data, 1, 1, "abc")],
		protocolError,
	],
	[
		"8.1.1: more content than was said",
		[hello, headers(1, requestFields("/", [["content-length", "2"]]), 4), frame(frameType.data, 0, 1, "abc")],
		protocolError,
	],
	["5.1: DATA behind the end of a request", [hello, whole, frame(frameType.data, 0, 1, "x")], streamClosed],
	["5.1: HEADERS behind the end of a request", [hello, whole, open], streamClosed],
	[
		"5.3.1: a stream that depends on itself",
		[hello, frame(frameType.headers, 0x25, 1, Buffer.concat([uint32(1), Buffer.from([1]), block(requestFields())]))],
		protocolError,
	],
	["6.3: PRIORITY of another length", [hello, open, frame(frameType.priority, 0, 1, "123")], frameSizeError],
	["6.9: WINDOW_UPDATE of 0 for a stream", [hello, open, frame(frameType.windowUpdate, 0, 1, uint32(0))], protocolError],
	["6.9.1: a stream's window above 2^31-1", [hello, open, frame(frameType.windowUpdate, 0, 1, uint32(0x7fff_ffff))], flowControlError],
];

type Field = readonly [string, string];
const only = (...fields: readonly Field[]): readonly Field[] => fields;
const without = (name: string): readonly Field[] => requestFields().filter(([field]) => field !== name);
const messageErrors: readonly (readonly [title: string, frames: readonly Buffer[]])[] = [
	["8.2.1: a name with a capital letter", [headers(1, requestFields("/", [["X-A", "1"]]))]],
	["8.2.1: a name with a space", [headers(1, requestFields("/", [["x a", "1"]]))]],
	["8.2.1: a name with a colon inside", [headers(1, requestFields("/", [["x:a", "1"]]))]],
	["8.2.1: an empty name", [headers(1, requestFields("/", [["", "1"]]))]],
	["8.2.1: a value with a line end", [headers(1, requestFields("/", [["x", "1\r\ny: 2"]]))]],
	["8.2.1: a value with NUL", [headers(1, requestFields("/", [["x", "a\0b"]]))]],
	...["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"].map((name): readonly [string, readonly Buffer[]] => [
		`8.2.2: ${name}`,
		[headers(1, requestFields("/", [[name, "x"]]))],
	]),
	["8.2.2: te of anything but trailers", [headers(1, requestFields("/", [["te", "gzip"]]))]],
	["8.3: a pseudo-header field behind another field", [headers(1, only([":method", "GET"], [":scheme", "http"], ["x", "1"], [":path", "/"]))]],
	["8.3: a pseudo-header field nobody knows", [headers(1, requestFields("/", []).concat([]).toSpliced(0, 0, [":x", "1"]))]],
	["8.3: a pseudo-header field of responses", [headers(1, [[":status", "200"], ...requestFields()])]],
	["8.3: a pseudo-header field twice", [headers(1, [[":path", "/"], ...requestFields()])]],
	["8.3.1: no method", [headers(1, without(":method"))]],
	["8.3.1: no scheme", [headers(1, without(":scheme"))]],
	["8.3.1: no path", [headers(1, without(":path"))]],
	["8.3.1: an empty path", [headers(1, requestFields(""))]],
	["8.3.1: a path with white space", [headers(1, requestFields("/a b"))]],
	["8.3.1: * for another method than OPTIONS", [headers(1, requestFields("*"))]],
	["8.3.1: an authority with white space", [headers(1, [...without(":authority"), [":authority", "a b"]])]],
	["8.5: CONNECT with a path", [headers(1, only([":method", "CONNECT"], [":authority", "h:1"], [":path", "/"]))]],
	["8.5: CONNECT without an authority", [headers(1, only([":method", "CONNECT"]))]],
	["8.1.1: content said and none sent", [headers(1, requestFields("/", [["content-length", "2"]]))]],
	[
		"8.1.1: two lengths",
		[
			headers(
				1,
				requestFields("/", [
					["content-length", "2"],
					["content-length", "2"],
				]),
				4,
			),
		],
	],
	["8.3.1: who the client is in the authority", [headers(1, [...requestFields().filter(([name]) => name !== ":authority"), [":authority", "u:p@h"]])]],
	[
		"8.3.1: neither authority nor host",
		[
			headers(
				1,
				requestFields().filter(([name]) => name !== ":authority"),
			),
		],
	],
	["8.1: trailers that do not end their message", [headers(1, requestFields(), 4), headers(1, [["x", "1"]], 4)]],
	["8.1: pseudo-header fields in trailers", [headers(1, requestFields(), 4), headers(1, [[":path", "/"]], 5)]],
];

describe("an HTTP/2 session, RFC 9113", () => {
	for (const [title, frames, code] of connectionErrors) {
		it(`${title} ends the connection`, () => {
			const session = new TestSession();
			session.feed(...frames);
			assert.equal(session.error?.code, code);
			assert.equal(verdict(session), `goaway ${code}`);
		});
	}

	for (const [title, frames, code] of streamErrors) {
		it(`${title} ends the stream`, () => {
			const session = new TestSession();
			session.feed(...frames);
			assert.equal(session.error, undefined);
			assert.equal(verdict(session), `reset 1 ${code}`);
		});
	}

	for (const isStreamErrorOnInvalidMessage of [false, true]) {
		for (const [title, frames] of messageErrors) {
			it(`${title} ends ${isStreamErrorOnInvalidMessage ? "the stream, where that is asked for" : "the connection"}`, () => {
				const session = new TestSession({ isStreamErrorOnInvalidMessage });
				session.feed(hello, ...frames);
				assert.equal(verdict(session), isStreamErrorOnInvalidMessage ? `reset 1 ${protocolError}` : `goaway ${protocolError}`);
				assert.ok(!session.events.some((event) => event.startsWith("end")));
			});
		}
	}

	it("6.5.3: acknowledges settings, and PING with what it carried (6.7)", () => {
		const session = new TestSession();
		session.feed(hello, frame(frameType.ping, 0, 0, "12345678"));
		const [, , ack, pong] = session.frames;
		assert.deepEqual([ack?.type, ack?.flags, ack?.payload.length], [frameType.settings, frameFlag.ack, 0]);
		assert.deepEqual([pong?.type, pong?.flags, pong?.payload.toString()], [frameType.ping, frameFlag.ack, "12345678"]);
	});

	it("5.5: unknown frames and settings are ignored", () => {
		const session = new TestSession();
		session.feed(settings([0x99, 1]), frame(0x99, 0xff, 77, "what"), whole);
		assert.deepEqual(session.events, ["open 1", "head GET / end 1"]);
	});

	it("5.1.2: streams beyond the limit are refused, and the block is decoded all the same", () => {
		const session = new TestSession({ maxConcurrentStreams: 1 });
		session.feed(
			hello,
			headers(1, requestFields()),
			frame(frameType.headers, 5, 3, Buffer.concat([Buffer.from([0x82, 0x86, 0x84, 0x41, 0x01, 0x68]), Buffer.from([0x40, 1, 0x61, 1, 0x62])])),
		);
		assert.equal(verdict(session), `reset 3 ${refusedStream}`);
		reply(session);
		session.feed(frame(frameType.headers, 5, 5, Buffer.from([0x82, 0x86, 0x84, 0xbf, 0xbe])));
		assert.equal(streamOf(session, 5).head.authority, "h");
		assert.equal(streamOf(session, 5).head.get("a"), "b");
	});

	it("5.1: what crosses our reset is ignored, and its bytes go back to the connection's window", () => {
		const session = new TestSession({ connectionWindow: 65_535 });
		session.feed(hello, open);
		session.session.streams.cancel(streamOf(session), errorCode.cancel);
		for (let i = 0; i < 3; i++) session.feed(frame(frameType.data, 0, 1, Buffer.alloc(16_384)));
		session.feed(headers(1, [["x", "trailer"]], 5));
		assert.equal(session.error, undefined);
		const update = session.frames.find(({ type, streamId }) => type === frameType.windowUpdate && streamId === 0);
		assert.ok((update?.payload.readUInt32BE(0) ?? 0) >= 32_767);
	});

	it("6.9: gives back half a window at a time, for the stream and for the connection", () => {
		const session = new TestSession({ streamWindow: 65_535, connectionWindow: 131_072 });
		session.feed(hello, open);
		const updates = (id: number) =>
			session.frames.filter(({ type, streamId }) => type === frameType.windowUpdate && streamId === id).map(({ payload }) => payload.readUInt32BE(0));
		for (let i = 0; i < 8; i++) session.feed(frame(frameType.data, 0, 1, Buffer.alloc(16_384)));
		assert.deepEqual(updates(1), [32_768, 32_768, 32_768, 32_768]);
		assert.deepEqual(updates(0), [131_072 - 65_535, 65_536, 65_536]);
	});

	it("6.9: a stream whose reader is slow gets nothing back, until the reader goes on", () => {
		const session = new TestSession({ streamWindow: 65_535 });
		session.feed(hello, open);
		const stream = streamOf(session);
		session.session.windows.pause(stream, 1);
		for (let i = 0; i < 3; i++) session.feed(frame(frameType.data, 0, 1, Buffer.alloc(16_384)));
		session.feed(frame(frameType.data, 0, 1, Buffer.alloc(16_383)));
		assert.equal(session.error, undefined);
		session.session.windows.resume(stream, 1);
		assert.deepEqual(session.frames.at(-1)?.payload, uint32(65_535));
		session.session.windows.pause(stream, 1);
		for (let i = 0; i < 5; i++) session.feed(frame(frameType.data, 0, 1, Buffer.alloc(16_384)));
		assert.equal(verdict(session), `reset 1 ${flowControlError}`);
	});

	it("6.9.1: more than the connection's window ends the connection", () => {
		const session = new TestSession({ connectionWindow: 65_535 });
		session.feed(hello, open, headers(3, requestFields(), 4));
		for (const id of [1, 3]) session.session.windows.pause(streamOf(session, id), 1);
		for (let i = 0; i < 5; i++) session.feed(frame(frameType.data, 0, i % 2 === 0 ? 1 : 3, Buffer.alloc(16_384)));
		assert.equal(verdict(session), `goaway ${flowControlError}`);
	});

	it("6.9: sends what the windows allow, the rest in turns, the end last", () => {
		const session = new TestSession();
		session.feed(settings([4, 10]), open, headers(3, requestFields(), 4));
		const data = () =>
			session.frames
				.filter(({ type }) => type === frameType.data)
				.map(({ streamId, payload, flags }) => `${streamId} ${payload.toString()}${flags === 1 ? "." : ""}`);
		for (const id of [1, 3]) {
			session.session.sender.sendData(streamOf(session, id), Buffer.from("abcdefghijklmno"), 0, 15);
			session.session.sender.sendEnd(streamOf(session, id), []);
		}
		assert.deepEqual(data(), ["1 abcdefghij", "3 abcdefghij"]);
		session.feed(frame(frameType.windowUpdate, 0, 3, uint32(3)));
		session.feed(settings([4, 13]));
		assert.deepEqual(data().slice(2), ["3 klm", "1 klm", "3 no."]);
		session.feed(frame(frameType.windowUpdate, 0, 1, uint32(100)));
		assert.deepEqual(data().slice(5), ["1 no."]);
	});

	it("6.9.2: a window may become negative", () => {
		const session = new TestSession();
		session.feed(settings([4, 10]), open);
		session.session.sender.sendData(streamOf(session), Buffer.from("0123456789ab"), 0, 12);
		session.feed(settings([4, 5]), frame(frameType.windowUpdate, 0, 1, uint32(5)));
		assert.equal(session.frames.filter(({ type }) => type === frameType.data).length, 1);
		session.feed(frame(frameType.windowUpdate, 0, 1, uint32(1)));
		assert.equal(session.frames.at(-1)?.payload.toString(), "a");
	});

	it("stops its producer at 64 KiB and lets it go on below", () => {
		const session = new TestSession();
		session.feed(settings([4, 0]), open);
		const stream = streamOf(session);
		session.session.sender.sendData(stream, Buffer.alloc(65_535), 0, 65_535);
		assert.ok(!session.events.includes("blocked 1"));
		session.session.sender.sendData(stream, Buffer.alloc(1), 0, 1);
		assert.ok(session.events.includes("blocked 1"));
		session.feed(frame(frameType.windowUpdate, 0, 1, uint32(1)));
		assert.ok(session.events.includes("drain 1"));
	});

	it("4 MiB waiting in all: producers of streams without a window are stopped beforehand, of others not", () => {
		const session = new TestSession();
		session.feed(settings([4, 0]), open, headers(3, requestFields(), 4), headers(5, requestFields(), 4));
		session.feed(frame(frameType.windowUpdate, 0, 5, uint32(100_000)));
		session.session.sender.sendData(streamOf(session, 1), Buffer.alloc(5 << 20), 0, 5 << 20);
		assert.deepEqual(
			session.events.filter((event) => event.startsWith("blocked")),
			["blocked 1", "blocked 3"],
		);
		session.feed(headers(7, requestFields(), 4));
		assert.ok(session.events.includes("blocked 7"));
		session.feed(frame(frameType.windowUpdate, 0, 3, uint32(20_000)));
		assert.ok(session.events.includes("drain 3"));
		session.session.sender.sendData(streamOf(session, 5), Buffer.alloc(1000), 0, 1000);
		session.feed(frame(frameType.rstStream, 0, 1, uint32(8)));
		assert.deepEqual(
			session.events.filter((event) => event.startsWith("drain")),
			["drain 3", "drain 7"],
		);
		assert.ok(!session.events.includes("blocked 5"));
	});

	it("keeps DATA with its stream while the transport takes nothing", () => {
		const session = new TestSession();
		session.feed(settings([4, 1 << 20]), open);
		session.isReading = false;
		session.session.sender.sendData(streamOf(session), Buffer.from("one"), 0, 3);
		void session.frames;
		session.session.sender.sendData(streamOf(session), Buffer.from("two"), 0, 3);
		session.session.sender.sendEnd(streamOf(session), ["grpc-status", "0"]);
		assert.equal(session.frames.at(-1)?.payload.toString(), "one");
		session.isReading = true;
		session.session.onDrain();
		const [two, trailers] = session.frames.slice(-2);
		assert.equal(two?.payload.toString(), "two");
		assert.deepEqual([trailers?.type, trailers?.flags], [frameType.headers, frameFlag.endHeaders | frameFlag.endStream]);
	});

	it("4.3: blocks larger than a frame go out as HEADERS and CONTINUATION", () => {
		const session = new TestSession();
		session.feed(hello, open);
		const trailers = Array.from({ length: 5 }, (_, i) => [`x-${i}`, "v".repeat(10_000)]).flat();
		session.session.sender.sendEnd(streamOf(session), trailers);
		const pieces = session.frames.filter(({ streamId }) => streamId === 1);
		assert.deepEqual(
			pieces.map(({ type, flags }) => [type, flags]),
			[
				[1, 1],
				[9, 0],
				[9, 0],
				[9, 4],
			],
		);
		assert.equal(
			pieces.slice(0, 3).every(({ payload }) => payload.length === 16_384),
			true,
		);
	});

	it("6.8: after its last GOAWAY it takes no new streams, and finishes the old ones", () => {
		const session = new TestSession();
		session.feed(hello, open);
		session.session.isGoingAway = true;
		session.session.goaway(1, noError);
		session.feed(headers(3, requestFields()), frame(frameType.data, 1, 1, "x"));
		assert.deepEqual(session.events, ["open 1", "head GET / 1", "data x 1", "end 1"]);
		assert.equal(session.error, undefined);
	});

	const conversation = Buffer.concat([
		settings([1, 100], [4, 70_000]),
		frame(frameType.headers, 0, 1, block(requestFields("/one")).subarray(0, 20)),
		frame(frameType.continuation, 4, 1, block(requestFields("/one")).subarray(20)),
		frame(frameType.data, frameFlag.padded, 1, "\x03helloPAD"),
		frame(frameType.ping, 0, 0, "12345678"),
		settings(),
		frame(0x66, 0, 0),
		frame(frameType.data, 0, 1, " there"),
		headers(1, [["x-trailer", "t"]]),
		headers(3, requestFields("/three")),
		frame(frameType.priority, 0, 5, uint32(3, 0).subarray(0, 5)),
		frame(0x77, 0, 9, "unknown"),
		headers(5, requestFields("/five", [["content-length", "0"]]), 4),
		frame(frameType.data, 1, 5, ""),
	]);
	const told = (session: TestSession): string =>
		session.events
			.join("\n")
			.replaceAll(/ 1\ndata /g, "")
			.replaceAll(/data /g, "");

	it("4.1: frames mean the same, wherever the bytes are cut", () => {
		const expected = new TestSession();
		expected.feed(conversation);
		assert.equal(expected.events.length, 11);
		for (let cut = 1; cut < conversation.length; cut++) {
			const session = new TestSession();
			session.feed(conversation.subarray(0, cut));
			session.feed(conversation.subarray(cut));
			assert.equal(told(session), told(expected), `cut at ${cut}`);
		}
		const bytewise = new TestSession();
		for (let i = 0; i < conversation.length; i++) bytewise.feed(conversation.subarray(i, i + 1));
		assert.equal(told(bytewise), told(expected));
	});

	it("blocks of several connections that come in pieces at once do not mix, although they share memory", () => {
		const sessions = Array.from({ length: 40 }, () => new TestSession());
		for (let round = 0; round < 3; round++) {
			const id = 2 * round + 1;
			const pathOf = (i: number) => `/${round}-${i}-${"x".repeat(200 * i)}`;
			// Some fit into a frame, others do not; some end in the middle of one.
			const wires = sessions.map((_, i) => {
				const fields = block(requestFields(pathOf(i), [["x-long", "y".repeat(1200 * i)]]));
				const pieces = Array.from({ length: Math.ceil(fields.length / 9000) }, (_, k) => fields.subarray(9000 * k, 9000 * (k + 1)));
				const frames = pieces.map((piece, k) =>
					frame(k === 0 ? frameType.headers : frameType.continuation, (k === 0 ? 1 : 0) | (k === pieces.length - 1 ? 4 : 0), id, piece),
				);
				return Buffer.concat([...(round === 0 ? [hello] : []), ...frames]);
			});
			for (let at = 0; wires.some((wire) => at < wire.length); at += 1777) {
				for (const [i, session] of sessions.entries()) session.feed((wires[i] as Buffer).subarray(at, at + 1777));
			}
			for (const [i, session] of sessions.entries()) {
				assert.equal(session.error, undefined);
				assert.ok(session.events.includes(`head GET ${pathOf(i)} end ${id}`), `connection ${i}, request ${round}`);
			}
		}
	});

	it("takes blocks as large as the heads that are taken", () => {
		const field = (i: number) => [`x-${i}`, `${i}${"y".repeat(60_000)}`] as const;
		const large = (count: number) =>
			block(
				requestFields(
					"/large",
					Array.from({ length: count }, (_, i) => [...field(i)]),
				),
			);
		for (const [listBytesMax, count, isTaken] of [
			[1 << 20, 12, true],
			[1 << 20, 24, false],
			[60 * 1024, 12, false],
		] as const) {
			const session = new TestSession({}, listBytesMax);
			const fields = large(count);
			const pieces = Array.from({ length: Math.ceil(fields.length / 16_000) }, (_, k) => fields.subarray(16_000 * k, 16_000 * (k + 1)));
			const last = pieces.length - 1;
			session.feed(
				hello,
				...pieces.map((piece, k) => frame(k === 0 ? frameType.headers : frameType.continuation, (k === 0 ? 1 : 0) | (k === last ? 4 : 0), 1, piece)),
			);
			assert.equal(session.events.includes("head GET /large end 1"), isTaken, `${count} of ${listBytesMax}`);
		}
	});

	it("any bytes at all end in frames or in an error, never in an exception", () => {
		const anyFrame = fc
			.record({
				type: fc.integer({ min: 0, max: 10 }),
				flags: fc.integer({ min: 0, max: 255 }),
				id: fc.integer({ min: 0, max: 9 }),
				payload: fc.uint8Array({ maxLength: 60 }),
			})
			.map(({ type, flags, id, payload }) => frame(type, flags, id, Buffer.from(payload)));
		const valid = fc.integer({ min: 0, max: 5 }).map((n) => headers(2 * n + 1, requestFields(), n % 2 === 0 ? 5 : 4));
		fc.assert(
			fc.property(fc.array(fc.oneof(anyFrame, valid), { maxLength: 30 }), (frames) => {
				const session = new TestSession();
				session.feed(hello, ...frames);
				void session.frames;
				assert.ok(session.session.streams.size <= 30);
			}),
			{ numRuns: 2000 },
		);
	});
});
