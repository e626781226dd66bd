import { defaultHeadLimits, type HeadError, parseResponseHead } from "../codec/head-parser.ts";
import { MessageDecoder, type MessageEvents } from "../codec/message-decoder.ts";
import type { BodyKind } from "../codec/body-decoder.ts";
import type { RequestHead } from "../codec/request-head.ts";
import { ResponseHead } from "../codec/response-head.ts";
import { formatSocketAddress } from "../lb/host-entry.ts";
import type { Connection, ConnectionHandler } from "../transport/connection.ts";
import { Timer } from "../transport/timers.ts";
import { encodeChunk, encodeLastChunk, encodeRequestHead } from "../codec/message-encoder.ts";
import { stripResponse } from "../codec/hop-by-hop.ts";
import type { ResetReason, UpstreamClient, UpstreamExchange } from "./exchange.ts";
import type { Http1Pool } from "./http1-pool.ts";
import { clusterStat } from "./cluster-stats.ts";

const limits = { ...defaultHeadLimits, headBytesMax: 80 * 1024, headersMax: 1000 };

/** An upstream that goes on saying "wait" is no better than one that says nothing. */
const interimsMax = 100;

/** One HTTP/1 connection to a host, and the exchange that it carries. */
export class Http1Upstream implements ConnectionHandler, MessageEvents, UpstreamExchange {
	readonly protocol = "HTTP/1.1";
	readonly pool: Http1Pool;
	readonly connection: Connection;
	readonly openedAt: number;
	client: UpstreamClient | undefined;
	/** Exchanges begun. */
	requests = 0;
	hasAnswered = false;
	/** The request that is under way was sent whole: without that the connection cannot be used again. */
	#isRequestSent = false;
	#isChunkedOut = false;
	#isTunnel = false;
	readonly #decoder: MessageDecoder;
	readonly #idleTimer: Timer;
	readonly #ageTimer: Timer;
	readonly #lengthBody: { readonly kind: "length"; length: number } = { kind: "length", length: 0 };
	#isTooOld = false;
	/** 1xx answers to the request that is under way. */
	#interims = 0;
	#isFree = false;
	/** It ended with its exchange, which was not over. */
	#isCut = false;
	#isPeersEnd = false;
	#isClosedByUs = false;
	#localAddress: string | undefined;
	/** For answers nobody waits for. */
	#spare: ResponseHead | undefined;

