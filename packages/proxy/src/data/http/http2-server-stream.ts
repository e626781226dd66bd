import { randomBytes } from "node:crypto";
import { known } from "../codec/known-names.ts";
import type { ResponseHead } from "../codec/response-head.ts";
import { encodeResponse, responseBytesMax } from "../http2/head-encoder.ts";
import type { HpackDecoder } from "../http2/hpack-decoder.ts";
import { Http2Stream, type ResetCause } from "../http2/http2-stream.ts";
import { errorCode } from "../http2/protocol.ts";
import { type Malformed, RequestFields } from "../http2/request-fields.ts";
import type { ConnectionInfo } from "../log/stream-info.ts";
import { responseFlags } from "../log/response-flags.ts";
import type { CompiledManager } from "./connection-manager.ts";
import { type Downstream, pauseReasons } from "./downstream.ts";
import { httpStat } from "./http-stats.ts";
import type { Http2ServerConnection } from "./http2-server-connection.ts";
import { sendLocalReply } from "./local-reply.ts";
import { hasUnderscores } from "./request-prologue.ts";
import type { HttpStream } from "./stream.ts";

/** One block is decoded at a time. */
const requestFields = new RequestFields();
/** `:status: 100`, as a literal that leaves the table alone. */
const continueBlock = Buffer.from([0x08, 0x03, 0x31, 0x30, 0x30]);
const websocketKeyBytes = 16;

/** Why the client's stream is over. */
function flagOf(code: number, cause: ResetCause): number {
	if (cause === "peer") return code === errorCode.protocolError ? responseFlags.DPE : responseFlags.DR;
	return cause === "rule" || cause === "failure" ? responseFlags.DPE : responseFlags.DC;
}

/** The same for the log; undefined: the connection is gone. What was wrong with a message has been `said`. */
function detailsOf(said: string, code: number, cause: ResetCause): string | undefined {
	if (cause === "peer" || cause === "rule") return code === errorCode.refusedStream ? "http2.remote_refuse" : "http2.remote_reset";
	return cause === "connection" || said === "" ? undefined : said;
}

/** One request of an HTTP/2 client, and where its response goes. */
export class Http2ServerStream extends Http2Stream implements Downstream {
	readonly manager: CompiledManager;
	info: ConnectionInfo;
	readonly #connection: Http2ServerConnection;
	/** Given back when the request is over; the rest of its response may still wait here. */
	#http: HttpStream | undefined;
	#upgrade = "";
	#hasContinued = false;
	/** Its head has come, and what came with it in one read is still being looked at. */
	#isArriving = false;
	/** What came before the upstream agreed to a tunnel. */
	#early: Buffer[] | undefined;

	constructor(connection: Http2ServerConnection, id: number) {
		const { manager } = connection;
		super(connection.session, id, connection.session.peer.initialWindowSize, manager.config.http2.streamWindow, manager.context.nowMs());
		this.#connection = connection;
		this.manager = manager;
		this.info = connection.info;
		this.#http = connection.pool.take();
	}

	onOverload(): void {
		this.#http?.timers.onOverload();
	}

	get isTls(): boolean {
		return this.#connection.isTls;
	}
	get localPort(): number {
		return this.#connection.localPort;
	}
	get remoteAddress(): string {
		return this.#connection.remoteAddress;
	}
	get ownCertificate(): string {
		return this.#connection.ownCertificate;
	}

	setClientAddress(address: string): void {
		this.info = { ...this.info, remoteAddress: address.includes(":") ? `[${address}]:0` : `${address}:0` };
	}

	// ---- the request

