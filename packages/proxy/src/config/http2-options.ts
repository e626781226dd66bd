/** Of `http2_protocol_options`, each side's own. */
export interface Http2Options {
	/** What the peer's encoder may use; bytes. */
	readonly headerTableSize: number;
	readonly maxConcurrentStreams: number;
	/** Bytes. */
	readonly streamWindow: number;
	readonly connectionWindow: number;
	/** Extended CONNECT (RFC 8441). */
	readonly allowConnect: boolean;
	/** Frames that may wait for the peer to read. */
	readonly outboundFramesMax: number;
	readonly outboundControlFramesMax: number;
	readonly emptyFramesMax: number;
	readonly priorityFramesPerStreamMax: number;
	readonly windowUpdatesPerDataFrameMax: number;
	/** A malformed message costs its stream rather than the connection. */
	readonly isStreamErrorOnInvalidMessage: boolean;
	readonly keepalive: Http2Keepalive | undefined;
}

/** PINGs of ours. */
export interface Http2Keepalive {
	/** 0: none but after idling. */
	readonly intervalMs: number;
	readonly timeoutMs: number;
	/** Of the interval, 0 to 100. */
	readonly jitterPercent: number;
	/** A request on a connection that was idle for this long sends a PING first; 0: never. */
	readonly idleIntervalMs: number;
}
