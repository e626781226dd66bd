import type { RequestHead } from "../codec/request-head.ts";
import type { ResponseHead } from "../codec/response-head.ts";
import type { ChosenTransport } from "./chosen-transport.ts";
import type { Connection } from "../transport/connection.ts";

export type UpstreamProtocol = "HTTP/1.1" | "HTTP/2";
/** `auto`: whichever the TLS handshake agrees upon. */
export type PoolProtocol = UpstreamProtocol | "auto";

/** Why an exchange broke off. The words are Envoy's reset reasons. */
export type ResetReason =
	| "connectionTermination"
	| "protocolError"
	| "localReset"
	| "remoteReset"
	| "remoteRefused"
	/** The peer has said that it did not look at the request: whatever it was, it may be sent again (RFC 9113 §8.7). */
	| "unprocessed";

/** Whoever has an exchange, and hears what comes back on it. */
export interface UpstreamClient {
	/** The codec fills it, without what is for one hop only. */
	readonly response: ResponseHead;
	/** HEAD has no body whatever its head says. */
	readonly isHead: boolean;
	/** `hasBody`: more than the head comes. `tunnel`: what follows is no HTTP any more and comes as body until the end. */
	onResponseHead(hasBody: boolean): "body" | "tunnel" | "interim";
	onResponseBody(bytes: Buffer, start: number, end: number): void;
	onResponseTrailer(name: string, value: string): void;
	onResponseEnd(): void;
	/** `http2Code`: of RST_STREAM or GOAWAY, where that is how it ended. */
	onUpstreamReset(reason: ResetReason, detail: string, http2Code?: number): void;
	/** Stop sending, until `onUpstreamDrain`. */
	onUpstreamBlocked(): void;
	onUpstreamDrain(): void;
}

/** One request and its answer on an upstream connection: the whole connection in HTTP/1, one stream in HTTP/2. */
export interface UpstreamExchange {
	/** "": none, the bytes go as they are. */
	readonly protocol: UpstreamProtocol | "";
	/** The connection that carries it, for what TLS proved; it may be shared. */
	readonly connection: Connection;
	/** `ip:port` of our end. */
	readonly localAddress: string;
	/** Whether an earlier exchange went well on this connection: then a silent end means an idle timeout of the peer's, not a failure. */
	readonly isReused: boolean;
	/** Whether any byte of the answer has come. */
	readonly hasAnswered: boolean;
	/** Before anything is sent. */
	begin(client: UpstreamClient): void;
	/** `upgrade`: the protocol asked for, `connect`, or "". `isEnd`: there is neither body nor tunnel. */
	sendHead(head: RequestHead, upgrade: string, isEnd: boolean): void;
	/** Of the body, or of the tunnel once the peer has agreed to it. */
	sendBody(bytes: Buffer, start: number, end: number): void;
	/** The body, or our direction of the tunnel, is over. `trailers`: name, value, name, value … Not after `isEnd`. */
	sendEnd(trailers: readonly string[]): void;
	/** Stops and goes on reading the answer. */
	pause(): void;
	resume(): void;
	/** The client wants no more of it, and hears no more. */
	abandon(): void;
}

/** Why there is no connection. The words are Envoy's reset reasons. */
export type PoolFailure = "overflow" | "localConnectionFailure" | "remoteConnectionFailure" | "connectionTimeout";

export interface PoolClient {
	onPoolReady(upstream: UpstreamExchange): void;
	onPoolFailure(failure: PoolFailure, transportFailure: string): void;
}

/** Connections to one host over which requests go. */
export interface HttpPool {
	readonly protocol: PoolProtocol | "tcp";
	readonly transport: ChosenTransport;
	readonly priority: "default" | "high";
	/** Neither connections nor anybody who waits for one. */
	readonly isEmpty: boolean;
	/** An exchange at once, or undefined: then the client hears later, or it has heard already when this returns. */
	acquire(client: PoolClient): UpstreamExchange | undefined;
	/** The client waits no longer. */
	cancel(client: PoolClient): void;
	/** For one request more than there are. False: there are connections enough, or there may be none. */
	preconnect(ratio: number): boolean;
	/** Idle connections close now, busy ones when they are done. */
	drain(): void;
}
