import type { HpackDecoder } from "./hpack-decoder.ts";
import type { Http2Session } from "./session.ts";
import type { Malformed } from "./request-fields.ts";

const none: readonly string[] = [];
/** Of the many that never have one. */
export const noQueue: Buffer[] = [];

/**
 * `peer`: it sent RST_STREAM. `rule`: it broke a rule of this stream's. `limit`: its head is more than we take. `failure`: it broke one of the connection's.
 * `goaway`: it will not look at this stream. `connection`: that is gone.
 */
export type ResetCause = "peer" | "rule" | "limit" | "failure" | "goaway" | "connection";

/**
 * One stream of a connection (RFC 9113 §5.1), as the session keeps it; who it belongs to is told by the methods.
 *
 *   open ── END_STREAM from the peer ──▶ half-closed (remote) ─┐
 *     └──── END_STREAM of ours ────────▶ half-closed (local) ──┴─▶ closed; RST_STREAM of either side leads there at once
 */
export abstract class Http2Stream {
	/** 0: it has not begun. */
	id: number;
	readonly session: Http2Session;
	readonly openedAt: number;
	isRemoteClosed = false;
	isLocalClosed = false;
	/** Reset by either side, or its connection is gone: nothing is told any more. */
	isGone = false;
	/** Nobody waits for what the peer still sends. */
	isDismissed = false;
	/** A head has come: what follows are trailers. */
	hasHead = false;
	/** What we may send, and the peer. */
	sendWindow: number;
	receiveWindow: number;
	/** Received, but not given back to the peer's window yet. */
	credit = 0;
	/** Of these, what has not been given back to the connection's either. */
	heldBytes = 0;
	/** Nothing is given back while this is not 0. */
	pauses = 0;
	/** Payload that waits for the peer's window. */
	queue: Buffer[] = noQueue;
	queuedBytes = 0;
	/** How much of the first one is sent. */
	queueAt = 0;
	isInLine = false;
	/** `onBlocked` was the last that its producer heard. */
	isStopped = false;
	/** After the queue: the end, with trailers. */
	endsAfterQueue = false;
	trailers: readonly string[] = none;
	/** -1: not told. */
	expectedBytes = -1;
	receivedBytes = 0;
	/** Where the last DATA frame's header lies, as long as the output has this epoch. */
	dataAt = -1;
	dataEpoch = -1;

	constructor(session: Http2Session, id: number, sendWindow: number, receiveWindow: number, openedAt: number) {
		this.session = session;
		this.id = id;
		this.sendWindow = sendWindow;
		this.receiveWindow = receiveWindow;
		this.openedAt = openedAt;
	}

	/** Decodes the block of a head into whatever this stream has for it. `expectedBytes` is set if a length was told. */
	abstract readHead(decoder: HpackDecoder, bytes: Buffer, start: number, end: number, isEnd: boolean): Malformed | undefined;
	/** The head can be used. `isEnd`: nothing follows. */
	abstract onHead(isEnd: boolean): void;
	/** The head cannot be used, or what follows contradicts it. True: it has been answered, the connection can go on. */
	abstract onMalformed(reason: Malformed): boolean;
	abstract onData(bytes: Buffer, start: number, end: number): void;
	abstract onTrailers(trailers: readonly string[]): void;
	abstract onEnd(): void;
	/** `code`: of the peer's RST_STREAM or GOAWAY, or ours; the last call. */
	abstract onReset(code: number, cause: ResetCause): void;
	/** What is sent piles up. */
	abstract onBlocked(): void;
	abstract onDrain(): void;
}
