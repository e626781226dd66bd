import type { Http2Stream } from "../http2/http2-stream.ts";
import { prematureResetDefaults, type PrematureResetLimits, PrematureResetsError } from "../http2/flood-guard.ts";
import { http2Gauge, http2Stat } from "../http2/http2-stats.ts";
import { KeepalivePings } from "../http2/keepalive-pings.ts";
import { Outbound } from "../http2/outbound.ts";
import { clientPreface, errorCode, Http2ConnectionError, streamIdMax } from "../http2/protocol.ts";
import { Http2Session, type SessionOwner } from "../http2/session.ts";
import { formatXfcc } from "../headers/xfcc.ts";
import type { ConnectionInfo } from "../log/stream-info.ts";
import type { Connection, ConnectionHandler } from "../transport/connection.ts";
import { Timer } from "../transport/timers.ts";
import type { WorkerContext } from "../worker/context.ts";
import { drainsNow, isKeepaliveDisabled } from "./close-decision.ts";
import type { CompiledManager } from "./connection-manager.ts";
import { httpGauge, httpStat } from "./http-stats.ts";
import { Http2ServerStream } from "./http2-server-stream.ts";
import type { StreamPool } from "./stream-pool.ts";

/** Nobody opens so many streams and takes them back at once, but to keep us busy (CVE-2023-44487): the others come first for a while. */
const takenBackMax = 32;
const restMs = 250;

/**
 * One HTTP/2 client connection under a connection manager.
 *
 *   open ── drain ──▶ warned (GOAWAY of all ids) ── drain timeout ──▶ going away (GOAWAY of the last id) ── no stream left ──▶ closing
 *     └─── idle, or the process ends ────────────────────────────────────────┘
 */
export class Http2ServerConnection implements ConnectionHandler, SessionOwner {
	readonly isServer = true;
	readonly connection: Connection;
	readonly manager: CompiledManager;
	readonly info: ConnectionInfo;
	readonly pool: StreamPool;
	readonly session: Http2Session;
	readonly listBytesMax: number;
	readonly headersMax: number;
	readonly #context: WorkerContext;
	readonly #onClosed: () => void;
	readonly #openedAt: number;
	/** Runs out while the connection is idle, drains or closes. */
	readonly #timer: Timer;
	readonly #headTimer: Timer;
	readonly #ageTimer: Timer;
	/** Only kept where there is an overload manager. */
	#idleSince = 0;
	readonly #keepalive: KeepalivePings | undefined;
	/** Requests whose heads came by the present read. */
	readonly #arrivals: Http2ServerStream[] = [];
	/** And how many of them the client took back by the same read. */
	#takenBack = 0;
	/** Of a client that is not read for a while. */
	#restTimer: Timer | undefined;
	#ownCertificate: string | undefined;
	#prefaceAt = 0;
	#requests = 0;
	#isWarned = false;
	#isClosing = false;

