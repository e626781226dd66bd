import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { errorCode, frameFlag, frameType, settingId } from "../data/http2/protocol.ts";
import { decodeFields, frame, headers, type RawPeer, settings, startRawServer, uint32 } from "../data/http2/test-frames.ts";
import { GrpcChannel } from "./channel.ts";
import { frameMessage } from "./message-reader.ts";
import { statusText } from "./status.ts";
import { createTestEnvironment, plainTarget, Recorder } from "./test-client.ts";

const head = headers(
	1,
	[
		[":status", "200"],
		["content-type", "application/grpc"],
	],
	frameFlag.endHeaders,
);
const trailers = (...fields: readonly (readonly [string, string])[]): Buffer => headers(1, fields);
const only = (...fields: readonly (readonly [string, string])[]): Buffer => headers(1, fields);
const message = frameMessage(Buffer.from("hello"));
const data = (payload: Buffer, flags = 0): Buffer => frame(frameType.data, flags, 1, payload);
const grpcHead = [
	[":status", "200"],
	["content-type", "application/grpc"],
] as const;

/** What a server sends when it has the request, what the call ends with, and the messages it brought. */
const answers: Readonly<Record<string, readonly [bytes: readonly Buffer[], ended: RegExp, messages?: number]>> = {
	"an answer as it should be": [[head, data(message), trailers(["grpc-status", "0"])], /^OK$/, 1],
	"a message in pieces": [
		[head, data(message.subarray(0, 3)), data(message.subarray(3, 7)), data(message.subarray(7)), trailers(["grpc-status", "0"])],
		/^OK$/,
		1,
	],
	"two messages in one frame": [[head, data(Buffer.concat([message, message])), trailers(["grpc-status", "0"])], /^OK$/, 2],
	"another gRPC content type": [
		[
			headers(
				1,
				[
					[":status", "200"],
					["content-type", "application/grpc+proto"],
				],
				frameFlag.endHeaders,
			),
			trailers(["grpc-status", "0"]),
		],
		/^OK$/,
	],
	"an interim head": [[headers(1, [[":status", "103"]], frameFlag.endHeaders), head, trailers(["grpc-status", "0"])], /^OK$/],
	"trailers only": [[only(...grpcHead, ["grpc-status", "7"], ["grpc-message", "go%20away"])], /^PERMISSION_DENIED: go away$/],
	"trailers only with an HTTP error": [[only([":status", "503"], ["grpc-status", "8"], ["grpc-message", "full"])], /^RESOURCE_EXHAUSTED: full$/],
	"a message that is not well encoded": [[only(...grpcHead, ["grpc-status", "3"], ["grpc-message", "50%"])], /^INVALID_ARGUMENT: 50%$/],
	"a status that is none": [[only(...grpcHead, ["grpc-status", "seven"])], /^UNKNOWN: .*"seven"/],
	"an unknown status": [[only(...grpcHead, ["grpc-status", "42"])], /^42$/],
	"an HTTP error": [[only([":status", "503"])], /^UNAVAILABLE: .*HTTP status 503/],
	"an HTTP error with a page": [
		[
			headers(
				1,
				[
					[":status", "404"],
					["content-type", "text/html"],
				],
				frameFlag.endHeaders,
			),
			data(Buffer.from("<p>")),
		],
		/^UNIMPLEMENTED: .*404/,
	],
	"a page": [
		[
			headers(
				1,
				[
					[":status", "200"],
					["content-type", "text/html"],
				],
				frameFlag.endHeaders,
			),
		],
		/^UNKNOWN: .*"text\/html"/,
	],
	"no status": [[head, data(message, frameFlag.endStream)], /^UNKNOWN: .*without a status/, 1],
	"an end within a message": [[head, data(message.subarray(0, 7)), trailers(["grpc-status", "0"])], /^INTERNAL: .*within a message/],
	"an oversize message (sec/e45)": [[head, data(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]))], /^RESOURCE_EXHAUSTED: .*4294967295 bytes/],
	"a compressed message (sec/e45)": [[head, data(Buffer.from([1, 0, 0, 0, 1, 0]))], /^UNIMPLEMENTED: .*compressed/],
	"a flag nobody knows": [[head, data(Buffer.from([2, 0, 0, 0, 0]))], /^INTERNAL: .*flag 2/],
	"a reset": [[head, frame(frameType.rstStream, 0, 1, uint32(errorCode.internalError))], /^INTERNAL: the server reset the call/],
	"a reset that cancels": [[frame(frameType.rstStream, 0, 1, uint32(errorCode.cancel))], /^CANCELLED/],
	"a reset for too much": [[frame(frameType.rstStream, 0, 1, uint32(errorCode.enhanceYourCalm))], /^RESOURCE_EXHAUSTED/],
	"a refusal": [[frame(frameType.rstStream, 0, 1, uint32(errorCode.refusedStream))], /^UNAVAILABLE: the server refused the call/],
	"a GOAWAY before the call": [[frame(frameType.goaway, 0, 0, uint32(0, errorCode.noError))], /^UNAVAILABLE: the server is going away/],
	"a GOAWAY that lets the call end": [
		[frame(frameType.goaway, 0, 0, uint32(1, errorCode.noError)), head, data(message), trailers(["grpc-status", "0"])],
		/^OK$/,
		1,
	],
	"broken HTTP/2": [[frame(frameType.ping, 0, 0, "short")], /^INTERNAL: .*rules of HTTP\/2/],
	"a field that is none": [
		[
			headers(
				1,
				[
					[":status", "200"],
					["Content-Type", "x"],
				],
				frameFlag.endHeaders,
			),
		],
		/^INTERNAL: .*rules of HTTP\/2/,
	],
};

