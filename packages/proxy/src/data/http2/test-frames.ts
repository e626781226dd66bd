import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { FrameReader, type FrameEvents } from "./frame-reader.ts";
import { putFrameHeader } from "./frame-writer.ts";
import { type FieldSink, HpackDecoder } from "./hpack-decoder.ts";
import { putInteger } from "./hpack-encoder.ts";
import { clientPreface, frameFlag, frameHeaderBytes, frameType } from "./protocol.ts";

/** Test helper: frames by hand. */
export function frame(type: number, flags: number, streamId: number, payload: Buffer | string = ""): Buffer {
	const body = typeof payload === "string" ? Buffer.from(payload, "latin1") : payload;
	const bytes = Buffer.alloc(frameHeaderBytes + body.length);
	putFrameHeader(bytes, 0, body.length, type, flags, streamId);
	body.copy(bytes, frameHeaderBytes);
	return bytes;
}

export function uint32(...values: readonly number[]): Buffer {
	const bytes = Buffer.alloc(4 * values.length);
	for (const [i, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, 4 * i);
	return bytes;
}

/** Literals without indexing, so that blocks do not depend on each other. */
export function block(fields: readonly (readonly [string, string])[]): Buffer {
	const pieces: Buffer[] = [];
	for (const [name, value] of fields) {
		pieces.push(Buffer.from([0]));
		for (const text of [name, value]) {
			const length = Buffer.alloc(8);
			pieces.push(length.subarray(0, putInteger(length, 0, 0, 7, text.length)), Buffer.from(text, "latin1"));
		}
	}
	return Buffer.concat(pieces);
}

export const requestFields = (path = "/", more: readonly (readonly [string, string])[] = []): readonly (readonly [string, string])[] => [
	[":method", "GET"],
	[":scheme", "http"],
	[":path", path],
	[":authority", "h"],
	...more,
];

export function headers(streamId: number, fields: readonly (readonly [string, string])[], flags: number = frameFlag.endHeaders | frameFlag.endStream): Buffer {
	return frame(frameType.headers, flags, streamId, block(fields));
}

export const settings = (...pairs: readonly (readonly [id: number, value: number])[]): Buffer => {
	const bytes = Buffer.alloc(6 * pairs.length);
	for (const [i, [id, value]] of pairs.entries()) {
		bytes.writeUInt16BE(id, 6 * i);
		bytes.writeUInt32BE(value >>> 0, 6 * i + 2);
	}
	return frame(frameType.settings, 0, 0, bytes);
};

export interface ReceivedFrame {
	readonly type: number;
	readonly flags: number;
	readonly streamId: number;
	readonly payload: Buffer;
}

/** Keeps whole frames, DATA among them. */
export class FrameLog implements FrameEvents {
	readonly frames: ReceivedFrame[] = [];
	readonly reader = new FrameReader(this, 1 << 20);
	#streamId = 0;
	#pieces: Buffer[] = [];

	onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
		this.frames.push({ type, flags, streamId, payload: Buffer.from(bytes.subarray(start, end)) });
	}
	onDataStart(streamId: number): void {
		this.#streamId = streamId;
		this.#pieces = [];
	}
	onDataChunk(bytes: Buffer, start: number, end: number): void {
		this.#pieces.push(Buffer.from(bytes.subarray(start, end)));
	}
	onDataEnd(isEndStream: boolean): void {
		this.frames.push({ type: frameType.data, flags: isEndStream ? frameFlag.endStream : 0, streamId: this.#streamId, payload: Buffer.concat(this.#pieces) });
	}
}

export function decodeFields(decoder: HpackDecoder, payload: Buffer): [string, string][] {
	const fields: [string, string][] = [];
	const sink: FieldSink = {
		onField(nameBytes, nameStart, nameEnd, valueBytes, valueStart, valueEnd) {
			fields.push([nameBytes.latin1Slice(nameStart, nameEnd), valueBytes.latin1Slice(valueStart, valueEnd)]);
		},
	};
	decoder.decode(payload, 0, payload.length, sink);
	return fields;
}

/** A peer that speaks frames over a socket. */
export class RawPeer {
	readonly socket: Socket;
	readonly #log = new FrameLog();
	readonly decoder = new HpackDecoder(4096);
	isClosed = false;
	#check = (): void => {};
	#prefaceLeft: number;

	constructor(socket: Socket, isServer: boolean) {
		this.socket = socket;
		this.#prefaceLeft = isServer ? clientPreface.length : 0;
		socket.on("data", (bytes: Buffer) => {
			const skipped = Math.min(bytes.length, this.#prefaceLeft);
			this.#prefaceLeft -= skipped;
			this.#log.reader.feed(bytes, skipped, bytes.length);
			this.#check();
		});
		socket.on("error", () => {});
		for (const event of ["end", "close"])
			socket.on(event, () => {
				this.isClosed = true;
				this.#check();
			});
	}

	get frames(): readonly ReceivedFrame[] {
		return this.#log.frames;
	}

	send(...pieces: readonly Buffer[]): void {
		if (!this.socket.destroyed) this.socket.write(Buffer.concat(pieces));
	}

	/** The first frame that `matches`; rejects when the connection closes without. */
	async next(matches: (found: ReceivedFrame) => boolean): Promise<ReceivedFrame> {
		await this.until(() => this.frames.some(matches));
		const found = this.frames.find(matches);
		if (found === undefined) throw new Error(`closed after ${JSON.stringify(this.frames.map(({ type, streamId }) => [type, streamId]))}`);
		return found;
	}

	/** Until it holds, or the connection is closed. */
	until(holds: () => boolean): Promise<void> {
		return new Promise((resolve) => {
			this.#check = () => {
				if (holds() || this.isClosed) resolve();
			};
			this.#check();
		});
	}

	close(): void {
		this.socket.destroy();
	}
}

/** Has sent its preface and read the other's. */
export async function openRawClient(port: number, ...ownSettings: readonly (readonly [number, number])[]): Promise<RawPeer> {
	const socket = connect({ port, host: "127.0.0.1" });
	await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
	const peer = new RawPeer(socket, false);
	peer.send(clientPreface, settings(...ownSettings));
	await peer.next(({ type }) => type === frameType.settings);
	peer.send(frame(frameType.settings, frameFlag.ack, 0));
	return peer;
}

export interface RawServer {
	readonly port: number;
	readonly peers: RawPeer[];
	close(): void;
}

export function startRawServer(onPeer: (peer: RawPeer) => void): Promise<RawServer> {
	const peers: RawPeer[] = [];
	const server: Server = createServer((socket) => {
		const peer = new RawPeer(socket, true);
		peers.push(peer);
		peer.send(settings(), frame(frameType.settings, frameFlag.ack, 0));
		onPeer(peer);
	});
	return new Promise((resolve) => {
		server.listen(0, "127.0.0.1", () =>
			resolve({
				port: (server.address() as AddressInfo).port,
				peers,
				close() {
					server.close();
					for (const peer of peers) peer.close();
				},
			}),
		);
	});
}
