import type { Http2Options } from "../../config/http2-options.ts";
import type { FloodGuard } from "./flood-guard.ts";
import { readUint31 } from "./frame-reader.ts";
import { writePing, writeSettingsAck } from "./frame-writer.ts";
import { http2Stat } from "./http2-stats.ts";
import { errorCode, fail, frameFlag, frameType, windowMax } from "./protocol.ts";
import type { SessionStreams } from "./session-streams.ts";
import type { Http2Session, SessionOwner } from "./session.ts";
import { applySettings } from "./settings.ts";

/** The frames that carry no message: what the peer says of the connection, and of the state of its streams. */
export class ControlFrames {
	readonly #session: Http2Session;
	readonly #streams: SessionStreams;
	readonly #owner: SessionOwner;
	readonly #options: Http2Options;
	readonly #flood: FloodGuard;

	constructor(session: Http2Session, owner: SessionOwner, options: Http2Options, flood: FloodGuard) {
		this.#session = session;
		this.#streams = session.streams;
		this.#owner = owner;
		this.#options = options;
		this.#flood = flood;
	}

	onFrame(type: number, flags: number, id: number, bytes: Buffer, start: number, end: number): void {
		switch (type) {
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

	#onPriority(id: number, bytes: Buffer, start: number, end: number): void {
		if (id === 0) fail(errorCode.protocolError, "PRIORITY on stream 0 (RFC 9113 6.3)");
		this.#flood.onPriority();
		const code = end - start !== 5 ? errorCode.frameSizeError : readUint31(bytes, start) === id ? errorCode.protocolError : errorCode.noError;
		if (code === errorCode.noError) return;
		const stream = this.#streams.get(id);
		if (stream === undefined) fail(code, "invalid PRIORITY (RFC 9113 6.3)");
		this.#streams.reset(stream, code);
	}

	#onRstStream(id: number, bytes: Buffer, start: number, end: number): void {
		if (id === 0) fail(errorCode.protocolError, "RST_STREAM on stream 0 (RFC 9113 6.4)");
		if (end - start !== 4) fail(errorCode.frameSizeError, "RST_STREAM of another length than 4 (RFC 9113 6.4)");
		if (this.#streams.isIdle(id)) fail(errorCode.protocolError, "RST_STREAM on an idle stream (RFC 9113 6.4)");
		const stream = this.#streams.get(id);
		if (stream === undefined) return this.#flood.onControl();
		this.#owner.count(http2Stat.rx_reset);
		this.#streams.drop(stream, bytes.readUInt32BE(start), "peer");
	}

	#onSettings(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
		if (id !== 0) fail(errorCode.protocolError, "SETTINGS on a stream (RFC 9113 6.5)");
		this.#flood.onControl();
		if ((flags & frameFlag.ack) !== 0) {
			if (end !== start) fail(errorCode.frameSizeError, "SETTINGS acknowledgement with a payload (RFC 9113 6.5)");
			this.#session.decoder.setTableSizeLimit(this.#options.headerTableSize);
			return;
		}
		const { peer, sender } = this.#session;
		const oldWindow = peer.initialWindowSize;
		this.#session.hasPeerSettings = true;
		applySettings(peer, bytes, start, end, !this.#owner.isServer);
		sender.encoder.setPeerTableSize(peer.headerTableSize);
		const change = peer.initialWindowSize - oldWindow;
		if (change !== 0) sender.moveWindows(change);
		writeSettingsAck(this.#session.outbound);
		this.#owner.onSettings(peer);
		if (change > 0) sender.pump();
	}

	#onPing(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
		if (id !== 0) fail(errorCode.protocolError, "PING on a stream (RFC 9113 6.7)");
		if (end - start !== 8) fail(errorCode.frameSizeError, "PING of another length than 8 (RFC 9113 6.7)");
		if ((flags & frameFlag.ack) !== 0) return this.#owner.onPong();
		const { outbound } = this.#session;
		writePing(outbound, bytes, start, true);
		this.#flood.onQueued(outbound.frames, outbound.controlFrames);
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
			return this.#session.sender.widen(increment);
		}
		if (this.#streams.isIdle(id)) fail(errorCode.protocolError, "WINDOW_UPDATE on an idle stream (RFC 9113 5.1)");
		const stream = this.#streams.get(id);
		if (stream === undefined) return;
		if (increment === 0) return this.#streams.reset(stream, errorCode.protocolError);
		stream.sendWindow += increment;
		if (stream.sendWindow > windowMax) return this.#streams.reset(stream, errorCode.flowControlError);
		this.#session.sender.resume(stream);
	}
}
