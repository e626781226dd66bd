import { endHeaders, writeData } from "./frame-writer.ts";
import type { FloodGuard } from "./flood-guard.ts";
import { encodeTrailers, trailersBytesMax } from "./head-encoder.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import type { Http2Stream } from "./http2-stream.ts";
import { noQueue } from "./http2-stream.ts";
import type { Outbound } from "./outbound.ts";
import { defaultWindow, errorCode, frameFlag, frameHeaderBytes, Http2ConnectionError, windowMax } from "./protocol.ts";
import type { PeerSettings } from "./settings.ts";
import type { StreamTable } from "./stream-table.ts";

/** A stream's producer is stopped when this much of its waits. */
const queuedBytesSoft = 64 * 1024;
/** Over all streams: from the first on, until the second, producers of streams with next to no window are stopped beforehand. */
const crowdedBytes = 4 * 1024 * 1024;
const uncrowdedBytes = 2 * 1024 * 1024;
const smallWindow = 16 * 1024;
/** What had been read when they were stopped comes on top. A peer that gets here keeps hundreds of streams waiting. */
const queuedBytesMax = 32 * 1024 * 1024;
/** Larger frames would make streams wait for each other. */
const dataBytesMax = 16 * 1024;
const noBytes: Buffer = Buffer.alloc(0);

export interface SenderEvents {
	/** END_STREAM has been written. */
	onLocalEnd(stream: Http2Stream): void;
	/** More waits than is bearable. */
	onOverflow(): void;
}

/** What one connection sends on its streams: field blocks at once, DATA as the peer's windows allow (RFC 9113 §5.2). */
export class Sender {
	readonly encoder = new HpackEncoder();
	readonly #outbound: Outbound;
	readonly #peer: PeerSettings;
	readonly #streams: StreamTable;
	readonly #flood: FloodGuard;
	readonly #events: SenderEvents;
	#sendWindow = defaultWindow;
	#queuedBytes = 0;
	/** So much waits that more is only taken for streams that get on. */
	#isCrowded = false;
	/** Streams that have something to send and room for it, in turn. */
	readonly #line: Http2Stream[] = [];

	constructor(outbound: Outbound, peer: PeerSettings, streams: StreamTable, flood: FloodGuard, events: SenderEvents) {
		this.#outbound = outbound;
		this.#peer = peer;
		this.#streams = streams;
		this.#flood = flood;
		this.#events = events;
	}

