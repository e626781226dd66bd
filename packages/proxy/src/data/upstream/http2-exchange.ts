import { createHash } from "node:crypto";
import type { RequestHead } from "../codec/request-head.ts";
import { encodeRequest, requestBytesMax } from "../http2/head-encoder.ts";
import type { HpackDecoder } from "../http2/hpack-decoder.ts";
import { Http2Stream, type ResetCause } from "../http2/http2-stream.ts";
import { errorCode } from "../http2/protocol.ts";
import type { Malformed } from "../http2/request-fields.ts";
import { ResponseFields } from "../http2/response-fields.ts";
import type { Connection } from "../transport/connection.ts";
import type { ResetReason, UpstreamClient, UpstreamExchange } from "./exchange.ts";
import type { Http2Session } from "../http2/session.ts";

const responseFields = new ResponseFields();
const pausedByClient = 1;
/** An upstream that goes on saying "wait" is no better than one that says nothing. */
const interimsMax = 100;
/** RFC 6455 §4.2.2. */
const websocketGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** Of trailers and heads that hosts send. */
export const upstreamListBytesMax: number = 60 * 1024;
export const upstreamHeadersMax = 100;

/** The connection to a host that carries exchanges. */
export interface ExchangeCarrier {
	readonly session: Http2Session;
	readonly connection: Connection;
	/** `ip:port` of our end. */
	readonly localAddress: string;
	/** What we let the host send on one stream; bytes. */
	readonly streamWindow: number;
	/** What its streams are reset with when nobody waits for their answers. */
	readonly abandonCode: number;
	/** Exchanges that went well. */
	answered: number;
	readonly nowMs: () => number;
	/** Ends an entry from the event loop. */
	readonly afterEvent: () => void;
	/** Once the host's settings are known. */
	whenSettled(run: () => void): void;
	/** The exchange's head goes out. */
	onStreamOpened(): void;
	/** We reset its stream. */
	onExchangeCut(): void;
}

/** One request on a connection that it shares. Its stream begins with its head. */
export class Http2Exchange extends Http2Stream implements UpstreamExchange {
	readonly protocol = "HTTP/2";
	hasAnswered = false;
	readonly #upstream: ExchangeCarrier;
	readonly #isReused: boolean;
	#client: UpstreamClient | undefined;
	/** Asked for by extended CONNECT: 2xx is its 101. */
	#isUpgrade = false;
	#websocketKey: string | undefined;
	#interims = 0;

	constructor(upstream: ExchangeCarrier) {
		super(upstream.session, 0, upstream.session.peer.initialWindowSize, upstream.streamWindow, upstream.nowMs());
		this.#upstream = upstream;
		this.#isReused = upstream.answered > 0;
	}

	get connection(): Connection {
		return this.#upstream.connection;
	}
	get localAddress(): string {
		return this.#upstream.localAddress;
	}
	get isReused(): boolean {
		return this.#isReused;
	}

	// ---- the request

	begin(client: UpstreamClient): void {
		this.#client = client;
	}

	sendHead(head: RequestHead, upgrade: string, isEnd: boolean): void {
		this.#isUpgrade = upgrade !== "" && upgrade !== "connect";
		if (this.#isUpgrade) return this.#upstream.whenSettled(() => this.#sendUpgrade(head, upgrade));
		this.#putHead(head, upgrade, isEnd);
	}

	/** RFC 8441 §3: only to peers that have said they take it. */
	#sendUpgrade(head: RequestHead, upgrade: string): void {
		if (this.#client === undefined) return;
		if (!this.session.peer.enableConnectProtocol) {
			setImmediate(() => {
				this.#fail("protocolError", "upstream does not take extended CONNECT");
				this.#upstream.afterEvent();
			});
			return;
		}
		if (upgrade === "websocket") this.#websocketKey = head.get("sec-websocket-key");
		this.#putHead(head, upgrade, false);
	}

	#putHead(head: RequestHead, upgrade: string, isEnd: boolean): void {
		const { session } = this;
		if (!session.streams.openOwn(this)) {
			setImmediate(() => {
				this.#fail(session.isFailed ? "connectionTermination" : "unprocessed", "");
				this.#upstream.afterEvent();
			});
			return;
		}
		this.#upstream.onStreamOpened();
		const at = session.sender.beginBlock(requestBytesMax(head, upgrade));
		session.sender.endBlock(this, encodeRequest(session.sender.encoder, session.outbound.bytes, at, head, upgrade), isEnd);
	}

