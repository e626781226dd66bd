import type { Http2Options } from "../../config/http2-options.ts";
import { EndedStreams } from "./ended-streams.ts";
import { FloodError, FloodGuard, PrematureResetsError } from "./flood-guard.ts";
import { FrameReader, type FrameEvents, readUint31 } from "./frame-reader.ts";
import { writeGoaway, writePing, writeReset, writeSettings, writeSettingsAck, writeWindowUpdate } from "./frame-writer.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { http2Stat } from "./http2-stats.ts";
import type { Http2Stream, ResetCause } from "./http2-stream.ts";
import type { Outbound } from "./outbound.ts";
import {
	defaultFrameSize,
	defaultTableSize,
	defaultWindow,
	errorCode,
	frameFlag,
	frameType,
	Http2ConnectionError,
	streamIdMax,
	windowMax,
} from "./protocol.ts";
import { Sender, type SenderEvents } from "./sender.ts";
import { applySettings, createPeerSettings, type PeerSettings } from "./settings.ts";
import type { Malformed } from "./request-fields.ts";
import { StreamTable } from "./stream-table.ts";
import { ignoredFields, TrailerFields } from "./trailer-fields.ts";

/** Encoded, over all its frames. Decoding stops much earlier to keep what it decodes. */
const blockBytesMax = 128 * 1024;
/** Whose session it is. */
export interface SessionOwner {
	readonly isServer: boolean;
	/** Limits of trailers; heads have their streams' own. */
	readonly listBytesMax: number;
	readonly headersMax: number;
	/** A request on a new stream; undefined: it is refused. Only called on servers. */
	openStream(id: number): Http2Stream | undefined;
	/** A stream is over, by whatever way. */
	onStreamClosed(stream: Http2Stream): void;
	/** The peer's settings have changed. */
	onSettings(settings: PeerSettings): void;
	/** The peer takes no streams after `lastStreamId`. */
	onGoaway(lastStreamId: number, code: number): void;
	onPong(): void;
	/** GOAWAY has been written; there is no going on. */
	onFailed(error: Http2ConnectionError): void;
	/** One of `http2Stat`. */
	count(stat: number): void;
}

/** What is a limit of ours, not a rule: the connection goes on. */
const limitStats: Readonly<Partial<Record<Malformed, number>>> = {
	"http2.header_list_size_too_large": http2Stat.header_list_size_too_large,
	"http2.too_many_headers": http2Stat.header_overflow,
	"http2.unexpected_underscore": http2Stat.requests_rejected_with_underscores_in_headers,
};
/** One at a time. */
const trailerFields = new TrailerFields();

/**
 * One HTTP/2 connection, either end of it: frames in, frames out, the states of its streams, flow control (RFC 9113).
 * It knows no sockets: bytes come by `feed` and leave by the outbound.
 */
export class Http2Session implements FrameEvents, SenderEvents {
	readonly outbound: Outbound;
	readonly sender: Sender;
	readonly peer: PeerSettings = createPeerSettings();
	readonly streams = new StreamTable();
	/** Highest of the peer's that was worked on. */
	lastStreamId = 0;
	isFailed = false;
	/** The peer's first SETTINGS have come. */
	hasPeerSettings = false;
	/** Nothing new is taken: a final GOAWAY was sent. */
	isGoingAway = false;
	readonly #options: Http2Options;
	readonly #owner: SessionOwner;
	readonly #reader: FrameReader;
	readonly #decoder: HpackDecoder;
	readonly #flood: FloodGuard;
	readonly #nowMs: () => number;
	#hasPreface = false;
	#receiveWindow = defaultWindow;
	#credit = 0;
	/** A field block that has not come whole; stream 0: none. */
	#blockStream = 0;
	#blockFlags = 0;
	#block: Buffer = Buffer.alloc(0);
	#blockBytes = 0;
	/** Of the DATA frame under way; without a stream it is nobody's. */
	#dataStream: Http2Stream | undefined;
	#dataLength = 0;
	#dataPassed = 0;
	readonly #ended = new EndedStreams();

