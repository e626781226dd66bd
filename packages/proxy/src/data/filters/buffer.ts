import type { StreamFilter } from "../http/stream-filter.ts";

/** Holds a request until it is complete, so that an upstream never waits for a slow client. Larger ones are answered 413. */
export function compileBuffer(bytesMax: number): StreamFilter {
	return {
		bufferBytesMax: bytesMax,
		onRequestHead: (stream) => (stream.isRequestComplete || stream.upgrade !== "" ? "continue" : "buffer"),
		onRequestBuffered({ request, filters }) {
			// The length is known now: the upstream need not be sent chunks.
			if (request.contentLength < 0) {
				request.isChunked = false;
				request.contentLength = filters.bodyBytes;
				request.append("content-length", String(filters.bodyBytes));
			}
			return "continue";
		},
	};
}
