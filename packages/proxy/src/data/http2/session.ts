import type { Http2Options } from "../../config/http2-options.ts";
import { ControlFrames } from "./control-frames.ts";
import { type FieldBlockEvents, FieldBlocks } from "./field-blocks.ts";
import { FloodError, FloodGuard, type PrematureResetLimits } from "./flood-guard.ts";
import { type FrameEvents, FrameReader } from "./frame-reader.ts";
import { writeGoaway, writePing, writeSettings } from "./frame-writer.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { http2Stat } from "./http2-stats.ts";
import type { Http2Stream, ResetCause } from "./http2-stream.ts";
import type { Outbound } from "./outbound.ts";
import { defaultFrameSize, defaultTableSize, errorCode, fail, frameFlag, frameType, Http2ConnectionError } from "./protocol.ts";
import { ReceiveWindows } from "./receive-windows.ts";
import type { Malformed } from "./request-fields.ts";
import { Sender, type SenderEvents } from "./sender.ts";
import { SessionStreams } from "./session-streams.ts";
import { createPeerSettings, type PeerSettings } from "./settings.ts";
import { ignoredFields, TrailerFields } from "./trailer-fields.ts";

/** Whose session it is. */
export interface SessionOwner {
	readonly isServer: boolean;
	/** Limits of trailers; heads have their streams' own. */
	readonly listBytesMax: number;
	readonly headersMax: number;
	/** Absent: the defaults. */
	readonly resetLimits?: PrematureResetLimits;
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
export class Http2Session implements FrameEvents, FieldBlockEvents, SenderEvents {
	readonly outbound: Outbound;
	readonly sender: Sender;
	readonly peer: PeerSettings = createPeerSettings();
	readonly streams: SessionStreams;
	readonly windows: ReceiveWindows;
	readonly decoder: HpackDecoder;
	isFailed = false;
	/** The peer's first SETTINGS have come. */
	hasPeerSettings = false;
	/** Nothing new is taken: a final GOAWAY was sent. */
	isGoingAway = false;
	readonly #options: Http2Options;
	readonly #owner: SessionOwner;
	readonly #reader: FrameReader;
	readonly #flood: FloodGuard;
	readonly #blocks: FieldBlocks;
	readonly #control: ControlFrames;
	#hasPreface = false;
	/** Of the DATA frame under way; without a stream it is nobody's. */
	#dataStream: Http2Stream | undefined;
	#dataLength = 0;
	#dataPassed = 0;