	constructor(owner: SessionOwner, options: Http2Options, outbound: Outbound, nowMs: () => number) {
		this.#owner = owner;
		this.#options = options;
		this.outbound = outbound;
		this.#nowMs = nowMs;
		this.#reader = new FrameReader(this, defaultFrameSize);
		this.#decoder = new HpackDecoder(Math.max(defaultTableSize, options.headerTableSize));
		this.#flood = new FloodGuard(options, nowMs);
		this.sender = new Sender(outbound, this.peer, this.streams, this.#flood, this);
	}

	/** Our side of the preface (RFC 9113 §3.4), but for the client's 24 bytes. */
	start(): void {
		const options = this.#options;
		const { isServer } = this.#owner;
		writeSettings(this.outbound, {
			...(options.headerTableSize === defaultTableSize ? {} : { headerTableSize: options.headerTableSize }),
			...(isServer ? { maxConcurrentStreams: options.maxConcurrentStreams } : { enablePush: 0 }),
			initialWindowSize: options.streamWindow,
			...(isServer && options.allowConnect ? { enableConnectProtocol: 1 } : {}),
		});
		if (options.connectionWindow <= defaultWindow) return;
		this.#receiveWindow = options.connectionWindow;
		writeWindowUpdate(this.outbound, 0, options.connectionWindow - defaultWindow);
	}

	/** Whether a frame, or a field block, has begun and not ended. */
	get isInFrame(): boolean {
		return this.#reader.isInFrame || this.#blockStream !== 0;
	}

	feed(bytes: Buffer, start: number, end: number): void {
		if (this.isFailed) return;
		try {
			this.#reader.feed(bytes, start, end);
			this.#flood.onQueued(this.outbound.frames, this.outbound.controlFrames);
		} catch (error) {
			if (!(error instanceof Http2ConnectionError)) throw error;
			this.fail(error);
		}
	}

	/** Says why and ends (RFC 9113 §5.4.1). */
	fail(error: Http2ConnectionError): void {
		if (this.isFailed) return;
		if (error instanceof FloodError && error.stat !== undefined) this.#owner.count(error.stat);
		this.goaway(this.lastStreamId, error.code, error.message);
		this.isFailed = true;
		this.#reader.isStopped = true;
		this.#owner.onFailed(error);
	}

	goaway(lastStreamId: number, code: number, message = ""): void {
		if (this.isFailed) return;
		this.#owner.count(http2Stat.goaway_sent);
		writeGoaway(this.outbound, lastStreamId, code, message);
	}

	/** The connection is gone: every stream hears of it. */
	close(code: number, cause: ResetCause): void {
		this.isFailed = true;
		this.#reader.isStopped = true;
		for (const stream of this.streams.list()) this.#drop(stream, code, cause);
	}

	/** The peer's GOAWAY: what it has not looked at may be sent elsewhere (RFC 9113 §6.8). */
	dropAfter(lastStreamId: number, code: number): void {
		for (const stream of this.streams.list()) if (stream.id > lastStreamId) this.#drop(stream, code, "goaway");
	}

	// ---- frames in

	onFrame(type: number, flags: number, id: number, bytes: Buffer, start: number, end: number): void {
		if (!this.#hasPreface) {
			if (type !== frameType.settings || (flags & frameFlag.ack) !== 0) fail(errorCode.protocolError, "the first frame is not SETTINGS (RFC 9113 3.4)");
			this.#hasPreface = true;
		}
		if (this.#blockStream !== 0 && (type !== frameType.continuation || id !== this.#blockStream))
			fail(errorCode.protocolError, "another frame within a field block (RFC 9113 4.3)");
		switch (type) {
			case frameType.headers:
				return this.#onHeaders(flags, id, bytes, start, end);
			case frameType.continuation:
				return this.#onContinuation(flags, id, bytes, start, end);
			case frameType.priority:
				return this.#onPriority(id, bytes, start, end);
			case frameType.rstStream:
				return this.#onRstStream(id, bytes, start, end);
			case frameType.settings:
				return this.#onSettings(flags, id, bytes, start, end);
			case frameType.pushPromise:
				return fail(errorCode.protocolError, "PUSH_PROMISE, which nobody may send here (RFC 9113 8.4)");
			case frameType.ping:
				return this.#onPing(flags, id, bytes, start, end);
			case frameType.goaway:
				return this.#onGoaway(id, bytes, start, end);
			case frameType.windowUpdate:
				return this.#onWindowUpdate(id, bytes, start, end);
			default:
				// RFC 9113 §5.5.
				return this.#flood.onControl();
		}
	}

	#onHeaders(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
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
		this.#blockStream = id;
		this.#blockFlags = flags;
		if (isOwnParent) this.#blockFlags |= ownParentFlag;
		if ((flags & frameFlag.endHeaders) !== 0) return this.#onBlock(bytes, at, stop);
		this.#blockBytes = 0;
		this.#addToBlock(bytes, at, stop);
	}

	#onContinuation(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
		if (this.#blockStream === 0 || id === 0) fail(errorCode.protocolError, "CONTINUATION without HEADERS (RFC 9113 6.10)");
		this.#flood.onPayload(end - start, false);
		this.#addToBlock(bytes, start, end);
		if ((flags & frameFlag.endHeaders) === 0) return;
		const block = this.#block;
		this.#block = noBytes;
		this.#onBlock(block, 0, this.#blockBytes);
	}

	#addToBlock(bytes: Buffer, start: number, end: number): void {
		const length = this.#blockBytes + end - start;
		if (length > blockBytesMax) {
			this.#owner.count(http2Stat.header_overflow);
			throw new FloodError("field block too large", undefined);
		}
		if (this.#block.length < length) {
			const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#block.length, length));
			this.#block.copy(larger, 0, 0, this.#blockBytes);
			this.#block = larger;
		}
		bytes.copy(this.#block, this.#blockBytes, start, end);
		this.#blockBytes = length;
	}

	/** A whole field block: a request, a response, or trailers. */
	#onBlock(bytes: Buffer, start: number, end: number): void {
		const id = this.#blockStream;
		const flags = this.#blockFlags;
		this.#blockStream = 0;
		const isEnd = (flags & frameFlag.endStream) !== 0;
		const stream = this.streams.get(id) ?? this.#openStream(id);
		if (stream === undefined) return this.#decoder.decode(bytes, start, end, ignoredFields);
		if ((flags & ownParentFlag) !== 0) {
			this.#decoder.decode(bytes, start, end, ignoredFields);
			return this.reset(stream, errorCode.protocolError);
		}
		if (stream.isRemoteClosed) {
			this.#decoder.decode(bytes, start, end, ignoredFields);
			return this.reset(stream, errorCode.streamClosed);
		}
		if (stream.hasHead) return this.#onTrailers(stream, isEnd, bytes, start, end);
		const malformed = stream.readHead(this.#decoder, bytes, start, end, isEnd);
		if (malformed !== undefined) return this.#onMalformed(stream, malformed);
		if (isEnd) stream.isRemoteClosed = true;
		stream.onHead(isEnd);
		if (isEnd) this.#closeIfDone(stream);
		this.sender.admit(stream);
	}

	/** undefined: the block is to be decoded and forgotten. */
	#openStream(id: number): Http2Stream | undefined {
		const owner = this.#owner;
		if (!owner.isServer) {
			// Streams are ours to open; what comes on one that is over crossed our reset.
			if (id > this.lastStreamId || (id & 1) === 0) fail(errorCode.protocolError, "HEADERS on a stream that was never opened (RFC 9113 5.1.1)");
			owner.count(http2Stat.headers_cb_no_stream);
			return undefined;
		}
		if ((id & 1) === 0) fail(errorCode.protocolError, "even stream id from a client (RFC 9113 5.1.1)");
		if (id <= this.lastStreamId) {
			const ended = this.#ended.find(id);
			if (ended === "reset") return undefined;
			fail(ended === "unknown" ? errorCode.protocolError : errorCode.streamClosed, "HEADERS on a closed stream (RFC 9113 5.1)");
		}
		// Of what comes after the last GOAWAY nobody hears (RFC 9113 §6.8).
		if (this.isGoingAway) return undefined;
		this.lastStreamId = id;
		this.#flood.onStreamOpened();
		if (this.streams.size >= this.#options.maxConcurrentStreams) {
			owner.count(http2Stat.stream_refused_errors);
			this.#refuse(id, errorCode.refusedStream);
			return undefined;
		}
		const stream = owner.openStream(id);
		if (stream === undefined) this.#refuse(id, errorCode.refusedStream);
		else this.streams.add(stream);
		return stream;
	}

