import type { BodyKind } from "../codec/body-decoder.ts";
import { type HeadError, incomplete, parseRequestHead } from "../codec/head-parser.ts";
import { nominatesTooMuch, readUpgrade, stripRequest } from "../codec/hop-by-hop.ts";
import { known } from "../codec/known-names.ts";
import { MessageDecoder, type MessageEvents, pipelinedBytesMax } from "../codec/message-decoder.ts";
import { encodeChunk, encodeLastChunk, encodeResponseHead } from "../codec/message-encoder.ts";
import type { ResponseHead } from "../codec/response-head.ts";
import { reasonOf } from "../codec/status-lines.ts";
import { formatXfcc } from "../headers/xfcc.ts";
import { abortsDispatch, mustCloseAfter, overloaded } from "./close-decision.ts";
import type { CompiledManager } from "./connection-manager.ts";
import { type Downstream, pauseReasons } from "./downstream.ts";
import { httpGauge, httpStat } from "./http-stats.ts";
import { Http1Timers } from "./http1-timers.ts";
import { sendLocalReply } from "./local-reply.ts";
import { readBeginning } from "./preface.ts";
import { hasUnderscores } from "./request-prologue.ts";
import type { StreamPool } from "./stream-pool.ts";
import type { HttpStream } from "./stream.ts";
import { responseFlags } from "../log/response-flags.ts";
import type { ConnectionInfo } from "../log/stream-info.ts";
import type { Connection, ConnectionHandler } from "../transport/connection.ts";
import type { WorkerContext } from "../worker/context.ts";

/** The first bytes are HTTP/2's: somebody else takes the connection, with what has been read. */
export type OnHttp2 = (bytes: Buffer) => void;

const continueLine = Buffer.from("HTTP/1.1 100 Continue\r\n\r\n");
const none: readonly string[] = [];
const noBody = { kind: "none", length: 0 } as const;
const unexpectedUnderscore: HeadError = { status: 400, details: "http1.unexpected_underscore" };
const connectionRejected: HeadError = { status: 400, details: "http1.connection_header_rejected" };
const chunkedBody = { kind: "chunked", length: 0 } as const;

/** One HTTP/1 client connection under a connection manager. */
export class Http1ServerConnection implements ConnectionHandler, MessageEvents, Downstream {
	readonly connection: Connection;
	readonly manager: CompiledManager;
	readonly info: ConnectionInfo;
	readonly #context: WorkerContext;
	readonly #pool: StreamPool;
	readonly #decoder: MessageDecoder;
	readonly #onHttp2: OnHttp2 | undefined;
	readonly #onClosed: () => void;
	readonly #openedAt: number;
	readonly #timers: Http1Timers;
	#stream: HttpStream | undefined;
	#ownCertificate: string | undefined;
	#requests = 0;
	#isSniffing = true;
	#isDraining = false;
	#isAskedToReconnect = false;
	#isClosing = false;
	/** Of this connection; requests may name another for themselves. */
	readonly #clientAddress: string;
	#pauses = 0;
	/** The request's `connection` header, before it was removed. */
	#clientConnection: string | undefined;
	/** The response body is framed in chunks. */
	#isChunkedOut = false;
	/** The response is the connection's last. */
	#closesAfter = false;
	#hasContinued = false;
	/** Bytes of the client's after an upgrade request: they belong to the tunnel, if one comes to be. */
	#early: Buffer[] | undefined;