	sendBody(bytes: Buffer, start: number, end: number): void {
		this.session.sender.sendData(this, bytes, start, end);
	}

	sendEnd(trailers: readonly string[]): void {
		this.session.sender.sendEnd(this, trailers);
	}

	pause(): void {
		this.session.windows.pause(this, pausedByClient);
	}

	resume(): void {
		this.session.windows.resume(this, pausedByClient);
	}

	abandon(): void {
		this.#client = undefined;
		if (this.id === 0) this.isGone = true;
		else if (!this.isLocalClosed || !this.isRemoteClosed) this.#cut();
	}

	#cut(): void {
		if (this.isGone) return;
		this.#upstream.onExchangeCut();
		this.session.streams.cancel(this, this.#upstream.abandonCode);
	}

	// ---- the response

	override readHead(decoder: HpackDecoder, bytes: Buffer, start: number, end: number, isEnd: boolean): Malformed | undefined {
		const head = (this.#client as UpstreamClient).response;
		responseFields.begin(head, decoder.id, upstreamListBytesMax, upstreamHeadersMax);
		decoder.decode(bytes, start, end, responseFields);
		const malformed = responseFields.finish();
		if (malformed !== undefined) return malformed;
		this.hasAnswered = true;
		if (head.status < 200) return isEnd || ++this.#interims > interimsMax ? "http2.violation.of.messaging.rule" : undefined;
		this.hasHead = true;
		const hasNoContent = this.#client?.isHead === true || head.status === 204 || head.status === 304;
		if (isEnd && head.contentLength > 0 && !hasNoContent) return "http2.violation.of.messaging.rule";
		// RFC 9110 §6.4.1: whatever its length says.
		this.expectedBytes = hasNoContent ? 0 : head.contentLength;
		return undefined;
	}

	override onHead(isEnd: boolean): void {
		const client = this.#client as UpstreamClient;
		const head = client.response;
		if (this.#isUpgrade && head.status >= 200 && head.status < 300) this.#acceptUpgrade(client);
		const next = client.onResponseHead(!isEnd);
		if (isEnd && next !== "interim" && !this.isGone) this.onEnd();
	}

	/** Clients of HTTP/1 insist on the answer to their key (RFC 6455 §4.1). */
	#acceptUpgrade({ response }: UpstreamClient): void {
		response.status = 101;
		this.expectedBytes = -1;
		if (this.#websocketKey === undefined || response.has("sec-websocket-accept")) return;
		response.appendOwn(
			"sec-websocket-accept",
			createHash("sha1")
				.update(this.#websocketKey + websocketGuid)
				.digest("base64"),
		);
	}

	override onMalformed(): boolean {
		return false;
	}

	override onData(bytes: Buffer, start: number, end: number): void {
		this.#client?.onResponseBody(bytes, start, end);
	}

	override onTrailers(trailers: readonly string[]): void {
		for (let i = 0; i < trailers.length; i += 2) this.#client?.onResponseTrailer(trailers[i] as string, trailers[i + 1] as string);
	}

	override onEnd(): void {
		const client = this.#client;
		this.#client = undefined;
		this.#upstream.answered++;
		client?.onResponseEnd();
		// What is left of the request nobody waits for.
		if (!this.isLocalClosed) this.#cut();
	}

	override onReset(code: number, cause: ResetCause): void {
		this.#fail(resetReason(code, cause), "", code);
	}

	#fail(reason: ResetReason, detail: string, code: number = errorCode.noError): void {
		const client = this.#client;
		this.#client = undefined;
		client?.onUpstreamReset(reason, detail, code);
	}

	override onBlocked(): void {
		this.#client?.onUpstreamBlocked();
	}

	override onDrain(): void {
		this.#client?.onUpstreamDrain();
	}
}

function resetReason(code: number, cause: ResetCause): ResetReason {
	switch (cause) {
		case "peer":
			if (code === errorCode.protocolError) return "protocolError";
			return code === errorCode.refusedStream ? "remoteRefused" : "remoteReset";
		// As Envoy takes it: the host has not given a usable answer.
		case "limit":
			return "remoteReset";
		case "goaway":
			return "unprocessed";
		case "connection":
			return "connectionTermination";
		default:
			return "protocolError";
	}
}