	#refuse(id: number, code: number): void {
		this.#ended.add(id, true);
		this.#owner.count(http2Stat.tx_reset);
		writeReset(this.outbound, id, code);
		this.#judgeResets(true, 0);
	}

	#onTrailers(stream: Http2Stream, isEnd: boolean, bytes: Buffer, start: number, end: number): void {
		trailerFields.begin(this.#owner.listBytesMax, this.#owner.headersMax);
		this.#decoder.decode(bytes, start, end, trailerFields);
		// Those of requests alone, as in Envoy.
		if (this.#owner.isServer) this.#owner.count(http2Stat.trailers);
		// RFC 9113 §8.1: they end their message.
		if (!isEnd) return this.#onMalformed(stream, "http2.violation.of.messaging.rule");
		if (trailerFields.failure !== undefined) return this.#onMalformed(stream, trailerFields.failure);
		if (!this.#isLengthKept(stream)) return this.reset(stream, errorCode.protocolError);
		stream.onTrailers(trailerFields.list);
		this.#endRemote(stream);
	}

	/** RFC 9113 §8.1.1. */
	#onMalformed(stream: Http2Stream, reason: Malformed): void {
		const limit = limitStats[reason];
		this.#owner.count(limit ?? http2Stat.rx_messaging_error);
		if (stream.onMalformed(reason)) return;
		if (limit !== undefined) return this.reset(stream, errorCode.internalError, "limit");
		if (!this.#options.isStreamErrorOnInvalidMessage) fail(errorCode.protocolError, reason);
		this.reset(stream, errorCode.protocolError);
	}

	#onPriority(id: number, bytes: Buffer, start: number, end: number): void {
		if (id === 0) fail(errorCode.protocolError, "PRIORITY on stream 0 (RFC 9113 6.3)");
		this.#flood.onPriority();
		const code = end - start !== 5 ? errorCode.frameSizeError : readUint31(bytes, start) === id ? errorCode.protocolError : errorCode.noError;
		if (code === errorCode.noError) return;
		const stream = this.streams.get(id);
		if (stream === undefined) fail(code, "invalid PRIORITY (RFC 9113 6.3)");
		this.reset(stream, code);
	}

	#onRstStream(id: number, bytes: Buffer, start: number, end: number): void {
		if (id === 0) fail(errorCode.protocolError, "RST_STREAM on stream 0 (RFC 9113 6.4)");
		if (end - start !== 4) fail(errorCode.frameSizeError, "RST_STREAM of another length than 4 (RFC 9113 6.4)");
		if (this.#isIdle(id)) fail(errorCode.protocolError, "RST_STREAM on an idle stream (RFC 9113 6.4)");
		const stream = this.streams.get(id);
		if (stream === undefined) return this.#flood.onControl();
		this.#owner.count(http2Stat.rx_reset);
		this.#drop(stream, bytes.readUInt32BE(start), "peer");
	}

	#isIdle(id: number): boolean {
		return id > this.lastStreamId || (id & 1) === 0;
	}

	#onSettings(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
		if (id !== 0) fail(errorCode.protocolError, "SETTINGS on a stream (RFC 9113 6.5)");
		this.#flood.onControl();
		if ((flags & frameFlag.ack) !== 0) {
			if (end !== start) fail(errorCode.frameSizeError, "SETTINGS acknowledgement with a payload (RFC 9113 6.5)");
			this.#decoder.setTableSizeLimit(this.#options.headerTableSize);
			return;
		}
		const { peer } = this;
		const oldWindow = peer.initialWindowSize;
		this.hasPeerSettings = true;
		applySettings(peer, bytes, start, end, !this.#owner.isServer);
		this.sender.encoder.setPeerTableSize(peer.headerTableSize);
		const change = peer.initialWindowSize - oldWindow;
		if (change !== 0) this.sender.moveWindows(change);
		writeSettingsAck(this.outbound);
		this.#owner.onSettings(peer);
		if (change > 0) this.sender.pump();
	}

	#onPing(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
		if (id !== 0) fail(errorCode.protocolError, "PING on a stream (RFC 9113 6.7)");
		if (end - start !== 8) fail(errorCode.frameSizeError, "PING of another length than 8 (RFC 9113 6.7)");
		if ((flags & frameFlag.ack) !== 0) return this.#owner.onPong();
		writePing(this.outbound, bytes, start, true);
		this.#flood.onQueued(this.outbound.frames, this.outbound.controlFrames);
	}

	#onGoaway(id: number, bytes: Buffer, start: number, end: number): void {
		if (id !== 0) fail(errorCode.protocolError, "GOAWAY on a stream (RFC 9113 6.8)");
		if (end - start < 8) fail(errorCode.frameSizeError, "GOAWAY too short (RFC 9113 6.8)");
		this.#flood.onControl();
		this.#owner.onGoaway(readUint31(bytes, start), bytes.readUInt32BE(start + 4));
	}

	#onWindowUpdate(id: number, bytes: Buffer, start: number, end: number): void {
		if (end - start !== 4) fail(errorCode.frameSizeError, "WINDOW_UPDATE of another length than 4 (RFC 9113 6.9)");
		const increment = readUint31(bytes, start);
		this.#flood.onWindowUpdate();
		if (id === 0) {
			if (increment === 0) fail(errorCode.protocolError, "WINDOW_UPDATE by 0 (RFC 9113 6.9)");
			return this.sender.widen(increment);
		}
		if (this.#isIdle(id)) fail(errorCode.protocolError, "WINDOW_UPDATE on an idle stream (RFC 9113 5.1)");
		const stream = this.streams.get(id);
		if (stream === undefined) return;
		if (increment === 0) return this.reset(stream, errorCode.protocolError);
		stream.sendWindow += increment;
		if (stream.sendWindow > windowMax) return this.reset(stream, errorCode.flowControlError);
		this.sender.resume(stream);
	}

	// ---- DATA in

	onDataStart(id: number, length: number): void {
		if (!this.#hasPreface) fail(errorCode.protocolError, "the first frame is not SETTINGS (RFC 9113 3.4)");
		if (this.#blockStream !== 0) fail(errorCode.protocolError, "DATA within a field block (RFC 9113 4.3)");
		if (id === 0) fail(errorCode.protocolError, "DATA on stream 0 (RFC 9113 6.1)");
		if (length > this.#receiveWindow) fail(errorCode.flowControlError, "DATA beyond the connection's window (RFC 9113 6.9.1)");
		this.#receiveWindow -= length;
		this.#dataLength = length;
		this.#dataPassed = 0;
		this.#dataStream = undefined;
		const stream = this.streams.get(id);
		if (stream === undefined) return this.#onStrayData(id, length);
		if (stream.isRemoteClosed) {
			this.#giveBack(length);
			return this.reset(stream, errorCode.streamClosed);
		}
		if (!stream.hasHead) fail(errorCode.protocolError, "DATA before HEADERS (RFC 9113 8.1)");
		if (length > stream.receiveWindow) {
			this.#giveBack(length);
			return this.reset(stream, errorCode.flowControlError);
		}
		stream.receiveWindow -= length;
		this.#dataStream = stream;
	}

	#onStrayData(id: number, length: number): void {
		if (this.#isIdle(id)) fail(errorCode.protocolError, "DATA on an idle stream (RFC 9113 5.1)");
		const ended = this.#ended.find(id);
		if (ended === "ended") fail(errorCode.streamClosed, "DATA on a closed stream (RFC 9113 5.1)");
		// It crossed our reset. Its bytes are nobody's, so the connection's window gets them back.
		this.#giveBack(length);
		if (ended === "unknown") this.#refuse(id, errorCode.streamClosed);
	}

	onDataChunk(bytes: Buffer, start: number, end: number): void {
		const stream = this.#dataStream;
		this.#dataPassed += end - start;
		if (stream === undefined) return;
		stream.receivedBytes += end - start;
		const isTooMuch = stream.expectedBytes >= 0 && stream.receivedBytes > stream.expectedBytes;
		if (!isTooMuch && !stream.isGone) stream.onData(bytes, start, end);
		if (!isTooMuch && !stream.isGone) return this.#addCredit(stream, end - start);
		this.#dataStream = undefined;
		// What the stream had of this frame before has been given back with its end.
		this.#giveBack(this.#dataLength - this.#dataPassed + end - start);
		// RFC 9113 §8.1.1: of the stream alone.
		if (isTooMuch && !stream.isGone) this.reset(stream, errorCode.protocolError);
	}

	onDataEnd(isEndStream: boolean): void {
		this.#flood.onPayload(this.#dataPassed, isEndStream);
		const stream = this.#dataStream;
		this.#dataStream = undefined;
		if (stream === undefined) return;
		// Padding counts, and nobody waits for it.
		const rest = this.#dataLength - this.#dataPassed;
		if (stream.isGone) return this.#giveBack(rest);
		if (rest > 0) this.#addCredit(stream, rest);
		if (!isEndStream) return;
		if (!this.#isLengthKept(stream)) return this.reset(stream, errorCode.protocolError);
		this.#endRemote(stream);
	}

	#isLengthKept(stream: Http2Stream): boolean {
		return stream.expectedBytes < 0 || stream.receivedBytes === stream.expectedBytes;
	}

	#endRemote(stream: Http2Stream): void {
		stream.isRemoteClosed = true;
		stream.onEnd();
		this.#closeIfDone(stream);
	}

	// ---- flow control in

	#addCredit(stream: Http2Stream, bytes: number): void {
		stream.credit += bytes;
		if (stream.pauses !== 0) {
			stream.heldBytes += bytes;
			return;
		}
		this.#giveBack(bytes);
		this.#refill(stream);
	}

	/** At half the window, so that the peer neither waits nor is told of every frame. */
	#refill(stream: Http2Stream): void {
		const { credit } = stream;
		if (stream.isRemoteClosed || credit < this.#options.streamWindow >>> 1) return;
		stream.credit = 0;
		stream.receiveWindow += credit;
		writeWindowUpdate(this.outbound, stream.id, credit);
	}

	/** Of the connection's window. */
	#giveBack(bytes: number): void {
		this.#credit += bytes;
		if (this.#credit < this.#options.connectionWindow >>> 1 || this.isFailed) return;
		this.#receiveWindow += this.#credit;
		writeWindowUpdate(this.outbound, 0, this.#credit);
		this.#credit = 0;
	}

	#release(stream: Http2Stream): void {
		const { heldBytes } = stream;
		stream.heldBytes = 0;
		if (heldBytes > 0) this.#giveBack(heldBytes);
	}

	/** Reasons are the caller's bits; the peer's window is not refilled while any stands. */
	pause(stream: Http2Stream, reason: number): void {
		stream.pauses |= reason;
	}

	resume(stream: Http2Stream, reason: number): void {
		if ((stream.pauses & reason) === 0) return;
		stream.pauses &= ~reason;
		if (stream.pauses !== 0 || stream.isGone) return;
		this.#release(stream);
		this.#refill(stream);
	}

	// ---- sending

	/** A client's next stream begins. False: it cannot, as the connection is over or has no ids left. */
	openOwn(stream: Http2Stream): boolean {
		const id = this.lastStreamId === 0 ? 1 : this.lastStreamId + 2;
		if (this.isFailed || id > streamIdMax) return false;
		this.lastStreamId = id;
		stream.id = id;
		// Settings may have come since it was made.
		stream.sendWindow = this.peer.initialWindowSize;
		this.streams.add(stream);
		this.#flood.onStreamOpened();
		return true;
	}

	/** The transport has taken what there was. */
	onDrain(): void {
		this.outbound.unblock();
		if (!this.isFailed) this.sender.pump();
	}

	onLocalEnd(stream: Http2Stream): void {
		stream.isLocalClosed = true;
		if (stream.isDismissed && !stream.isRemoteClosed) this.cancel(stream, errorCode.noError);
		else this.#closeIfDone(stream);
	}

	onOverflow(): void {
		this.fail(new FloodError("too much waits for the peer's windows", http2Stat.outbound_flood));
	}

	ping(payload: Buffer): void {
		writePing(this.outbound, payload, 0, false);
	}

	// ---- ends of streams

	/** The peer broke a rule of the stream's (RFC 9113 §5.4.2); its owner hears of it. */
	reset(stream: Http2Stream, code: number, cause: "rule" | "limit" = "rule"): void {
		if (stream.isGone) return;
		this.#sendReset(stream, code);
		// Making us reset is no better than resetting (CVE-2025-8671).
		this.#forget(stream, true);
		stream.onReset(code, cause);
	}

	/** As `reset`, by its owner, who hears nothing. */
	cancel(stream: Http2Stream, code: number): void {
		if (stream.isGone) return;
		this.#sendReset(stream, code);
		this.#forget(stream, false);
	}

	/** Its owner needs nothing more of the peer: once our side has ended, the peer may stop (RFC 9113 §8.1). */
	dismiss(stream: Http2Stream): void {
		stream.isDismissed = true;
		if (stream.isLocalClosed && !stream.isRemoteClosed) this.cancel(stream, errorCode.noError);
	}

	#sendReset(stream: Http2Stream, code: number): void {
		if (this.isFailed) return;
		this.#owner.count(http2Stat.tx_reset);
		writeReset(this.outbound, stream.id, code);
		this.#ended.add(stream.id, true);
	}

	#drop(stream: Http2Stream, code: number, cause: ResetCause): void {
		this.#forget(stream, cause === "peer");
		stream.onReset(code, cause);
	}

	#closeIfDone(stream: Http2Stream): void {
		if (!stream.isLocalClosed || !stream.isRemoteClosed || stream.isGone) return;
		this.#forget(stream, false);
	}

	#forget(stream: Http2Stream, isPeersDoing: boolean): void {
		stream.isGone = true;
		this.sender.forget(stream, this.isFailed);
		this.#release(stream);
		this.streams.delete(stream);
		this.#ended.add(stream.id, false);
		this.#owner.onStreamClosed(stream);
		this.#judgeResets(isPeersDoing, this.#nowMs() - stream.openedAt);
	}

	#judgeResets(isPeersDoing: boolean, lifetimeMs: number): void {
		if (this.#owner.isServer && !this.isFailed && this.#flood.onStreamClosed(isPeersDoing, lifetimeMs)) this.fail(new PrematureResetsError());
	}
}

/** In the flags of the block under way: its priority makes the stream depend on itself. */
const ownParentFlag = 0x100;
const noBytes: Buffer = Buffer.alloc(0);

function fail(code: number, message: string): never {
	throw new Http2ConnectionError(code, message);
}
