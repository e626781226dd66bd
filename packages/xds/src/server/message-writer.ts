import type { ServerHttp2Stream } from "node:http2";
import { Metadata, type ServerDuplexStream } from "@grpc/grpc-js";
import type { WireMessage } from "./wire.ts";

/** `done`: called later, once, when the bytes were handed to the transport; with an error when the stream is gone. */
export type MessageWriter = (message: WireMessage, done: Done) => void;

type Done = (error?: Error | null) => void;

type Call = ServerDuplexStream<unknown, Buffer>;

/**
 * Writes gRPC messages to a call. grpc-js copies every message into a buffer of its own, which for a mesh's configuration
 * is most of a push's CPU and memory; so the pieces go to the HTTP/2 stream beneath it by one gathering write, as they are.
 * Nothing else may write to the call.
 */
export function createMessageWriter(call: Call): MessageWriter {
	const stream = http2StreamOf(call);
	if (stream === undefined) return ({ pieces }, done) => void call.write(Buffer.concat(pieces), done);
	let begun = false;
	return (message, done) => {
		if (call.cancelled || stream.destroyed || stream.writableEnded) return process.nextTick(done, new Error("the stream has ended"));
		if (!begun) call.sendMetadata(new Metadata());
		begun = true;
		writePieces(stream, message, done);
	};
}

/** Small messages as they are sent: the same one goes to many clients. */
const framed = new WeakMap<WireMessage, Buffer>();

const prefixBytes = 5;
/** So little is sooner copied than handed on in pieces. */
const copiedBytesMax = 8 << 10;

/** `Length-Prefixed-Message`, never compressed: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. */
function writePieces(stream: ServerHttp2Stream, message: WireMessage, done: Done): void {
	const { pieces, length } = message;
	if (length <= copiedBytesMax) {
		stream.write(frame(message), done);
		return;
	}
	const head = join(pieces.slice(0, 1), length);
	stream.cork();
	stream.write(head, pieces.length === 1 ? done : undefined);
	for (let i = 1; i < pieces.length; i++) stream.write(pieces[i], i === pieces.length - 1 ? done : undefined);
	stream.uncork();
}

function frame(message: WireMessage): Buffer {
	let bytes = framed.get(message);
	if (bytes === undefined) {
		bytes = join(message.pieces, message.length);
		framed.set(message, bytes);
	}
	return bytes;
}

/** The prefix of a message of `length` bytes, and the pieces that it begins with. */
function join(pieces: readonly Uint8Array[], length: number): Buffer {
	const bytes = Buffer.allocUnsafe(prefixBytes + pieces.reduce((sum, piece) => sum + piece.length, 0));
	bytes.writeUInt8(0, 0);
	bytes.writeUInt32BE(length, 1);
	let at = prefixBytes;
	for (const piece of pieces) {
		bytes.set(piece, at);
		at += piece.length;
	}
	return bytes;
}

/**
 * The stream of a call of @grpc/grpc-js 1.14, which has no public way to it: call → (interceptors) → the call at the bottom.
 * Undefined where that is not what it looks like; the message is then written the ordinary way.
 */
function http2StreamOf(call: Call): ServerHttp2Stream | undefined {
	const layersMax = 8;
	let layer: unknown = property(call, "call");
	for (let i = 0; i < layersMax && layer !== undefined; i++) {
		const stream = property(layer, "stream");
		if (isHttp2Stream(stream)) return stream;
		layer = property(layer, "nextCall");
	}
	return undefined;
}

function property(of: unknown, name: string): unknown {
	return typeof of === "object" && of !== null ? Reflect.get(of, name) : undefined;
}

function isHttp2Stream(value: unknown): value is ServerHttp2Stream {
	return typeof property(value, "respond") === "function" && typeof property(value, "cork") === "function";
}
