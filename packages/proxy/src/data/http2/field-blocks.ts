import { FloodError, type FloodGuard } from "./flood-guard.ts";
import { readUint31 } from "./frame-reader.ts";
import { http2Stat } from "./http2-stats.ts";
import { defaultFrameSize, errorCode, fail, frameFlag } from "./protocol.ts";
import { SpareBuffers } from "./spare-buffers.ts";

/** Encoded, over all its frames, whatever is kept of what it decodes to. */
const blockBytesMin = 128 * 1024;
/** What a field's encoding may have beside its name and value, for as many as there can be. */
const overheadBytesMax = 64 * 1024;
const noBytes: Buffer = Buffer.alloc(0);
/** Of a worker's connections: for blocks of about a frame, and for all larger ones. */
const smallBlocks = new SpareBuffers(defaultFrameSize, 32);
const largeBlocks = new SpareBuffers(blockBytesMin, 16);

/** Whom whole field blocks go to; the bytes are valid only during the call. */
export interface FieldBlockEvents {
	/** `isOwnParent`: its priority makes the stream depend on itself. */
	onBlock(id: number, isEnd: boolean, isOwnParent: boolean, bytes: Buffer, start: number, end: number): void;
	/** One of `http2Stat`. */
	countBlock(stat: number): void;
}

/** Field blocks, each of one HEADERS and any CONTINUATION frames (RFC 9113 §4.3). */
export class FieldBlocks {
	readonly #events: FieldBlockEvents;
	readonly #flood: FloodGuard;
	readonly #bytesMax: number;
	/** Whose block has not come whole; 0: nobody's. */
	#stream = 0;
	#isEnd = false;
	#isOwnParent = false;
	#block: Buffer = noBytes;
	#blockBytes = 0;

	/** `listBytesMax`: of the names and values that the owner takes. */
	constructor(events: FieldBlockEvents, flood: FloodGuard, listBytesMax: number) {
		this.#events = events;
		this.#flood = flood;
		this.#bytesMax = Math.max(blockBytesMin, listBytesMax + overheadBytesMax);
	}

	/** A block has begun and not ended: its stream; else 0. */
	get pending(): number {
		return this.#stream;
	}

	onHeaders(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
		if (id === 0) fail(errorCode.protocolError, "HEADERS on stream 0 (RFC 9113 6.2)");
		this.#flood.onPayload(end - start, (flags & frameFlag.endStream) !== 0);
		let at = start;
		let stop = end;
		if ((flags & frameFlag.padded) !== 0) {
			if (at === stop) fail(errorCode.frameSizeError, "padded HEADERS without a pad length (RFC 9113 6.2)");
			stop -= bytes[at++] as number;
		}
		let isOwnParent = false;
		if ((flags & frameFlag.priority) !== 0) {
			if (stop - at < 5) fail(stop < at ? errorCode.protocolError : errorCode.frameSizeError, "HEADERS too short for its priority (RFC 9113 6.2)");
			isOwnParent = readUint31(bytes, at) === id;
			at += 5;
		}
		if (stop < at) fail(errorCode.protocolError, "padding longer than its frame (RFC 9113 6.2)");
		const isEnd = (flags & frameFlag.endStream) !== 0;
		if ((flags & frameFlag.endHeaders) !== 0) return this.#events.onBlock(id, isEnd, isOwnParent, bytes, at, stop);
		this.#stream = id;
		this.#isEnd = isEnd;
		this.#isOwnParent = isOwnParent;
		this.#blockBytes = 0;
		this.#add(bytes, at, stop);
	}

	onContinuation(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
		if (this.#stream === 0 || id === 0) fail(errorCode.protocolError, "CONTINUATION without HEADERS (RFC 9113 6.10)");
		this.#flood.onPayload(end - start, false);
		this.#add(bytes, start, end);
		if ((flags & frameFlag.endHeaders) === 0) return;
		this.#stream = 0;
		this.#events.onBlock(id, this.#isEnd, this.#isOwnParent, this.#block, 0, this.#blockBytes);
		this.#replaceBlock(noBytes);
	}

	#add(bytes: Buffer, start: number, end: number): void {
		const length = this.#blockBytes + end - start;
		if (length > this.#bytesMax) {
			this.#events.countBlock(http2Stat.header_overflow);
			this.#replaceBlock(noBytes);
			throw new FloodError("field block too large", undefined);
		}
		if (this.#block.length < length) {
			const wanted = Math.min(Math.max(length, 2 * this.#block.length), this.#bytesMax);
			const larger = (wanted <= smallBlocks.bytes ? smallBlocks : largeBlocks).take(wanted);
			this.#block.copy(larger, 0, 0, this.#blockBytes);
			this.#replaceBlock(larger);
		}
		bytes.copy(this.#block, this.#blockBytes, start, end);
		this.#blockBytes = length;
	}

	#replaceBlock(block: Buffer): void {
		(this.#block.length === smallBlocks.bytes ? smallBlocks : largeBlocks).give(this.#block);
		this.#block = block;
	}
}