	constructor(connection: Connection, info: ConnectionInfo, manager: CompiledManager, pool: StreamPool, onClosed: () => void) {
		const { context, config, headLimits } = manager;
		this.connection = connection;
		connection.expectLargeReads();
		this.info = info;
		this.manager = manager;
		this.pool = pool;
		this.listBytesMax = headLimits.headBytesMax;
		this.headersMax = headLimits.headersMax;
		this.#context = context;
		this.#onClosed = onClosed;
		this.#openedAt = context.nowMs();
		this.session = new Http2Session(this, config.http2, new Outbound(connection, context.outbounds), context.nowMs);
		this.#timer = new Timer(context.wheel, () => this.#onTimer());
		this.#headTimer = new Timer(context.wheel, () => this.#onSlowHead());
		this.#ageTimer = new Timer(context.wheel, () => {
			manager.count(httpStat.downstream_cx_max_duration_reached);
			this.#warn();
		});
		this.#keepalive = config.http2.keepalive && new KeepalivePings(config.http2.keepalive, this.session, context, () => this.#onDeadPeer());
		this.#countConnection(1);
		connection.handler = this;
		this.session.start();
		this.#armIdle();
		if (config.maxConnectionDurationMs > 0) this.#ageTimer.arm(config.maxConnectionDurationMs);
	}

	#countConnection(by: number): void {
		const { manager, connection } = this;
		if (by > 0) {
			manager.count(httpStat.downstream_cx_total);
			manager.count(httpStat.downstream_cx_http2_total);
			if (connection.isTls) manager.count(httpStat.downstream_cx_ssl_total);
		}
		manager.gauge(httpGauge.downstream_cx_active, by);
		manager.gauge(httpGauge.downstream_cx_http2_active, by);
		if (connection.isTls) manager.gauge(httpGauge.downstream_cx_ssl_active, by);
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
		return this.session.streams.size === 0 && !this.session.isInFrame;
	}

	// ---- bytes

	onData(bytes: Buffer, start: number, end: number): void {
		if (this.#isClosing) return;
		this.manager.count(httpStat.downstream_cx_rx_bytes_total, end - start);
		const at = this.#prefaceAt < clientPreface.length ? this.#readPreface(bytes, start, end) : start;
		if (at < end) this.session.feed(bytes, at, end);
		this.#workOnArrivals();
		if (!this.session.isInFrame) this.#headTimer.cancel();
		else if (!this.#headTimer.isArmed) this.#awaitHead();
	}

	/** It begins when all that came by this read was looked at: a client that opens streams only to reset them reaches no upstream (CVE-2023-44487). */
	onArrival(stream: Http2ServerStream): void {
		this.#arrivals.push(stream);
	}

	onTakenBack(): void {
		this.#takenBack++;
	}

	#workOnArrivals(): void {
		const arrivals = this.#arrivals;
		for (let i = 0; i < arrivals.length; i++) (arrivals[i] as Http2ServerStream).work();
		arrivals.length = 0;
		if (this.#takenBack > takenBackMax && !this.#isClosing) this.#rest();
		this.#takenBack = 0;
	}

	#rest(): void {
		this.manager.count(httpStat.downstream_flow_control_paused_reading_total);
		this.connection.pause();
		this.#restTimer ??= new Timer(this.#context.wheel, () => {
			this.manager.count(httpStat.downstream_flow_control_resumed_reading_total);
			this.connection.resume();
		});
		this.#restTimer.arm(restMs);
	}

	/** RFC 9113 §3.4. */
	#readPreface(bytes: Buffer, start: number, end: number): number {
		let at = start;
		for (; at < end && this.#prefaceAt < clientPreface.length; at++, this.#prefaceAt++) {
			if (bytes[at] === clientPreface[this.#prefaceAt]) continue;
			this.session.fail(new Http2ConnectionError(errorCode.protocolError, "invalid connection preface (RFC 9113 3.4)"));
			return end;
		}
		return at;
	}

	/** A block that is sent bit by bit holds memory and no stream whose timeout could run. */
	#awaitHead(): void {
		const { requestHeadersTimeoutMs, streamIdleTimeoutMs } = this.manager.config;
		const timeoutMs = Math.min(requestHeadersTimeoutMs || Number.POSITIVE_INFINITY, streamIdleTimeoutMs || Number.POSITIVE_INFINITY);
		if (timeoutMs < Number.POSITIVE_INFINITY) this.#headTimer.arm(timeoutMs);
	}

	#onSlowHead(): void {
		if (!this.session.isInFrame || this.#isClosing) return;
		this.manager.count(httpStat.downstream_rq_header_timeout);
		this.session.fail(new Http2ConnectionError(errorCode.enhanceYourCalm, "request header timeout"));
	}

	onBlocked(): void {}

	onDrain(): void {
		this.session.onDrain();
	}

	// ---- streams

	openStream(id: number): Http2Stream {
		// From the warning on it runs until the end.
		if (!this.#isWarned) this.#timer.cancel();
		this.manager.gaugeHttp2(http2Gauge.streams_active, 1);
		return new Http2ServerStream(this, id);
	}

	/** A request that can be counted has come. */
	countRequest(): void {
		this.#requests++;
		this.manager.count(httpStat.downstream_rq_total);
		this.manager.gauge(httpGauge.downstream_rq_active, 1);
		this.#keepalive?.onRequest();
	}

	/** As the runtime has them. */
	get resetLimits(): PrematureResetLimits {
		const { runtime } = this.#context;
		const { lifetimeMs, streams } = prematureResetDefaults;
		if (runtime.isEmpty) return prematureResetDefaults;
		return {
			streams: runtime.integer("overload.premature_reset_total_stream_count", streams),
			lifetimeMs: runtime.integer("overload.premature_reset_min_stream_lifetime_seconds", lifetimeMs / 1000) * 1000,
		};
	}

	onStreamClosed(): void {
		this.manager.gaugeHttp2(http2Gauge.streams_active, -1);
		if (this.session.streams.size > 0 || this.#isClosing) return;
		if (this.session.isGoingAway) this.#closeGently();
		else if (!this.#isWarned) this.#armIdle();
	}

	/** A response begins: whether this is to be one of the connection's last is decided now. */
	onResponse(): void {
		if (this.#isWarned) return;
		const { manager } = this;
		const { maxRequestsPerConnection } = manager.config;
		if (maxRequestsPerConnection > 0 && this.#requests >= maxRequestsPerConnection) {
			manager.count(httpStat.downstream_cx_max_requests_reached);
			return this.#warn();
		}
		if (isKeepaliveDisabled(manager)) {
			manager.count(httpStat.downstream_cx_overload_disable_keepalive);
			return this.#warn();
		}
		if (!drainsNow(manager)) return;
		manager.count(httpStat.downstream_cx_drain_close);
		this.#warn();
	}

	onSettings(): void {}

	/** It is about streams that we would open: the client may still open others (RFC 9113 §6.8), and closes by itself. */
	onGoaway(): void {}

	onPong(): void {
		this.#keepalive?.onPong();
	}

	count(stat: number): void {
		this.manager.countHttp2(stat);
	}

	// ---- ends

	#armIdle(): void {
		const { idleTimeoutMs } = this.manager.config;
		const { overload } = this.#context;
		if (overload === undefined) return this.#timer.arm(idleTimeoutMs);
		this.#idleSince = this.#context.nowMs();
		this.#timer.arm(this.manager.bypassesOverload ? idleTimeoutMs : overload.scale("connectionIdle", idleTimeoutMs));
	}

	/** Timeouts may have become shorter, or longer again. */
	onOverload(): void {
		const { overload } = this.#context;
		const { config, bypassesOverload } = this.manager;
		if (overload === undefined || bypassesOverload) return;
		for (const stream of this.session.streams.list()) (stream as Http2ServerStream).onOverload();
		if (this.session.streams.size > 0 || this.#isClosing || this.#isWarned || config.idleTimeoutMs === 0) return;
		this.#timer.arm(Math.max(1, this.#idleSince + overload.scale("connectionIdle", config.idleTimeoutMs) - this.#context.nowMs()));
	}

	#onTimer(): void {
		if (this.#isClosing) {
			this.manager.count(httpStat.downstream_cx_delayed_close_timeout);
			this.connection.destroy();
		} else if (this.#isWarned) this.#goAway();
		else {
			this.manager.count(httpStat.downstream_cx_idle_timeout);
			this.#warn();
		}
	}

	/** First of the two steps: the client is told to stop, and what is on its way is still taken (RFC 9113 §6.8). */
	#warn(): void {
		if (this.#isWarned || this.#isClosing) return;
		this.#isWarned = true;
		this.session.goaway(streamIdMax, errorCode.noError);
		this.#timer.arm(Math.max(this.manager.config.drainTimeoutMs, 1));
	}

	/** The second: what comes now is not looked at any more. */
	#goAway(): void {
		if (this.session.isGoingAway && this.#isClosing) return;
		this.#isWarned = true;
		this.session.isGoingAway = true;
		this.session.goaway(this.session.streams.lastId, errorCode.noError);
		if (this.session.streams.size === 0) this.#closeGently();
	}

	/** The listener, or the process, goes away. */
	drain(isEnding: boolean): void {
		if (isEnding && this.isIdle) this.#goAway();
		else this.#warn();
	}

	askToReconnect(): void {
		this.#warn();
	}

	onFailed(error: Http2ConnectionError): void {
		const { manager } = this;
		if (error instanceof PrematureResetsError) manager.count(httpStat.downstream_rq_too_many_premature_resets);
		else if (error.code !== errorCode.noError) manager.count(httpStat.downstream_cx_protocol_error);
		this.#countActive(httpStat.downstream_cx_destroy_local_active_rq);
		this.#context.log("http2", "debug", "HTTP/2 connection closed", { client: this.info.directRemoteAddress, reason: error.message, code: error.code });
		this.#closeGently();
		this.session.close(error.code, "failure");
	}

	/** `stat`: whose doing it is that requests lose their connection. */
	#countActive(stat: number): void {
		if (this.session.streams.size === 0) return;
		this.manager.count(httpStat.downstream_cx_destroy_active_rq);
		this.manager.count(stat);
	}

	#onDeadPeer(): void {
		this.count(http2Stat.keepalive_timeout);
		this.session.fail(new Http2ConnectionError(errorCode.noError, "no answer to PING"));
		this.connection.destroy();
	}

	/** Sends all, and gives the client a moment to read before the connection goes. */
	#closeGently(): void {
		if (this.#isClosing) return;
		this.#isClosing = true;
		const { outbound } = this.session;
		outbound.flush();
		// Of a client that reads nothing, there is nothing to wait for.
		if (outbound.isBlocked) return this.connection.destroy();
		this.connection.end();
		const { delayedCloseTimeoutMs } = this.manager.config;
		this.#timer.arm(delayedCloseTimeoutMs > 0 ? delayedCloseTimeoutMs : 1);
	}

	onEnd(): void {
		this.connection.destroy();
	}

	onClose(error: Error | undefined): void {
		const { manager } = this;
		this.#isClosing = true;
		this.#timer.disarm();
		this.#headTimer.disarm();
		this.#ageTimer.disarm();
		this.#restTimer?.disarm();
		this.#keepalive?.stop();
		manager.count(httpStat.downstream_cx_destroy);
		manager.count(error === undefined ? httpStat.downstream_cx_destroy_remote : httpStat.downstream_cx_destroy_local);
		this.#countActive(httpStat.downstream_cx_destroy_remote_active_rq);
		this.session.close(errorCode.cancel, "connection");
		this.session.outbound.discard();
		this.#countConnection(-1);
		manager.connectionMs.record(this.#context.nowMs() - this.#openedAt);
		this.#onClosed();
	}
}