	constructor(owner: SessionOwner, options: Http2Options, outbound: Outbound, nowMs: () => number) {
		this.#owner = owner;
		this.#options = options;
		this.outbound = outbound;
		this.#reader = new FrameReader(this, defaultFrameSize);
		this.decoder = new HpackDecoder(Math.max(defaultTableSize, options.headerTableSize));
		this.#flood = new FloodGuard(options, nowMs);
		this.windows = new ReceiveWindows(outbound, options);
		this.streams = new SessionStreams(this, owner, options, this.#flood, nowMs);
		this.sender = new Sender(outbound, this.peer, this.streams, this.#flood, this);
		this.#blocks = new FieldBlocks(this, this.#flood, owner.listBytesMax);
		this.#control = new ControlFrames(this, owner, options, this.#flood);
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
		this.windows.start();
	}

	/** Whether a frame, or a field block, has begun and not ended. */
	get isInFrame(): boolean {
		return this.#reader.isInFrame || this.#blocks.pending !== 0;
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
		this.goaway(this.streams.lastId, error.code, error.message);
		this.isFailed = this.windows.isClosed = true;
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
		this.isFailed = this.windows.isClosed = true;
		this.#reader.isStopped = true;
		for (const stream of this.streams.list()) this.streams.drop(stream, code, cause);
	}

	// ---- frames in

	onFrame(type: number, flags: number, id: number, bytes: Buffer, start: number, end: number): void {
		if (!this.#hasPreface) {
			if (type !== frameType.settings || (flags & frameFlag.ack) !== 0) fail(errorCode.protocolError, "the first frame is not SETTINGS (RFC 9113 3.4)");
			this.#hasPreface = true;
		}
		const { pending } = this.#blocks;
		if (pending !== 0 && (type !== frameType.continuation || id !== pending))
			fail(errorCode.protocolError, "another frame within a field block (RFC 9113 4.3)");
		switch (type) {
			case frameType.headers:
				return this.#blocks.onHeaders(flags, id, bytes, start, end);
			case frameType.continuation:
				return this.#blocks.onContinuation(flags, id, bytes, start, end);
			default:
				return this.#control.onFrame(type, flags, id, bytes, start, end);
		}
	}

	countBlock(stat: number): void {
		this.#owner.count(stat);
	}

	/** A whole field block: a request, a response, or trailers. */
	onBlock(id: number, isEnd: boolean, isOwnParent: boolean, bytes: Buffer, start: number, end: number): void {
		const stream = this.streams.get(id) ?? this.streams.openPeers(id);
		if (stream === undefined) return this.decoder.decode(bytes, start, end, ignoredFields);
		if (isOwnParent) {
			this.decoder.decode(bytes, start, end, ignoredFields);
			return this.streams.reset(stream, errorCode.protocolError);
		}
		if (stream.isRemoteClosed) {
			this.decoder.decode(bytes, start, end, ignoredFields);
			return this.streams.reset(stream, errorCode.streamClosed);
		}
		if (stream.hasHead) return this.#onTrailers(stream, isEnd, bytes, start, end);
		const malformed = stream.readHead(this.decoder, bytes, start, end, isEnd);
		if (malformed !== undefined) return this.#onMalformed(stream, malformed);
		if (isEnd) stream.isRemoteClosed = true;
		stream.onHead(isEnd);
		if (isEnd) this.streams.closeIfDone(stream);
		this.sender.admit(stream);
	}

	#onTrailers(stream: Http2Stream, isEnd: boolean, bytes: Buffer, start: number, end: number): void {
		trailerFields.begin(this.#owner.listBytesMax, this.#owner.headersMax);
		this.decoder.decode(bytes, start, end, trailerFields);
		// Those of requests alone, as in Envoy.
		if (this.#owner.isServer) this.#owner.count(http2Stat.trailers);
		// RFC 9113 §8.1: they end their message.
		if (!isEnd) return this.#onMalformed(stream, "http2.violation.of.messaging.rule");
		if (trailerFields.failure !== undefined) return this.#onMalformed(stream, trailerFields.failure);
		if (!this.#isLengthKept(stream)) return this.streams.reset(stream, errorCode.protocolError);
		stream.onTrailers(trailerFields.list);
		this.streams.endRemote(stream);
	}

	/** RFC 9113 §8.1.1. */
	#onMalformed(stream: Http2Stream, reason: Malformed): void {
		const limit = limitStats[reason];
		this.#owner.count(limit ?? http2Stat.rx_messaging_error);
		if (stream.onMalformed(reason)) return;
		if (limit !== undefined) return this.streams.reset(stream, errorCode.internalError, "limit");
		if (!this.#options.isStreamErrorOnInvalidMessage) fail(errorCode.protocolError, reason);
		this.streams.reset(stream, errorCode.protocolError);
	}

	// ---- DATA in

	onDataStart(id: number, length: number): void {
		if (!this.#hasPreface) fail(errorCode.protocolError, "the first frame is not SETTINGS (RFC 9113 3.4)");
		if (this.#blocks.pending !== 0) fail(errorCode.protocolError, "DATA within a field block (RFC 9113 4.3)");
		if (id === 0) fail(errorCode.protocolError, "DATA on stream 0 (RFC 9113 6.1)");
		if (!this.windows.take(length)) fail(errorCode.flowControlError, "DATA beyond the connection's window (RFC 9113 6.9.1)");
		this.#dataLength = length;
		this.#dataPassed = 0;
		this.#dataStream = undefined;
		const stream = this.streams.get(id);
		if (stream === undefined) return this.#onStrayData(id, length);
		if (stream.isRemoteClosed) {
			this.windows.giveBack(length);
			return this.streams.reset(stream, errorCode.streamClosed);
		}
		if (!stream.hasHead) fail(errorCode.protocolError, "DATA before HEADERS (RFC 9113 8.1)");
		if (length > stream.receiveWindow) {
			this.windows.giveBack(length);
			return this.streams.reset(stream, errorCode.flowControlError);
		}
		stream.receiveWindow -= length;
		this.#dataStream = stream;
	}

	#onStrayData(id: number, length: number): void {
		if (this.streams.isIdle(id)) fail(errorCode.protocolError, "DATA on an idle stream (RFC 9113 5.1)");
		const ended = this.streams.endOf(id);
		if (ended === "ended") fail(errorCode.streamClosed, "DATA on a closed stream (RFC 9113 5.1)");
		// It crossed our reset. Its bytes are nobody's, so the connection's window gets them back.
		this.windows.giveBack(length);
		if (ended === "unknown") this.streams.refuse(id, errorCode.streamClosed);
	}

	onDataChunk(bytes: Buffer, start: number, end: number): void {
		const stream = this.#dataStream;
		this.#dataPassed += end - start;
		if (stream === undefined) return;
		stream.receivedBytes += end - start;
		const isTooMuch = stream.expectedBytes >= 0 && stream.receivedBytes > stream.expectedBytes;
		if (!isTooMuch && !stream.isGone) stream.onData(bytes, start, end);
		if (!isTooMuch && !stream.isGone) return this.windows.addCredit(stream, end - start);
		this.#dataStream = undefined;
		// What the stream had of this frame before has been given back with its end.
		this.windows.giveBack(this.#dataLength - this.#dataPassed + end - start);
		// RFC 9113 §8.1.1: of the stream alone.
		if (isTooMuch && !stream.isGone) this.streams.reset(stream, errorCode.protocolError);
	}

	onDataEnd(isEndStream: boolean): void {
		this.#flood.onPayload(this.#dataPassed, isEndStream);
		const stream = this.#dataStream;
		this.#dataStream = undefined;
		if (stream === undefined) return;
		// Padding counts, and nobody waits for it.
		const rest = this.#dataLength - this.#dataPassed;
		if (stream.isGone) return this.windows.giveBack(rest);
		if (rest > 0) this.windows.addCredit(stream, rest);
		if (!isEndStream) return;
		if (!this.#isLengthKept(stream)) return this.streams.reset(stream, errorCode.protocolError);
		this.streams.endRemote(stream);
	}

	#isLengthKept(stream: Http2Stream): boolean {
		return stream.expectedBytes < 0 || stream.receivedBytes === stream.expectedBytes;
	}

	// ---- sending

	/** The transport has taken what there was. */
	onDrain(): void {
		this.outbound.unblock();
		if (!this.isFailed) this.sender.pump();
	}

	onLocalEnd(stream: Http2Stream): void {
		this.streams.endLocal(stream);
	}

	onOverflow(): void {
		this.fail(new FloodError("too much waits for the peer's windows", http2Stat.outbound_flood));
	}

	ping(payload: Buffer): void {
		writePing(this.outbound, payload, 0, false);
	}
}
