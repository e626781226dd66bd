import type { HttpStream } from "./stream.ts";

/**
 * - `continue`: the next filter's turn;
 * - `stop`: the stream has been answered, or goes on when what `stream.filters.suspend` gave is called;
 * - `buffer`: the whole body is wanted first, `onRequestBuffered` is asked once it is there.
 */
export type FilterVerdict = "continue" | "stop" | "buffer";

/**
 * One HTTP filter, compiled for one connection manager and what the route says to it. It has no state of a stream's
 * own; what it must remember of one is at its `index` in `stream.filters.states`. Requests pass filters in order, responses
 * in reverse order, local replies too, also those given before the request came as far as this filter.
 */
export interface StreamFilter {
	onRequestHead?(stream: HttpStream): FilterVerdict;
	/** For `buffer`: more than this is answered 413, or ends the waiting where a part is enough. */
	readonly bufferBytesMax?: number;
	readonly allowsPartialBody?: boolean;
	/** `stream.filters.body` has what came. */
	onRequestBuffered?(stream: HttpStream): "continue" | "stop";
	/** May change the bytes on their way, or keep some for `filters.passRequest`; what it gives takes their place. Tunnels' too. */
	onRequestBody?(stream: HttpStream, bytes: Buffer): Buffer;
	/** True: the end has to wait for bytes that were kept, until `goOn` is called. */
	holdsRequestEnd?(stream: HttpStream, goOn: () => void): boolean;
	/** All of the request has passed it. */
	onRequestEnd?(stream: HttpStream): void;
	/** For streams whose `filters.holdsResponse` is set: all of the answer has come, and nothing of it has been sent. */
	onResponseHeld?(stream: HttpStream, trailers: readonly string[]): void;
	onResponseHead?(stream: HttpStream, hasBody: boolean): void;
	/** As `onRequestBody`; bytes that it keeps are for `filters.passResponse`. */
	onResponseBody?(stream: HttpStream, bytes: Buffer): Buffer;
	/** As `holdsRequestEnd`. */
	holdsResponseEnd?(stream: HttpStream, goOn: () => void): boolean;
	/** Name, value, name, value … may be changed. Gives bytes to be sent before the end. */
	onResponseEnd?(stream: HttpStream, trailers: string[]): Buffer | undefined;
	/** The stream is over, whatever became of it. */
	onOver?(stream: HttpStream): void;
}