	/** Room for a field block; it is to be written behind the header of its frame, at the position given, and ended by `endBlock`. */
	beginBlock(blockBytesMax: number): number {
		const frames = 2 + Math.floor(blockBytesMax / this.#peer.maxFrameSize);
		this.#outbound.reserve(frameHeaderBytes * frames + blockBytesMax);
		return this.#outbound.length + frameHeaderBytes;
	}

	/** `end`: behind the block. */
	endBlock(stream: Http2Stream, end: number, isEnd: boolean): void {
		const outbound = this.#outbound;
		const at = outbound.length;
		endHeaders(outbound, at, end - at - frameHeaderBytes, stream.id, isEnd, this.#peer.maxFrameSize);
		if (isEnd) this.#events.onLocalEnd(stream);
	}

	/** Sends what the windows allow and keeps the rest. The caller has to stop between `onBlocked` and `onDrain`. */
	sendData(stream: Http2Stream, bytes: Buffer, start: number, end: number): void {
		if (stream.isGone || stream.isLocalClosed) return;
		const at = stream.queuedBytes > 0 ? start : this.#sendNow(stream, bytes, start, end);
		if (at === end) {
			if (this.#isCrowded) this.#judge(stream);
			return;
		}
		if (stream.queue === noQueue) stream.queue = [];
		stream.queue.push(Buffer.from(bytes.subarray(at, end)));
		stream.queuedBytes += end - at;
		this.#queuedBytes += end - at;
		if (stream.sendWindow > 0) this.#enqueue(stream);
		if (this.#queuedBytes > queuedBytesMax) return this.#events.onOverflow();
		if (!this.#isCrowded && this.#queuedBytes > crowdedBytes) this.#judgeAll(true);
		else this.#judge(stream);
	}

	/** Whether the stream's producer is to stop. Those whose streams get on are never stopped for others. */
	#judge(stream: Http2Stream): void {
		const { queuedBytes, sendWindow } = stream;
		const mustStop = queuedBytes >= queuedBytesSoft || (this.#isCrowded && (queuedBytes > 0 || sendWindow < smallWindow));
		if (mustStop === stream.isStopped || stream.isGone) return;
		stream.isStopped = mustStop;
		if (mustStop) stream.onBlocked();
		else stream.onDrain();
	}

	#judgeAll(isCrowded: boolean): void {
		this.#isCrowded = isCrowded;
		for (const stream of this.#streams.list()) this.#judge(stream);
	}

	#sendNow(stream: Http2Stream, bytes: Buffer, start: number, end: number): number {
		let at = start;
		while (at < end && !this.#outbound.isBlocked) {
			const count = Math.min(end - at, this.#peer.maxFrameSize, dataBytesMax, stream.sendWindow, this.#sendWindow);
			if (count <= 0) break;
			this.#putData(stream, bytes, at, at + count, false);
			at += count;
		}
		return at;
	}

	#putData(stream: Http2Stream, bytes: Buffer, start: number, end: number, isEnd: boolean): void {
		stream.sendWindow -= end - start;
		this.#sendWindow -= end - start;
		stream.dataAt = writeData(this.#outbound, stream.id, bytes, start, end, isEnd);
		stream.dataEpoch = this.#outbound.epoch;
		this.#flood.onDataSent();
	}

	/** `trailers`: name, value, name, value … */
	sendEnd(stream: Http2Stream, trailers: readonly string[]): void {
		if (stream.isGone || stream.isLocalClosed || stream.endsAfterQueue) return;
		if (stream.queuedBytes === 0) return this.#putEnd(stream, trailers);
		stream.endsAfterQueue = true;
		// The caller's list may be used again before the queue is empty.
		stream.trailers = trailers.length === 0 ? trailers : [...trailers];
	}

	#putEnd(stream: Http2Stream, trailers: readonly string[]): void {
		const outbound = this.#outbound;
		if (trailers.length > 0) {
			const at = this.beginBlock(trailersBytesMax(trailers));
			return this.endBlock(stream, encodeTrailers(this.encoder, outbound.bytes, at, trailers), true);
		}
		// The end goes with the last of the body as long as that has not left.
		if (stream.dataAt >= 0 && stream.dataEpoch === outbound.epoch && outbound.length > 0) outbound.bytes[stream.dataAt + 4] = frameFlag.endStream;
		else writeData(outbound, stream.id, noBytes, 0, 0, true);
		this.#events.onLocalEnd(stream);
	}

	#enqueue(stream: Http2Stream): void {
		if (stream.isInLine) return;
		stream.isInLine = true;
		this.#line.push(stream);
	}

	/** Streams that wait take turns, a frame each. */
	pump(): void {
		const line = this.#line;
		while (line.length > 0 && this.#sendWindow > 0 && !this.#outbound.isBlocked) {
			const stream = line.shift() as Http2Stream;
			stream.isInLine = false;
			if (stream.isGone || stream.queuedBytes === 0 || stream.sendWindow <= 0) continue;
			this.#sendQueued(stream);
			if (stream.queuedBytes > 0) this.#enqueue(stream);
		}
	}

	#sendQueued(stream: Http2Stream): void {
		const first = stream.queue[0] as Buffer;
		const count = Math.min(first.length - stream.queueAt, this.#peer.maxFrameSize, dataBytesMax, stream.sendWindow, this.#sendWindow);
		stream.queuedBytes -= count;
		this.#queuedBytes -= count;
		this.#putData(stream, first, stream.queueAt, stream.queueAt + count, false);
		stream.queueAt += count;
		if (stream.queueAt === first.length) {
			stream.queue.shift();
			stream.queueAt = 0;
		}
		if (stream.queuedBytes === 0 && stream.endsAfterQueue) return this.#putEnd(stream, stream.trailers);
		if (this.#isCrowded && this.#queuedBytes < uncrowdedBytes) this.#judgeAll(false);
		else if (stream.isStopped) this.#judge(stream);
	}

	/** WINDOW_UPDATE for the connection. */
	widen(increment: number): void {
		this.#sendWindow += increment;
		if (this.#sendWindow > windowMax) throw new Http2ConnectionError(errorCode.flowControlError, "connection window too large (RFC 9113 6.9.1)");
		this.pump();
	}

	/** The stream's window has grown. */
	resume(stream: Http2Stream): void {
		if (stream.queuedBytes > 0 && stream.sendWindow > 0) {
			this.#enqueue(stream);
			this.pump();
		} else if (stream.isStopped) this.#judge(stream);
	}

	/** A stream has begun. */
	admit(stream: Http2Stream): void {
		if (this.#isCrowded) this.#judge(stream);
	}

	/** RFC 9113 §6.9.2; windows may become negative. */
	moveWindows(change: number): void {
		for (const stream of this.#streams.list()) {
			stream.sendWindow += change;
			if (stream.sendWindow > windowMax)
				throw new Http2ConnectionError(errorCode.flowControlError, "SETTINGS_INITIAL_WINDOW_SIZE makes a window too large (RFC 9113 6.9.2)");
			if (stream.queuedBytes > 0 && stream.sendWindow > 0) this.#enqueue(stream);
			if (stream.isStopped) this.#judge(stream);
		}
	}

	/** The stream is gone. `isOver`: so is the connection. */
	forget(stream: Http2Stream, isOver: boolean): void {
		this.#queuedBytes -= stream.queuedBytes;
		stream.queuedBytes = 0;
		stream.queue = noQueue;
		if (stream.isInLine) this.#line.splice(this.#line.indexOf(stream), 1);
		if (this.#isCrowded && this.#queuedBytes < uncrowdedBytes && !isOver) this.#judgeAll(false);
	}
}