const isRequest = (id: number) => (found: { type: number; flags: number; streamId: number }) =>
	found.type === frameType.data && found.streamId === id && (found.flags & frameFlag.endStream) !== 0;

describe("a gRPC call of a server that answers with", () => {
	for (const [name, [bytes, ended, messages = 0]] of Object.entries(answers)) {
		it(name, async () => {
			const server = await startRawServer(
				(peer) =>
					void peer.next(isRequest(1)).then(
						() => peer.send(...bytes),
						() => {},
					),
			);
			const environment = await createTestEnvironment();
			const channel = new GrpcChannel(plainTarget(server.port), environment);
			const heard = new Recorder();
			const call = channel.open({ path: "/a.B/C", metadata: { "x-a": "b" } }, heard);
			call.send(Buffer.from("request"));
			call.endSending();
			assert.match(statusText(await heard.ended), ended);
			assert.deepEqual(heard.messages.map(String), Array(messages).fill("hello"));
			assert.equal(call.isOver, true);
			channel.close();
			server.close();
		});
	}
});

async function sentFields(peer: RawPeer, id = 1): Promise<Record<string, string>> {
	const found = await peer.next(({ type, streamId }) => type === frameType.headers && streamId === id);
	return Object.fromEntries(decodeFields(peer.decoder, found.payload));
}