	constructor(pool: Http1Pool, connection: Connection) {
		this.pool = pool;
		this.connection = connection;
		this.openedAt = pool.cluster.context.nowMs();
		connection.handler = this;
		const { config, context } = pool.cluster;
		const headLimits = config.http1.headerCase === "preserve" ? { ...limits, keepOriginal: true } : limits;
		this.#decoder = new MessageDecoder(
			this,
			(bytes, start, end) => {
				const head = this.client?.response ?? (this.#spare ??= new ResponseHead());
				head.clear();
				return parseResponseHead(head, bytes, start, end, headLimits);
			},
			headLimits,
		);
		this.#idleTimer = new Timer(context.wheel, () => {
			pool.cluster.count(clusterStat.upstream_cx_idle_timeout);
			this.close();
		});
		this.#ageTimer = new Timer(context.wheel, () => {
			this.#isTooOld = true;
			if (this.client !== undefined) return;
			pool.cluster.count(clusterStat.upstream_cx_max_duration_reached);
			this.close();
		});
		this.#ageTimer.arm(config.maxConnectionDurationMs);
	}

	/** We end it, not the host. */
	get isOurEnd(): boolean {
		return this.#isClosedByUs && !this.#isPeersEnd;
	}

	get isReused(): boolean {
		return this.requests > 1;
	}

	begin(client: UpstreamClient): void {
		this.client = client;
		this.requests++;
		this.hasAnswered = this.#isRequestSent = this.#isChunkedOut = this.#isTunnel = false;
		this.#interims = 0;
		this.#idleTimer.cancel();
		this.#decoder.release();
		// The last answer may have ended while its reader was slow.
		this.connection.resume();
	}

	sendHead(head: RequestHead, upgrade: string, isEnd: boolean): void {
		const { context, config } = this.pool.cluster;
		this.#isRequestSent = isEnd;
		this.#isChunkedOut = encodeRequestHead(context.output, this.connection, head, upgrade === "connect" ? "" : upgrade, config.http1.headerCase);
	}

	sendBody(bytes: Buffer, start: number, end: number): void {
		if (end === start) return;
		const { output } = this.pool.cluster.context;
		if (this.#isChunkedOut) encodeChunk(output, this.connection, bytes, start, end);
		else output.sendBytes(this.connection, bytes, start, end);
	}

	sendEnd(trailers: readonly string[]): void {
		const { context, config } = this.pool.cluster;
		if (this.#isTunnel) {
			context.output.flush();
			this.connection.end();
			return;
		}
		if (this.#isChunkedOut) encodeLastChunk(context.output, this.connection, config.http1.enableTrailers ? trailers : none);
		this.#isRequestSent = true;
	}

	pause(): void {
		this.connection.pause();
	}

	resume(): void {
		this.connection.resume();
	}

	get localAddress(): string {
		return (this.#localAddress ??= formatSocketAddress({ kind: "ip", address: this.connection.localAddress, port: this.connection.localPort }));
	}

	rest(): void {
		this.connection.resume();
		this.#idleTimer.arm(this.pool.cluster.config.idleTimeoutMs);
	}

	onData(bytes: Buffer, start: number, end: number): void {
		if (this.client === undefined) {
			// An answer that nobody asked for would be taken for the next request's (response queue poisoning).
			this.pool.cluster.count(clusterStat.upstream_cx_protocol_error);
			this.close();
			return;
		}
		this.pool.cluster.count(clusterStat.upstream_cx_rx_bytes_total, end - start);
		this.hasAnswered = true;
		this.#decoder.feed(bytes, start, end);
		if (!this.#isFree) return;
		this.#isFree = false;
		// Only now is it known that nothing trails the answer.
		if (this.#decoder.carried === 0) return this.pool.giveBack(this);
		this.pool.cluster.count(clusterStat.upstream_cx_protocol_error);
		this.close();
	}

	onHead(): { readonly kind: BodyKind; readonly length: number } | "interim" | "stop" {
		const { client } = this;
		if (client === undefined) return "stop";
		const head = client.response;
		if (head.status < 200 && ++this.#interims > interimsMax) {
			this.pool.cluster.count(clusterStat.upstream_cx_protocol_error);
			this.#reset("protocolError", "too many interim responses");
			return "stop";
		}
		stripResponse(head);
		const body = this.#bodyOf(head, client.isHead);
		const next = client.onResponseHead(body.kind !== "none");
		if (next === "interim") return "interim";
		if (next !== "tunnel") return body;
		this.#isTunnel = true;
		return untilClose;
	}

	/** RFC 9112 §6.3, in its order. */
	#bodyOf(head: ResponseHead, isHead: boolean): { readonly kind: BodyKind; readonly length: number } {
		if (isHead || head.status === 204 || head.status === 304) return noBody;
		if (head.isChunked) return chunked;
		if (head.contentLength === 0) return noBody;
		if (head.contentLength < 0) return untilClose;
		this.#lengthBody.length = head.contentLength;
		return this.#lengthBody;
	}

	onBody(bytes: Buffer, start: number, end: number): void {
		this.client?.onResponseBody(bytes, start, end);
	}

	onTrailer(name: string, value: string): undefined {
		if (this.pool.cluster.config.http1.enableTrailers) this.client?.onResponseTrailer(name, value);
	}

	onMessageEnd(): void {
		const { client } = this;
		if (client === undefined) return;
		const isReusable = this.#isRequestSent && !client.response.isClose && this.#decoder.body.kind !== "untilClose" && !this.#isWornOut;
		this.client = undefined;
		client.onResponseEnd();
		if (this.connection.isClosed) return;
		if (isReusable) this.#isFree = true;
		else this.close();
	}

	get #isWornOut(): boolean {
		const { maxRequestsPerConnection } = this.pool.cluster.config;
		return this.#isTooOld || (maxRequestsPerConnection > 0 && this.requests >= maxRequestsPerConnection);
	}

	onMalformed(error: HeadError): void {
		this.pool.cluster.count(clusterStat.upstream_cx_protocol_error);
		this.#reset("protocolError", error.details);
	}

	onEnd(): void {
		this.#isPeersEnd = true;
		if (this.client !== undefined && this.#decoder.finish()) return this.close();
		if (this.client === undefined || !this.#decoder.isInMessage) return this.#reset("connectionTermination", "");
		this.pool.cluster.count(clusterStat.upstream_cx_protocol_error);
		this.#reset("protocolError", "the response was cut short");
	}

	onBlocked(): void {
		this.client?.onUpstreamBlocked();
	}

	onDrain(): void {
		this.client?.onUpstreamDrain();
	}

	onClose(): void {
		this.#idleTimer.disarm();
		this.#ageTimer.disarm();
		this.pool.cluster.context.output.discard(this.connection);
		const { client } = this;
		this.client = undefined;
		this.pool.closed(this, client !== undefined || this.#isCut);
		client?.onUpstreamReset("connectionTermination", "");
	}

	#reset(reason: ResetReason, detail: string): void {
		const { client } = this;
		this.#isCut = client !== undefined;
		this.client = undefined;
		this.close();
		client?.onUpstreamReset(reason, detail);
	}

	/** The client wants no more of it: the exchange cannot be finished, so neither can the connection be kept. */
	abandon(): void {
		this.#isCut = this.client !== undefined;
		this.client = undefined;
		this.close();
	}

	/** Ends it; whoever has it hears nothing. */
	close(): void {
		this.#decoder.isStopped = true;
		this.#isClosedByUs = true;
		this.connection.destroy();
	}
}
const none: readonly string[] = [];
const noBody = { kind: "none", length: 0 } as const;
const chunked = { kind: "chunked", length: 0 } as const;
const untilClose = { kind: "untilClose", length: 0 } as const;
