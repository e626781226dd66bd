import type { Http2Options } from "./http2-options.ts";

/** Envoy's defaults, but for the windows: those bound what a slow reader makes us keep. */
export const http2Defaults: Http2Options = {
	headerTableSize: 4096,
	maxConcurrentStreams: 1024,
	streamWindow: 1 << 20,
	connectionWindow: 8 << 20,
	allowConnect: false,
	outboundFramesMax: 10_000,
	outboundControlFramesMax: 1000,
	emptyFramesMax: 1,
	priorityFramesPerStreamMax: 100,
	windowUpdatesPerDataFrameMax: 10,
	isStreamErrorOnInvalidMessage: false,
	keepalive: undefined,
};