	constructor(connection: Connection, info: ConnectionInfo, manager: CompiledManager, pool: StreamPool, onHttp2: OnHttp2 | undefined, onClosed: () => void) {
		this.connection = connection;
		this.info = info;
		this.manager = manager;
		this.#context = manager.context;
		this.#pool = pool;
		this.#onHttp2 = onHttp2;
		this.#onClosed = onClosed;
		this.#openedAt = manager.context.nowMs();
		this.#decoder = new MessageDecoder(this, (bytes, start, end) => this.#parseHead(bytes, start, end), manager.headLimits);
		manager.count(httpStat.downstream_cx_total);
		manager.count(httpStat.downstream_cx_http1_total);
		manager.gauge(httpGauge.downstream_cx_active, 1);
		manager.gauge(httpGauge.downstream_cx_http1_active, 1);
		if (connection.isTls) {
			manager.count(httpStat.downstream_cx_ssl_total);
			manager.gauge(httpGauge.downstream_cx_ssl_active, 1);
		}
		connection.handler = this;
		this.#clientAddress = info.remoteAddress;
		this.#timers = new Http1Timers(
			manager,
			() => this.#onTimer(),
			() => {
				if (this.isIdle) this.#closeGently();
			},
		);
	}

	/** Our element of `x-forwarded-client-cert`; "" when the client proved nothing. */
	get ownCertificate(): string {
		return (this.#ownCertificate ??= formatXfcc(this.info.tls, this.manager.config.clientCertDetails));
	}

	get isTls(): boolean {
		return this.connection.isTls;
	}
	get localPort(): number {
		return this.connection.localPort;
	}
	get remoteAddress(): string {
		return this.connection.remoteAddress;
	}
	get isIdle(): boolean {
		return this.#stream === undefined && this.#decoder.carried === 0;
	}

	setClientAddress(address: string): void {
		this.info.remoteAddress = address.includes(":") ? `[${address}]:0` : `${address}:0`;
	}

	// ---- bytes in

	onData(bytes: Buffer, start: number, end: number): void {
		if (this.#isClosing) return;
		this.manager.count(httpStat.downstream_cx_rx_bytes_total, end - start);
		if (this.#isSniffing) return this.#onFirstData(bytes, start, end);
		this.#onHttp1Data(bytes, start, end);
	}

	#onFirstData(bytes: Buffer, start: number, end: number): void {
		const beginning = readBeginning(this.#decoder, bytes, start, end);
		if (beginning === undefined) return;
		this.#isSniffing = false;
		if (beginning.protocol === "HTTP/2") return this.#handOver(beginning.bytes);
		this.#onHttp1Data(beginning.bytes, beginning.start, beginning.end);
	}

	#onHttp1Data(bytes: Buffer, start: number, end: number): void {
		if (this.#early !== undefined || this.#stream?.isTunnel === true) return this.#onTunnelData(bytes, start, end);
		this.#decoder.feed(bytes, start, end);
		if (this.#decoder.carried === 0) return;
		if (this.#decoder.isHeld && this.#decoder.carried > pipelinedBytesMax) this.pause(pauseReasons.pipelined);
		this.#awaitHead();
	}

	#handOver(bytes: Buffer): void {
		if (this.#onHttp2 === undefined) {
			this.manager.count(httpStat.downstream_cx_protocol_error);
			this.#context.log("http", "warn", "HTTP/2 is not spoken on this listener: connection closed", {
				listener: this.manager.config.statPrefix,
				client: this.info.remoteAddress,
			});
			this.connection.destroy();
			return;
		}
		this.#decoder.isStopped = true;
		this.#stopCounting();
		this.manager.count(httpStat.downstream_cx_total, -1);
		this.manager.count(httpStat.downstream_cx_http1_total, -1);
		if (this.connection.isTls) this.manager.count(httpStat.downstream_cx_ssl_total, -1);
		// What has been read here is counted there again.
		this.manager.count(httpStat.downstream_cx_rx_bytes_total, -bytes.length);
		this.#onHttp2(bytes);
	}

	#parseHead(bytes: Buffer, start: number, end: number): number {
		const stream = (this.#stream ??= this.#pool.take());
		stream.request.clear();
		const length = parseRequestHead(stream.request, bytes, start, end, this.manager.headLimits);
		if (length === incomplete) {
			// Clients that dawdle over a head are to cost their bytes, not a stream each.
			this.#stream = undefined;
			this.#pool.give(stream);
		}
		return length;
	}

	// ---- messages

	onHead(): { readonly kind: BodyKind; readonly length: number } | "stop" {
		const stream = this.#stream as HttpStream;
		const { request } = stream;
		if (abortsDispatch(this.manager)) {
			this.onMalformed(overloaded);
			return "stop";
		}
		if (this.manager.config.underscoresInHeaders === "reject" && hasUnderscores(request)) {
			this.onMalformed(unexpectedUnderscore);
			return "stop";
		}
		if (request.hasKnown(known.connection) && nominatesTooMuch(request)) {
			this.onMalformed(connectionRejected);
			return "stop";
		}
		this.#timers.onHead();
		this.info.remoteAddress = this.#clientAddress;
		this.#requests++;
		this.manager.count(httpStat.downstream_rq_total);
		this.manager.count(httpStat.downstream_rq_http1_total);
		this.manager.gauge(httpGauge.downstream_rq_active, 1);
		const kind: BodyKind = request.isChunked ? "chunked" : request.contentLength > 0 ? "length" : "none";
		this.#isChunkedOut = this.#closesAfter = this.#hasContinued = false;
		// Filters may change what the request says of its length, for those behind them.
		const length = request.contentLength;
		const upgrade = readUpgrade(request);
		this.#clientConnection = request.hasKnown(known.connection) ? request.get("connection") : undefined;
		stripRequest(request);
		stream.begin(this, kind === "none", upgrade);
		if (stream.upgrade !== "" && !stream.isOver) {
			this.#early = [];
			return "stop";
		}
		if (kind === "none") return noBody;
		if (kind === "chunked") return chunkedBody;
		return { kind, length };
	}

	onBody(bytes: Buffer, start: number, end: number): void {
		this.#stream?.onRequestBody(bytes, start, end);
	}

	onTrailer(name: string, value: string): HeadError | undefined {
		const { http1, underscoresInHeaders } = this.manager.config;
		if (!http1.enableTrailers) return undefined;
		if (underscoresInHeaders !== "allow" && name.includes("_")) return underscoresInHeaders === "reject" ? unexpectedUnderscore : undefined;
		this.#stream?.onRequestTrailer(name, value);
		return undefined;
	}

	onMessageEnd(): void {
		const stream = this.#stream;
		// Without a body `begin` has been told already.
		if (stream !== undefined && !stream.isRequestComplete) stream.onRequestEnd();
		if (stream === undefined || stream.isOver) this.#nextRequest();
	}

	onMalformed(error: HeadError): void {
		this.manager.count(error === overloaded ? httpStat.downstream_rq_overload_close : httpStat.downstream_cx_protocol_error);
		const stream = (this.#stream ??= this.#pool.take());
		if (stream.isOver || stream.isResponseStarted) return this.reset();
		if (stream.info.startAt === 0) this.#beginMalformed(stream);
		stream.router.cancel();
		sendLocalReply(stream, {
			status: error.status,
			body: reasonOf(error.status),
			flags: responseFlags.DPE,
			details: error.details,
			isClose: true,
		});
	}

	#beginMalformed(stream: HttpStream): void {
		this.#timers.onMalformed();
		this.manager.count(httpStat.downstream_rq_total);
		this.manager.count(httpStat.downstream_rq_http1_total);
		this.manager.gauge(httpGauge.downstream_rq_active, 1);
		this.#isChunkedOut = this.#closesAfter = this.#hasContinued = false;
		this.#clientConnection = undefined;
		stream.beginMalformed(this, false);
	}

	// ---- tunnels

	#onTunnelData(bytes: Buffer, start: number, end: number): void {
		const stream = this.#stream;
		if (stream?.isTunnel === true) return stream.onRequestBody(bytes, start, end);
		this.#early?.push(Buffer.from(bytes.subarray(start, end)));
		// Nothing is passed on before the upstream agrees: what is no tunnel must not see the bytes as requests.
		this.pause(pauseReasons.waitingForHost);
	}

	openTunnel(head: ResponseHead, upgrade: string): void {
		this.#closesAfter = true;
		if (upgrade !== "connect") head.append("upgrade", upgrade);
		encodeResponseHead(this.#context.output, this.connection, head, 11, false, upgrade === "connect" ? "" : "upgrade", "lower");
		this.#passEarlyBytes();
	}

	/** Bytes that came before the upstream agreed go first. */
	#passEarlyBytes(): void {
		const stream = this.#stream;
		const early = this.#early ?? [];
		const carried = this.#decoder.takeCarried();
		this.#early = undefined;
		if (carried !== undefined) stream?.onRequestBody(carried, 0, carried.length);
		for (const bytes of early) stream?.onRequestBody(bytes, 0, bytes.length);
		this.resume(pauseReasons.waitingForHost);
		this.manager.count(httpStat.downstream_cx_upgrades_total);
	}

	// ---- output

	sendContinue(): void {
		if (this.#hasContinued || this.#stream?.request.version === 10) return;
		this.#hasContinued = true;
		this.#context.output.sendBytes(this.connection, continueLine, 0, continueLine.length);
	}

	sendInterim(head: ResponseHead): void {
		if (this.#stream?.request.version !== 10) encodeResponseHead(this.#context.output, this.connection, head, 11, false, "", "lower");
	}

	closeAfter(): void {
		this.#closesAfter = true;
	}

	sendHead(head: ResponseHead, hasBody: boolean): void {
		const stream = this.#stream as HttpStream;
		const isHttp10 = stream.request.version === 10;
		// A filter or the configuration may have taken away what was said of it.
		const hasLength = head.contentLength >= 0 && head.has("content-length");
		this.#isChunkedOut = hasBody && !hasLength && !isHttp10;
		if (!hasLength && isHttp10) this.#closesAfter = true;
		const isEnding = this.#timers.isTooOld || this.#isDraining || this.#isAskedToReconnect;
		if (!stream.isRequestComplete || mustCloseAfter(stream, this.#clientConnection, this.#requests, isEnding)) this.#closesAfter = true;
		// The client must not wait for a body that does not come.
		const saysNothing = !hasBody && !hasLength && mayHaveBody(head.status);
		if (saysNothing && !stream.isHead) head.appendOwn("content-length", "0");
		// What a GET would be answered with may be any length.
		const isChunked = this.#isChunkedOut || (saysNothing && stream.isHead && !isHttp10);
		const connectionValue = this.#closesAfter ? "close" : isHttp10 ? "keep-alive" : "";
		encodeResponseHead(this.#context.output, this.connection, head, isHttp10 ? 10 : 11, isChunked, connectionValue, this.manager.config.http1.headerCase);
	}

	sendBody(bytes: Buffer, start: number, end: number): void {
		const { output } = this.#context;
		if (this.#isChunkedOut) encodeChunk(output, this.connection, bytes, start, end);
		else output.sendBytes(this.connection, bytes, start, end);
	}

	sendEnd(trailers: readonly string[]): void {
		if (this.#isChunkedOut) encodeLastChunk(this.#context.output, this.connection, this.manager.config.http1.enableTrailers ? trailers : none);
	}

	onStreamOver(): void {
		const stream = this.#stream;
		const isClose = this.#closesAfter || stream?.isRequestComplete === false;
		if (stream !== undefined && stream.isRequestComplete) {
			this.#stream = undefined;
			this.#pool.give(stream);
		}
		if (isClose) return this.#closeGently();
		this.#nextRequest();
	}

	#nextRequest(): void {
		const stream = this.#stream;
		if (stream?.isOver === true) {
			this.#stream = undefined;
			this.#pool.give(stream);
		}
		if (!this.#decoder.isHeld || this.#stream !== undefined || this.#isClosing) return;
		this.#timers.armIdle();
		// The upstream connection that just answered is free again only after its event is over: let the next request find it.
		if (this.#decoder.carried > 0 && !this.#decoder.isRunning) setImmediate(() => this.#releaseLater());
		else this.#release();
	}

	#releaseLater(): void {
		try {
			this.#release();
		} catch (error) {
			this.#context.log("http", "error", "connection closed after an internal error", {
				error: error instanceof Error ? (error.stack ?? error.message) : String(error),
			});
			this.connection.destroy();
		}
		this.#context.afterEvent();
	}

	#release(): void {
		if (this.#isClosing || this.connection.isClosed) return;
		this.#decoder.release();
		if (!this.#decoder.isHeld || this.#decoder.carried <= pipelinedBytesMax) this.resume(pauseReasons.pipelined);
		this.#awaitHead();
	}

	/** Sends all, says so, and gives the client a moment to read before the connection goes (RFC 9112 §9.6). */
	#closeGently(): void {
		if (this.#isClosing) return;
		this.#isClosing = true;
		this.#decoder.isStopped = true;
		this.#context.output.flush();
		this.connection.end();
		this.#timers.armClose();
	}

	/** What was written goes out; the missing end tells the client that the response is broken. */
	reset(): void {
		this.#context.output.flush();
		this.connection.destroy();
	}

	// ---- flow control

	pause(reason: number): void {
		if (this.#pauses === 0) {
			this.connection.pause();
			this.manager.count(httpStat.downstream_flow_control_paused_reading_total);
		}
		this.#pauses |= reason;
	}

	resume(reason: number): void {
		if ((this.#pauses & reason) === 0) return;
		this.#pauses &= ~reason;
		if (this.#pauses !== 0) return;
		this.connection.resume();
		this.manager.count(httpStat.downstream_flow_control_resumed_reading_total);
	}

	onBlocked(): void {
		this.#stream?.onDownstreamBlocked();
	}

	onDrain(): void {
		this.#stream?.onDownstreamDrain();
	}

	// ---- ends

	/** Timeouts may have become shorter, or longer again. */
	onOverload(): void {
		const { overload } = this.#context;
		if (overload === undefined || this.manager.bypassesOverload) return;
		if (this.#stream !== undefined) return this.#stream.timers.onOverload();
		if (this.isIdle && !this.#isClosing && !this.#isDraining) this.#timers.rescaleIdle(overload);
	}

	#awaitHead(): void {
		if (!this.#isClosing && this.#decoder.isInHead) this.#timers.awaitHead();
	}

	#onTimer(): void {
		if (this.#isClosing) {
			this.manager.count(httpStat.downstream_cx_delayed_close_timeout);
			this.connection.destroy();
			return;
		}
		if (!this.#decoder.isInMessage) {
			this.manager.count(httpStat.downstream_cx_idle_timeout);
			return this.connection.destroy();
		}
		const stream = (this.#stream ??= this.#pool.take());
		const { requestHeadersTimeoutMs, requestTimeoutMs } = this.manager.config;
		const isOverall = requestTimeoutMs > 0 && (requestHeadersTimeoutMs === 0 || requestTimeoutMs < requestHeadersTimeoutMs);
		const [body, details] = isOverall ? ["request timeout", "request_overall_timeout"] : ["request header timeout", "request_header_timeout"];
		this.manager.count(isOverall ? httpStat.downstream_rq_timeout : httpStat.downstream_rq_header_timeout);
		this.#beginMalformed(stream);
		sendLocalReply(stream, { status: 408, body, flags: 0, details, isClose: true });
	}

	/**
	 * The listener goes away: the next response says so and is the last. A silent connection is closed at once only when
	 * the process ends, as its client may be sending a request right now.
	 */
	drain(isEnding: boolean): void {
		this.#isDraining = true;
		if (!this.isIdle) return;
		if (isEnding) this.#closeGently();
		else this.#timers.armDrain();
	}

	askToReconnect(): void {
		this.#isAskedToReconnect = true;
	}

	onEnd(): void {
		if (this.#stream?.isTunnel === true) return this.#stream.onTunnelEnd();
		this.connection.destroy();
	}

	onClose(error: Error | undefined): void {
		const stream = this.#stream;
		this.#stream = undefined;
		this.#forget();
		this.manager.count(httpStat.downstream_cx_destroy);
		this.manager.count(error === undefined ? httpStat.downstream_cx_destroy_remote : httpStat.downstream_cx_destroy_local);
		if (stream === undefined) return;
		if (stream.info.startAt !== 0 && !stream.isOver) {
			this.manager.count(httpStat.downstream_cx_destroy_active_rq);
			this.manager.count(httpStat.downstream_cx_destroy_remote_active_rq);
			stream.onDownstreamGone();
		}
		this.#pool.give(stream);
	}

	#forget(): void {
		this.#decoder.isStopped = true;
		this.#context.output.discard(this.connection);
		this.#stopCounting();
		this.#onClosed();
	}

	#stopCounting(): void {
		this.manager.connectionMs.record(this.#context.nowMs() - this.#openedAt);
		this.#timers.dispose();
		this.manager.gauge(httpGauge.downstream_cx_active, -1);
		this.manager.gauge(httpGauge.downstream_cx_http1_active, -1);
		if (this.connection.isTls) this.manager.gauge(httpGauge.downstream_cx_ssl_active, -1);
	}
}

/** RFC 9110 §6.4.1. */
const mayHaveBody = (status: number): boolean => status >= 200 && status !== 204 && status !== 304;