	override readHead(decoder: HpackDecoder, bytes: Buffer, start: number, end: number, isEnd: boolean): Malformed | undefined {
		const { headLimits, config } = this.manager;
		const { request } = this.#http as HttpStream;
		requestFields.begin(request, decoder.id, headLimits.headBytesMax, headLimits.headersMax);
		decoder.decode(bytes, start, end, requestFields);
		const malformed = requestFields.finish(isEnd, config.http2.allowConnect);
		this.hasHead = true;
		if (malformed !== undefined) return malformed;
		if (config.underscoresInHeaders === "reject" && hasUnderscores(request)) return "http2.unexpected_underscore";
		this.expectedBytes = request.contentLength;
		this.#upgrade = requestFields.protocol;
		if (this.#upgrade !== "") this.#adoptUpgrade();
		else if (request.method === "CONNECT") this.#upgrade = "connect";
		return undefined;
	}

	/** RFC 8441 §5: what extended CONNECT asks for is what HTTP/1 asks for by GET and `upgrade`. */
	#adoptUpgrade(): void {
		const { request } = this.#http as HttpStream;
		request.method = "GET";
		request.isChunked = false;
		// Servers of HTTP/1 insist on a key; HTTP/2 has no use for one.
		if (this.#upgrade === "websocket" && !request.has("sec-websocket-key"))
			request.appendOwn("sec-websocket-key", randomBytes(websocketKeyBytes).toString("base64"));
	}

	override onHead(isEnd: boolean): void {
		const { manager } = this;
		this.#connection.countRequest();
		const http = this.#http as HttpStream;
		const isTunnel = this.#upgrade !== "";
		// Ordinary CONNECT has no end of its own either: what comes is the tunnel's.
		if (isTunnel) http.request.isChunked = false;
		http.arrive(this, isEnd || isTunnel, this.#upgrade);
		this.#isArriving = true;
		this.#connection.onArrival(this);
		manager.count(httpStat.downstream_rq_http2_total);
	}

	/** Begins the request, once: with its body, or when the read that it came by is over. */
	work(): void {
		if (!this.#isArriving) return;
		this.#isArriving = false;
		const http = this.#http as HttpStream;
		http.work();
		if (this.#upgrade !== "" && this.#http !== undefined && !http.isTunnel) this.#early = [];
	}

	override onMalformed(reason: Malformed): boolean {
		this.#isArriving = false;
		const { manager } = this;
		const http = this.#http;
		if (http === undefined || http.isResponseStarted) return false;
		if (http.info.startAt === 0) this.#beginMalformed(http);
		http.router.cancel();
		switch (reason) {
			case "http2.header_list_size_too_large":
			case "http2.too_many_headers":
				manager.count(httpStat.downstream_rq_too_large);
				sendLocalReply(http, { status: 431, body: "", flags: responseFlags.DPE, details: reason });
				return true;
			default:
				// Nobody is to be answered: the stream, or its connection, is reset.
				http.info.responseFlags |= reason === "http2.unexpected_underscore" ? responseFlags.DR : responseFlags.DPE;
				http.info.responseCodeDetails = reason;
				manager.count(httpStat.downstream_rq_rx_reset);
				http.finish();
				return false;
		}
	}

	#beginMalformed(http: HttpStream): void {
		this.#connection.countRequest();
		this.manager.count(httpStat.downstream_rq_http2_total);
		http.beginMalformed(this, true);
		http.info.protocol = "HTTP/2";
	}

	override onData(bytes: Buffer, start: number, end: number): void {
		this.work();
		const http = this.#http;
		if (http === undefined) return;
		if (this.#early === undefined) return http.onRequestBody(bytes, start, end);
		// Nothing is passed on before the upstream agrees; the window bounds what is kept.
		this.session.windows.pause(this, pauseReasons.waitingForHost);
		this.#early.push(Buffer.from(bytes.subarray(start, end)));
	}

	override onTrailers(trailers: readonly string[]): void {
		this.work();
		for (let i = 0; i < trailers.length; i += 2) this.#http?.onRequestTrailer(trailers[i] as string, trailers[i + 1] as string);
	}

	override onEnd(): void {
		this.work();
		const http = this.#http;
		if (http === undefined) return;
		if (this.#upgrade === "") http.onRequestEnd();
		else if (http.isTunnel) http.onTunnelEnd();
	}

	override onReset(code: number, cause: ResetCause): void {
		if (this.#isArriving && cause === "peer") this.#connection.onTakenBack();
		this.#isArriving = false;
		const http = this.#http;
		if (http === undefined) return;
		this.#http = undefined;
		if (http.info.startAt !== 0) {
			http.onDownstreamGone(flagOf(code, cause), detailsOf(http.info.responseCodeDetails, code, cause));
		}
		this.#connection.pool.give(http);
	}

	override onBlocked(): void {
		this.#http?.onDownstreamBlocked();
	}

	override onDrain(): void {
		this.#http?.onDownstreamDrain();
	}

	// ---- the response

	sendContinue(): void {
		if (this.#hasContinued || this.isGone) return;
		this.#hasContinued = true;
		const { session } = this;
		const at = session.sender.beginBlock(continueBlock.length + 16);
		const start = session.sender.encoder.beginBlock(session.outbound.bytes, at);
		session.sender.endBlock(this, start + continueBlock.copy(session.outbound.bytes, start), false);
	}

	sendInterim(head: ResponseHead): void {
		if (!this.isGone) this.#putHead(head, false);
	}

	/** Streams end without their connection. */
	closeAfter(): void {}

	sendHead(head: ResponseHead, hasBody: boolean): void {
		if (this.isGone) return;
		this.#connection.onResponse();
		// RFC 9110 §8.6.
		if (head.status === 204) head.removeKnown(known["content-length"]);
		this.#putHead(head, !hasBody);
	}

	#putHead(head: ResponseHead, isEnd: boolean): void {
		const { session } = this;
		const at = session.sender.beginBlock(responseBytesMax(head));
		session.sender.endBlock(this, encodeResponse(session.sender.encoder, session.outbound.bytes, at, head), isEnd);
	}

	sendBody(bytes: Buffer, start: number, end: number): void {
		this.session.sender.sendData(this, bytes, start, end);
	}

	sendEnd(trailers: readonly string[]): void {
		this.session.sender.sendEnd(this, trailers);
	}

	openTunnel(head: ResponseHead, _upgrade: string): void {
		const http = this.#http as HttpStream;
		// RFC 8441 §5: 200 is what 101 says here.
		if (head.status === 101) head.status = 200;
		this.#putHead(head, false);
		this.manager.count(httpStat.downstream_cx_upgrades_total);
		const early = this.#early ?? [];
		this.#early = undefined;
		for (const bytes of early) http.onRequestBody(bytes, 0, bytes.length);
		this.resume(pauseReasons.waitingForHost);
		if (this.isRemoteClosed) http.onTunnelEnd();
	}

	/** Envoy's code for what the proxy cannot complete. */
	reset(): void {
		this.#giveBack();
		this.session.streams.cancel(this, errorCode.internalError);
	}

	onStreamOver(): void {
		this.#giveBack();
		this.session.streams.dismiss(this);
	}

	#giveBack(): void {
		const http = this.#http;
		this.#http = undefined;
		if (http !== undefined) this.#connection.pool.give(http);
	}

	pause(reason: number): void {
		if (this.pauses === 0) this.manager.count(httpStat.downstream_flow_control_paused_reading_total);
		this.session.windows.pause(this, reason);
	}

	resume(reason: number): void {
		if (this.pauses === 0) return;
		this.session.windows.resume(this, reason);
		if (this.pauses === 0) this.manager.count(httpStat.downstream_flow_control_resumed_reading_total);
	}
}
