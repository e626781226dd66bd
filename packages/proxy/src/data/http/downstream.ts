import type { ResponseHead } from "../codec/response-head.ts";
import type { ConnectionInfo } from "../log/stream-info.ts";
import type { CompiledManager } from "./connection-manager.ts";

/** Why reading from the client is stopped; it goes on when no reason is left. */
export const pauseReasons = { upstreamBlocked: 1, waitingForHost: 2, pipelined: 4, closing: 8, filterBuffer: 16, throttled: 32 } as const;

/**
 * What a stream knows of the client's side: where its response goes, and what it may ask of the connection. The whole
 * connection in HTTP/1, one stream of it in HTTP/2. The codec tells the stream of the request by `begin`,
 * `onRequestBody`, `onRequestTrailer`, `onRequestEnd`, of its own congestion by `onDownstreamBlocked` and
 * `onDownstreamDrain`, and of its end by `onDownstreamGone`.
 */
export interface Downstream {
	readonly manager: CompiledManager;
	/** Of this request: trusted headers may name another client than the connection's. */
	readonly info: ConnectionInfo;
	readonly isTls: boolean;
	readonly localPort: number;
	/** The peer's, without a port. */
	readonly remoteAddress: string;
	/** Our element of `x-forwarded-client-cert`; "" when the client proved nothing. */
	readonly ownCertificate: string;
	/** The client of this request, without a port; `info` says so from then on. */
	setClientAddress(address: string): void;

	/** 100, when the client waits for it. At most once a request. */
	sendContinue(): void;
	/** Another 1xx, or the upstream's 100. */
	sendInterim(head: ResponseHead): void;
	/** The connection is not to be used for another request than this one. */
	closeAfter(): void;
	/** The final head. Without a body the response is over with it; else `sendEnd` follows. */
	sendHead(head: ResponseHead, hasBody: boolean): void;
	sendBody(bytes: Buffer, start: number, end: number): void;
	/** `trailers`: name, value, name, value … */
	sendEnd(trailers: readonly string[]): void;
	/** 101, or 2xx to CONNECT: bytes pass both ways from now on, `sendBody` and `onRequestBody` carry them. `upgrade` as in the stream. */
	openTunnel(head: ResponseHead, upgrade: string): void;
	/** The response cannot be completed, and the client must see that. */
	reset(): void;
	/** The stream has been counted and logged; whoever gave it the request takes it back. */
	onStreamOver(): void;

	/** Reasons as in `pauseReasons`. */
	pause(reason: number): void;
	resume(reason: number): void;
}
