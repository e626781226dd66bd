import type { Http2Options } from "../../config/http2-options.ts";
import { errorCode, Http2ConnectionError } from "./protocol.ts";
import { type Http2Stat, http2Stat } from "./http2-stats.ts";

export interface PrematureResetLimits {
	/** Resets are only judged once there were this many streams, and then when most of them were reset. */
	readonly streams: number;
	/** A stream that lived this long was no mere pretext. */
	readonly lifetimeMs: number;
}

/** Envoy's. */
export const prematureResetDefaults: PrematureResetLimits = { streams: 500, lifetimeMs: 1000 };
const prematureResetShare = 0.5;
/** PING is not among them: estimating a path's bandwidth takes many, and what they cost is their answers, which are counted. */
const controlFramesPerSecond = 10_000;

export class FloodError extends Http2ConnectionError {
	readonly stat: Http2Stat | undefined;

	constructor(message: string, stat: Http2Stat | undefined) {
		super(errorCode.enhanceYourCalm, message);
		this.name = "FloodError";
		this.stat = stat;
	}
}

/** The peer opens streams only to end them (CVE-2023-44487, CVE-2025-8671). */
export class PrematureResetsError extends FloodError {
	constructor() {
		super("too many premature resets", undefined);
		this.name = "PrematureResetsError";
	}
}

/**
 * Counts what a peer may send only so often, by the rules and the limits of Envoy's `http2_protocol_options`. Each of them
 * throws a `FloodError`, which ends the connection.
 */
export class FloodGuard {
	readonly #options: Http2Options;
	readonly #nowMs: () => number;
	#streams = 0;
	#emptyFrames = 0;
	#priorityFrames = 0;
	#windowUpdates = 0;
	#dataFramesSent = 0;
	#closedStreams = 0;
	#prematureResets = 0;
	#controlFrames = 0;
	#controlSince = 0;

	constructor(options: Http2Options, nowMs: () => number) {
		this.#options = options;
		this.#nowMs = nowMs;
	}

	onStreamOpened(): void {
		this.#streams++;
	}

	onDataSent(): void {
		this.#dataFramesSent++;
	}

	/** DATA, HEADERS and CONTINUATION: in a row without payload and without an end of stream. */
	onPayload(length: number, isEndStream: boolean): void {
		if (length > 0 || isEndStream) this.#emptyFrames = 0;
		else if (++this.#emptyFrames > this.#options.emptyFramesMax)
			throw new FloodError("too many frames with an empty payload", http2Stat.inbound_empty_frames_flood);
	}

	onPriority(): void {
		if (++this.#priorityFrames > this.#options.priorityFramesPerStreamMax * (1 + this.#streams))
			throw new FloodError("too many PRIORITY frames", http2Stat.inbound_priority_frames_flood);
	}

	onWindowUpdate(): void {
		const max = 5 + 2 * (this.#streams + this.#options.windowUpdatesPerDataFrameMax * this.#dataFramesSent);
		if (++this.#windowUpdates > max) throw new FloodError("too many WINDOW_UPDATE frames", http2Stat.inbound_window_update_frames_flood);
	}

	/** SETTINGS, GOAWAY, unknown frames, resets of nothing: also of a peer that reads our answers. */
	onControl(): void {
		const now = this.#nowMs();
		if (now - this.#controlSince >= 1000) {
			this.#controlSince = now;
			this.#controlFrames = 0;
		}
		if (++this.#controlFrames > controlFramesPerSecond)
			throw new FloodError("too many SETTINGS, GOAWAY, RST_STREAM or unknown frames", http2Stat.outbound_control_flood);
	}

	/** What waits for the peer to read. */
	onQueued(frames: number, controlFrames: number): void {
		if (controlFrames > this.#options.outboundControlFramesMax) throw new FloodError("peer does not read its answers", http2Stat.outbound_control_flood);
		if (frames > this.#options.outboundFramesMax) throw new FloodError("peer does not read", http2Stat.outbound_flood);
	}

	/** `isPeersDoing`: it was reset, or had to be. True: that happens too often. */
	onStreamClosed(isPeersDoing: boolean, lifetimeMs: number, limits: PrematureResetLimits = prematureResetDefaults): boolean {
		this.#closedStreams++;
		if (isPeersDoing && lifetimeMs < limits.lifetimeMs) this.#prematureResets++;
		return this.#closedStreams >= limits.streams && this.#prematureResets > this.#closedStreams * prematureResetShare;
	}
}