describe("a gRPC channel", () => {
	it("asks as the protocol has it", async () => {
		const server = await startRawServer(() => {});
		const channel = new GrpcChannel(plainTarget(server.port), await createTestEnvironment());
		const call = channel.open({ path: "/a.B/C", metadata: { "x-a": "b" }, timeoutMs: 2500 }, new Recorder());
		call.send(Buffer.from("hi"));
		call.endSending();
		while (server.peers.length === 0) await new Promise(setImmediate);
		const peer = server.peers[0] as RawPeer;
		const asked = await peer.next(isRequest(1));
		assert.deepEqual(await sentFields(peer), {
			":method": "POST",
			":authority": "service.test",
			":scheme": "http",
			":path": "/a.B/C",
			te: "trailers",
			"content-type": "application/grpc",
			"grpc-timeout": "2500m",
			"user-agent": "weft-proxy",
			"x-a": "b",
		});
		assert.deepEqual([...asked.payload], [0, 0, 0, 0, 2, 104, 105]);
		call.cancel();
		const reset = await peer.next(({ type }) => type === frameType.rstStream);
		assert.equal(reset.payload.readUInt32BE(0), errorCode.cancel);
		channel.close();
		await peer.until(() => peer.isClosed);
		server.close();
	});

	it("asks once more, on a new connection, when the server has not looked at the call", async () => {
		const server = await startRawServer((peer) => {
			const isFirst = server === undefined || server.peers.length === 1;
			void peer.next(isRequest(1)).then(
				() =>
					isFirst ? peer.send(frame(frameType.goaway, 0, 0, uint32(0, errorCode.noError))) : peer.send(head, data(message), trailers(["grpc-status", "0"])),
				() => {},
			);
		});
		const channel = new GrpcChannel(plainTarget(server.port), await createTestEnvironment());
		assert.equal((await channel.unary({ path: "/a.B/C" }, Buffer.from("x"))).toString(), "hello");
		assert.equal(server.peers.length, 2);
		channel.close();
		server.close();
	});

	it("asks no third time", async () => {
		const refusal = frame(frameType.rstStream, 0, 1, uint32(errorCode.refusedStream));
		let refused = 0;
		const server = await startRawServer((peer) => {
			const refuse = async () => {
				for (const id of [1, 3]) {
					await peer.next(isRequest(id));
					const answer = Buffer.from(refusal);
					answer.writeUInt32BE(id, 5);
					refused++;
					peer.send(answer);
				}
			};
			refuse().catch(() => {});
		});
		const channel = new GrpcChannel(plainTarget(server.port), await createTestEnvironment());
		await assert.rejects(channel.unary({ path: "/a.B/C" }, Buffer.from("x")), /UNAVAILABLE: the server refused the call/);
		assert.equal(refused, 2);
		channel.close();
		server.close();
	});

	it("tells of a server that takes no calls", async () => {
		const server = await startRawServer((peer) => peer.send(settings([settingId.maxConcurrentStreams, 0])));
		const channel = new GrpcChannel(plainTarget(server.port), await createTestEnvironment());
		const first = new Recorder();
		channel.open({ path: "/a.B/C", timeoutMs: 50 }, first);
		assert.match(statusText(await first.ended), /DEADLINE_EXCEEDED/);
		channel.close();
		server.close();
	});

	it("finds out within 45 s that a server has vanished without a word", async () => {
		let nowMs = 0;
		let answersPings = true;
		const server = await startRawServer((peer) => {
			let seen = 0;
			peer.socket.on("data", () => {
				const pings = peer.frames.filter(({ type, flags }) => type === frameType.ping && flags === 0);
				for (; seen < pings.length; seen++) if (answersPings) peer.send(frame(frameType.ping, frameFlag.ack, 0, pings[seen]?.payload));
			});
		});
		const environment = await createTestEnvironment({ nowMs: () => nowMs });
		const channel = new GrpcChannel(plainTarget(server.port), environment);
		const heard = new Recorder();
		channel.open({ path: "/a.B/C" }, heard);
		while (server.peers.length === 0) await new Promise(setImmediate);
		const peer = server.peers[0] as RawPeer;
		await sentFields(peer);
		const pings = () => peer.frames.filter(({ type }) => type === frameType.ping).length;
		const move = async (ms: number, isDone: () => boolean) => {
			nowMs += ms;
			const deadline = Date.now() + 5000;
			while (!isDone() && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
			assert.ok(isDone());
		};
		let isOver = false;
		void heard.ended.then(() => (isOver = true));
		// One answered, then silence.
		await move(30_500, () => pings() === 1);
		await new Promise((resolve) => setTimeout(resolve, 50));
		answersPings = false;
		await move(30_500, () => pings() === 2);
		assert.equal(isOver, false);
		await move(10_500, () => isOver);
		assert.match(statusText(await heard.ended), /^UNAVAILABLE: the connection was closed/);
		server.close();
	});
});
