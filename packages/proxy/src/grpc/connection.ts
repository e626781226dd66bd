import { http2Defaults } from "../config/http2-defaults.ts";
import type { Http2Keepalive, Http2Options } from "../config/http2-options.ts";
import { KeepalivePings } from "../data/http2/keepalive-pings.ts";
import { Outbound } from "../data/http2/outbound.ts";
import { clientPreface, errorCode, type Http2ConnectionError } from "../data/http2/protocol.ts";
import { Http2Session, type SessionOwner } from "../data/http2/session.ts";
import { formatSocketAddress } from "../data/lb/host-entry.ts";
import type { Connection, ConnectionHandler } from "../data/transport/connection.ts";
import { type ExchangeCarrier, Http2Exchange, upstreamHeadersMax, upstreamListBytesMax } from "../data/upstream/http2-exchange.ts";
import type { UpstreamExchange } from "../data/upstream/exchange.ts";
import type { GrpcEnvironment } from "./environment.ts";

/** A server that vanished without a word is noticed within 45 s; Istio's agent uses the same. */
const keepalive: Http2Keepalive = { intervalMs: 30_000, timeoutMs: 10_000, jitterPercent: 0, idleIntervalMs: 0 };
const options: Http2Options = { ...http2Defaults, isStreamErrorOnInvalidMessage: true, keepalive };

/** One HTTP/2 connection to a gRPC server. It reads from now on. */
export class GrpcConnection implements ConnectionHandler, SessionOwner, ExchangeCarrier {
	readonly isServer = false;
	readonly listBytesMax: number = upstreamListBytesMax;
	readonly headersMax: number = upstreamHeadersMax;
	readonly streamWindow: number = options.streamWindow;
	readonly connection: Connection;
	readonly session: Http2Session;
	readonly nowMs: () => number;
	readonly abandonCode: number = errorCode.cancel;
	answered = 0;
	/** Takes no more calls. */
	#isLeaving = false;
	readonly #keepalive: KeepalivePings;
	#whenSettled: (() => void)[] = [];

	constructor(connection: Connection, environment: GrpcEnvironment) {
		this.connection = connection;
		this.nowMs = environment.nowMs;
		connection.handler = this;
		const outbound = new Outbound(connection, environment.outbounds);
		this.session = new Http2Session(this, options, outbound, environment.nowMs);
		outbound.reserve(clientPreface.length);
		outbound.length += clientPreface.copy(outbound.bytes, outbound.length);
		this.session.start();
		this.#keepalive = new KeepalivePings(keepalive, this.session, environment, () => this.connection.destroy(new Error("no answer to PING")));
		connection.resume();
	}

	get localAddress(): string {
		return formatSocketAddress({ kind: "ip", address: this.connection.localAddress, port: this.connection.localPort });
	}

	get hasRoom(): boolean {
		return !this.#isLeaving && !this.session.isFailed && this.session.streams.size < this.session.peer.maxConcurrentStreams;
	}

	/** Only with room. */
	open(): UpstreamExchange {
		return new Http2Exchange(this);
	}

	/** Takes no more calls, and closes when the last is over. */
	leave(): void {
		this.#isLeaving = true;
		if (this.session.streams.size === 0) this.#closeSoon();
	}

	readonly afterEvent = (): void => {};

	whenSettled(run: () => void): void {
		if (this.session.hasPeerSettings) run();
		else this.#whenSettled.push(run);
	}

	// ---- bytes

	onData(bytes: Buffer, start: number, end: number): void {
		this.session.feed(bytes, start, end);
	}

	onBlocked(): void {}

	onDrain(): void {
		this.session.onDrain();
	}

	// ---- of the session

	openStream(): undefined {
		return undefined;
	}

	onStreamOpened(): void {}
	onExchangeCut(): void {}

	onStreamClosed(): void {
		if (this.#isLeaving && this.session.streams.size === 0) this.#closeSoon();
	}

	onSettings(): void {
		for (const run of this.#whenSettled.splice(0)) run();
	}

	onGoaway(lastStreamId: number, code: number): void {
		this.#isLeaving = true;
		this.session.streams.dropAfter(lastStreamId, code);
		if (this.session.streams.size === 0) this.#closeSoon();
	}

	onPong(): void {
		this.#keepalive.onPong();
	}

	onFailed(error: Http2ConnectionError): void {
		this.#isLeaving = true;
		this.session.outbound.flush();
		this.session.close(error.code, "failure");
		this.#closeSoon();
	}

	count(): void {}

	// ---- ends

	/** The session may still be at work on what has just come, and a reset that was just written has to leave. */
	#closeSoon(): void {
		setImmediate(() => {
			if (this.connection.isClosed) return;
			this.session.goaway(0, errorCode.noError);
			this.session.outbound.flush();
			this.connection.destroy();
		});
	}

	onEnd(): void {
		this.connection.destroy();
	}

	onClose(): void {
		this.#isLeaving = true;
		this.#keepalive.stop();
		this.session.close(errorCode.cancel, "connection");
		this.session.outbound.discard();
		this.#whenSettled = [];
	}
}
