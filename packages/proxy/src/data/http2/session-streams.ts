import type { Http2Options } from "../../config/http2-options.ts";
import { EndedStreams } from "./ended-streams.ts";
import { type FloodGuard, PrematureResetsError } from "./flood-guard.ts";
import { writeReset } from "./frame-writer.ts";
import { http2Stat } from "./http2-stats.ts";
import type { Http2Stream, ResetCause } from "./http2-stream.ts";
import { errorCode, fail, streamIdMax } from "./protocol.ts";
import type { Http2Session, SessionOwner } from "./session.ts";
import { StreamTable } from "./stream-table.ts";

/** The streams of one connection: how they begin and how they end (RFC 9113 §5.1). */
export class SessionStreams extends StreamTable {
	/** Highest of the peer's that was worked on; on clients, of our own. */
	lastId = 0;
	readonly #session: Http2Session;
	readonly #owner: SessionOwner;
	readonly #options: Http2Options;
	readonly #flood: FloodGuard;
	readonly #nowMs: () => number;
	readonly #ended = new EndedStreams();

	constructor(session: Http2Session, owner: SessionOwner, options: Http2Options, flood: FloodGuard, nowMs: () => number) {
		super();
		this.#session = session;
		this.#owner = owner;
		this.#options = options;
		this.#flood = flood;
		this.#nowMs = nowMs;
	}

	// ---- beginnings

	/** A client's next stream begins. False: it cannot, as the connection is over or has no ids left. */
	openOwn(stream: Http2Stream): boolean {
		const id = this.lastId === 0 ? 1 : this.lastId + 2;
		if (this.#session.isFailed || id > streamIdMax) return false;
		this.lastId = id;
		stream.id = id;
		// Settings may have come since it was made.
		stream.sendWindow = this.#session.peer.initialWindowSize;
		this.add(stream);
		this.#flood.onStreamOpened();
		return true;
	}

	/** HEADERS have come on a stream that is not there. undefined: the block is to be decoded and forgotten. */
	openPeers(id: number): Http2Stream | undefined {
		const owner = this.#owner;
		if (!owner.isServer) {
			// Streams are ours to open; what comes on one that is over crossed our reset.
			if (id > this.lastId || (id & 1) === 0) fail(errorCode.protocolError, "HEADERS on a stream that was never opened (RFC 9113 5.1.1)");
			owner.count(http2Stat.headers_cb_no_stream);
			return undefined;
		}
		if ((id & 1) === 0) fail(errorCode.protocolError, "even stream id from a client (RFC 9113 5.1.1)");
		if (id <= this.lastId) {
			const ended = this.#ended.find(id);
			if (ended === "reset") return undefined;
			fail(ended === "unknown" ? errorCode.protocolError : errorCode.streamClosed, "HEADERS on a closed stream (RFC 9113 5.1)");
		}
		// Of what comes after the last GOAWAY nobody hears (RFC 9113 §6.8).
		if (this.#session.isGoingAway) return undefined;
		this.lastId = id;
		this.#flood.onStreamOpened();
		if (this.size >= this.#options.maxConcurrentStreams) {
			owner.count(http2Stat.stream_refused_errors);
			this.refuse(id, errorCode.refusedStream);
			return undefined;
		}
		const stream = owner.openStream(id);
		if (stream === undefined) this.refuse(id, errorCode.refusedStream);
		else this.add(stream);
		return stream;
	}

	/** A stream of the peer that we do not have. */
	refuse(id: number, code: number): void {
		this.#ended.add(id, true);
		this.#owner.count(http2Stat.tx_reset);
		writeReset(this.#session.outbound, id, code);
		this.#judgeResets(true, 0);
	}

	/** It has never begun. */
	isIdle(id: number): boolean {
		return id > this.lastId || (id & 1) === 0;
	}

	/** Of a stream that is not there; `reset`: by us. */
	endOf(id: number): "ended" | "reset" | "unknown" {
		return this.#ended.find(id);
	}

	// ---- ends

	/** END_STREAM has come. */
	endRemote(stream: Http2Stream): void {
		stream.isRemoteClosed = true;
		stream.onEnd();
		this.closeIfDone(stream);
	}

	/** Ours has been written. */
	endLocal(stream: Http2Stream): void {
		stream.isLocalClosed = true;
		if (stream.isDismissed && !stream.isRemoteClosed) this.cancel(stream, errorCode.noError);
		else this.closeIfDone(stream);
	}

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
		if (this.#session.isFailed) return;
		this.#owner.count(http2Stat.tx_reset);
		writeReset(this.#session.outbound, stream.id, code);
		this.#ended.add(stream.id, true);
	}

	/** It is over by the peer, or with the connection. */
	drop(stream: Http2Stream, code: number, cause: ResetCause): void {
		this.#forget(stream, cause === "peer");
		stream.onReset(code, cause);
	}

	/** The peer's GOAWAY: what it has not looked at may be sent elsewhere (RFC 9113 §6.8). */
	dropAfter(lastStreamId: number, code: number): void {
		for (const stream of this.list()) if (stream.id > lastStreamId) this.drop(stream, code, "goaway");
	}

	closeIfDone(stream: Http2Stream): void {
		if (!stream.isLocalClosed || !stream.isRemoteClosed || stream.isGone) return;
		this.#forget(stream, false);
	}

	#forget(stream: Http2Stream, isPeersDoing: boolean): void {
		stream.isGone = true;
		this.#session.sender.forget(stream, this.#session.isFailed);
		this.#session.windows.release(stream);
		this.delete(stream);
		this.#ended.add(stream.id, false);
		this.#owner.onStreamClosed(stream);
		this.#judgeResets(isPeersDoing, this.#nowMs() - stream.openedAt);
	}

	#judgeResets(isPeersDoing: boolean, lifetimeMs: number): void {
		const { isServer, resetLimits } = this.#owner;
		if (isServer && !this.#session.isFailed && this.#flood.onStreamClosed(isPeersDoing, lifetimeMs, resetLimits))
			this.#session.fail(new PrematureResetsError());
	}
}
