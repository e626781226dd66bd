import { defaultFrameSize, errorCode, frameFlag, frameHeaderBytes, frameType, Http2ConnectionError } from "./protocol.ts";
import { SpareBuffers } from "./spare-buffers.ts";

/** What the frames are told to. Everything but DATA comes whole; the bytes are valid only during the call. */
export interface FrameEvents {
	onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void;
	/** `length`: of the payload, padding included, as flow control counts it. */
	onDataStart(streamId: number, length: number): void;
	onDataChunk(bytes: Buffer, start: number, end: number): void;
	onDataEnd(isEndStream: boolean): void;
}

const initialCarry = 256;
const noBytes: Buffer = Buffer.alloc(0);
/** Of a worker's connections: for frames that come in pieces. */
const frames = new SpareBuffers(frameHeaderBytes + defaultFrameSize, 32);

/** Cuts a byte stream into frames (RFC 9113 §4.1), at whatever places it arrives cut. */
export class FrameReader {
	isStopped = false;
	readonly #events: FrameEvents;
	readonly #frameSizeMax: number;
	/** A frame that has not come whole. */
	#carry: Buffer = noBytes;
	#carried = 0;
	/** Of the DATA frame under way. */
	#isInData = false;
	#awaitsPadLength = false;
	#dataLeft = 0;
	#padLeft = 0;
	#isEndStream = false;

	/** `frameSizeMax`: our SETTINGS_MAX_FRAME_SIZE. */
	constructor(events: FrameEvents, frameSizeMax: number) {
		this.#events = events;
		this.#frameSizeMax = frameSizeMax;
	}

	/** Whether a frame has begun and not ended. */
	get isInFrame(): boolean {
		return this.#carried > 0 || this.#isInData;
	}

	feed(bytes: Buffer, start: number, end: number): void {
		let at = start;
		while (at < end && !this.isStopped) {
			if (this.#isInData) at = this.#feedData(bytes, at, end);
			else if (this.#carried > 0) at = this.#complete(bytes, at, end);
			else at = this.#feedFrame(bytes, at, end);
		}
	}

	#feedFrame(bytes: Buffer, at: number, end: number): number {
		if (end - at < frameHeaderBytes) return this.#keep(bytes, at, end);
		const length = this.#lengthAt(bytes, at);
		const payload = at + frameHeaderBytes;
		if (bytes[at + 3] === frameType.data) {
			this.#beginData(bytes, at, length);
			return payload;
		}
		if (end - payload < length) return this.#keep(bytes, at, end);
		this.#emit(bytes, at, length);
		return payload + length;
	}

	#lengthAt(bytes: Buffer, at: number): number {
		const length = ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
		if (length > this.#frameSizeMax) throw new Http2ConnectionError(errorCode.frameSizeError, "frame larger than SETTINGS_MAX_FRAME_SIZE (RFC 9113 4.2)");
		return length;
	}

	#emit(bytes: Buffer, at: number, length: number): void {
		const payload = at + frameHeaderBytes;
		this.#events.onFrame(bytes[at + 3] as number, bytes[at + 4] as number, readUint31(bytes, at + 5), bytes, payload, payload + length);
	}

	#keep(bytes: Buffer, at: number, end: number): number {
		this.#carried = 0;
		this.#carryTo(end - at);
		bytes.copy(this.#carry, 0, at, end);
		this.#carried = end - at;
		return end;
	}

	#carryTo(length: number): void {
		if (this.#carry.length >= length) return;
		const larger = frames.take(Math.max(length, initialCarry));
		this.#carry.copy(larger, 0, 0, this.#carried);
		this.#replaceCarry(larger);
	}

	#replaceCarry(carry: Buffer): void {
		frames.give(this.#carry);
		this.#carry = carry;
	}

	/** Adds to what was carried, and no more than its frame needs. */
	#complete(bytes: Buffer, start: number, end: number): number {
		let at = start;
		if (this.#carried < frameHeaderBytes) {
			at = this.#append(bytes, at, end, frameHeaderBytes);
			if (this.#carried < frameHeaderBytes) return at;
			const length = this.#lengthAt(this.#carry, 0);
			if (this.#carry[3] === frameType.data) {
				this.#carried = 0;
				this.#beginData(this.#carry, 0, length);
				return at;
			}
		}
		const length = this.#lengthAt(this.#carry, 0);
		at = this.#append(bytes, at, end, frameHeaderBytes + length);
		if (this.#carried < frameHeaderBytes + length) return at;
		this.#carried = 0;
		this.#emit(this.#carry, 0, length);
		// A connection that waits for its next frame holds no buffer for a large one.
		if (this.#carry.length > initialCarry) this.#replaceCarry(noBytes);
		return at;
	}

	#append(bytes: Buffer, at: number, end: number, wanted: number): number {
		const stop = Math.min(end, at + wanted - this.#carried);
		this.#carryTo(wanted);
		bytes.copy(this.#carry, this.#carried, at, stop);
		this.#carried += stop - at;
		return stop;
	}

	#beginData(bytes: Buffer, at: number, length: number): void {
		const flags = bytes[at + 4] as number;
		this.#isInData = true;
		this.#awaitsPadLength = (flags & frameFlag.padded) !== 0;
		this.#isEndStream = (flags & frameFlag.endStream) !== 0;
		this.#dataLeft = length;
		this.#padLeft = 0;
		if (this.#awaitsPadLength && length === 0) throw new Http2ConnectionError(errorCode.frameSizeError, "padded DATA without a pad length (RFC 9113 6.1)");
		this.#events.onDataStart(readUint31(bytes, at + 5), length);
		if (length === 0) this.#endData();
	}

	#feedData(bytes: Buffer, start: number, end: number): number {
		let at = start;
		if (this.#awaitsPadLength) {
			this.#awaitsPadLength = false;
			this.#padLeft = bytes[at++] as number;
			this.#dataLeft -= 1 + this.#padLeft;
			if (this.#dataLeft < 0) throw new Http2ConnectionError(errorCode.protocolError, "padding longer than its frame (RFC 9113 6.1)");
		}
		const stop = Math.min(end, at + this.#dataLeft);
		if (stop > at) {
			this.#dataLeft -= stop - at;
			this.#events.onDataChunk(bytes, at, stop);
			at = stop;
		}
		const skipped = Math.min(end - at, this.#padLeft);
		if (this.#dataLeft === 0) {
			this.#padLeft -= skipped;
			at += skipped;
			if (this.#padLeft === 0) this.#endData();
		}
		return at;
	}

	#endData(): void {
		this.#isInData = false;
		this.#events.onDataEnd(this.#isEndStream);
	}
}

/** The reserved bit is ignored (RFC 9113 §4.1). */
export function readUint31(bytes: Buffer, at: number): number {
	return (((bytes[at] as number) & 0x7f) << 24) | ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
}
