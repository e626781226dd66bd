import { http2Gauge, http2Stat } from "../http2/http2-stats.ts";
import { KeepalivePings } from "../http2/keepalive-pings.ts";
import { Outbound } from "../http2/outbound.ts";
import { clientPreface, errorCode, Http2ConnectionError } from "../http2/protocol.ts";
import { Http2Session, type SessionOwner } from "../http2/session.ts";
import { formatSocketAddress } from "../lb/host-entry.ts";
import type { Connection, ConnectionHandler } from "../transport/connection.ts";
import { Timer } from "../transport/timers.ts";
import { clusterStat } from "./cluster-stats.ts";
import { type ExchangeCarrier, Http2Exchange, upstreamHeadersMax, upstreamListBytesMax } from "./http2-exchange.ts";
import type { Http2Pool } from "./http2-pool.ts";

/** One HTTP/2 connection to a host, which carries many exchanges. */
export class Http2Upstream implements ConnectionHandler, SessionOwner, ExchangeCarrier {
	readonly isServer = false;
	readonly listBytesMax: number = upstreamListBytesMax;
	readonly headersMax: number = upstreamHeadersMax;
	readonly pool: Http2Pool;
	readonly connection: Connection;
	readonly openedAt: number;
	readonly session: Http2Session;
	/** Exchanges begun. */
	requests = 0;
	/** Envoy's. */
	readonly abandonCode: number = errorCode.internalError;
	answered = 0;
	/** We end it, not the host. */
	isOurEnd = false;
	readonly streamWindow: number;
	readonly nowMs: () => number;
	readonly afterEvent: () => void;
	readonly #idleTimer: Timer;
	readonly #ageTimer: Timer;
	readonly #keepalive: KeepalivePings | undefined;
	/** No new streams: GOAWAY, age, or too many. */
	#isLeaving = false;
	#localAddress: string | undefined;
	#onSettled: (() => void)[] = [];

	constructor(pool: Http2Pool, connection: Connection) {
		this.pool = pool;
		this.connection = connection;
		this.openedAt = pool.cluster.context.nowMs();
		connection.handler = this;
		connection.expectLargeReads();
		const { config, context } = pool.cluster;
		pool.cluster.openHttp2Stats();
		this.streamWindow = config.http2.streamWindow;
		this.nowMs = context.nowMs;
		this.afterEvent = context.afterEvent;
		const outbound = new Outbound(connection, context.outbounds);
		this.session = new Http2Session(this, config.http2, outbound, context.nowMs);
		outbound.reserve(clientPreface.length);
		outbound.length += clientPreface.copy(outbound.bytes, outbound.length);
		this.session.start();
		this.#idleTimer = new Timer(context.wheel, () => {
			pool.cluster.count(clusterStat.upstream_cx_idle_timeout);
			this.#leave();
		});
		this.#ageTimer = new Timer(context.wheel, () => {
			pool.cluster.count(clusterStat.upstream_cx_max_duration_reached);
			this.#leave();
		});
		this.#ageTimer.arm(config.maxConnectionDurationMs);
		this.#idleTimer.arm(config.idleTimeoutMs);
		this.#keepalive = config.http2.keepalive && new KeepalivePings(config.http2.keepalive, this.session, context, () => this.#onDeadPeer());
	}

	get localAddress(): string {
		return (this.#localAddress ??= formatSocketAddress({ kind: "ip", address: this.connection.localAddress, port: this.connection.localPort }));
	}

	get hasRoom(): boolean {
		if (this.#isLeaving || this.session.isFailed) return false;
		const { peer, streams } = this.session;
		return streams.size < Math.min(peer.maxConcurrentStreams, this.pool.cluster.config.http2.maxConcurrentStreams);
	}

	/** Only with room. */
	open(): Http2Exchange {
		this.#idleTimer.cancel();
		this.requests++;
		this.#keepalive?.onRequest();
		const exchange = new Http2Exchange(this);
		const { maxRequestsPerConnection } = this.pool.cluster.config;
		if (maxRequestsPerConnection > 0 && this.requests >= maxRequestsPerConnection) {
			this.pool.cluster.count(clusterStat.upstream_cx_max_requests);
			this.#isLeaving = true;
		}
		return exchange;
	}

	whenSettled(run: () => void): void {
		if (this.session.hasPeerSettings) run();
		else this.#onSettled.push(run);
	}

	// ---- bytes

	onData(bytes: Buffer, start: number, end: number): void {
		this.pool.cluster.count(clusterStat.upstream_cx_rx_bytes_total, end - start);
		this.session.feed(bytes, start, end);
	}

	/** Its streams tell, each for itself. */
	onBlocked(): void {}

	onDrain(): void {
		this.session.onDrain();
	}

	// ---- of the session

	openStream(): undefined {
		return undefined;
	}

	onStreamOpened(): void {
		this.pool.cluster.gaugeHttp2(http2Gauge.streams_active, 1);
	}

	onExchangeCut(): void {
		this.pool.cluster.count(clusterStat.upstream_rq_tx_reset);
	}

	onStreamClosed(): void {
		this.pool.cluster.gaugeHttp2(http2Gauge.streams_active, -1);
		if (this.session.isFailed) return;
		const { streams } = this.session;
		if (streams.size === 0) {
			if (this.#isLeaving || this.pool.isUnwanted) return this.#closeSoon();
			this.#idleTimer.arm(this.pool.cluster.config.idleTimeoutMs);
		}
		if (this.hasRoom) this.pool.offer(this);
	}

	onSettings(): void {
		for (const run of this.#onSettled.splice(0)) run();
		if (this.hasRoom) this.pool.offer(this);
	}

	onGoaway(lastStreamId: number, code: number): void {
		const { cluster } = this.pool;
		cluster.count(clusterStat.upstream_cx_close_notify);
		this.#isLeaving = true;
		this.pool.left(this);
		this.session.streams.dropAfter(lastStreamId, code);
		if (this.session.streams.size === 0) this.#closeSoon();
	}

	onPong(): void {
		this.#keepalive?.onPong();
	}

	onFailed(error: Http2ConnectionError): void {
		this.pool.cluster.count(clusterStat.upstream_cx_protocol_error);
		this.session.outbound.flush();
		this.session.close(error.code, "failure");
		this.#closeSoon();
	}

	count(stat: number): void {
		this.pool.cluster.countHttp2(stat);
	}

	// ---- ends

	#onDeadPeer(): void {
		this.count(http2Stat.keepalive_timeout);
		this.isOurEnd = true;
		this.connection.destroy(new Error("no answer to PING"));
	}

	/** Takes no more streams, and closes when the last is over. */
	#leave(): void {
		this.#isLeaving = true;
		this.pool.left(this);
		if (this.session.streams.size === 0) this.#close();
	}

	drain(): void {
		this.#leave();
	}

	/** The session is still at work on what has just come. */
	#closeSoon(): void {
		this.#isLeaving = true;
		setImmediate(() => {
			if (this.session.streams.size > 0 && !this.session.isFailed) return;
			this.#close();
			this.pool.cluster.context.afterEvent();
		});
	}

	#close(): void {
		if (this.connection.isClosed) return;
		this.session.goaway(0, errorCode.noError);
		this.session.outbound.flush();
		this.isOurEnd = true;
		this.connection.destroy();
	}

	onEnd(): void {
		this.connection.destroy();
	}

	onClose(): void {
		this.#idleTimer.disarm();
		this.#ageTimer.disarm();
		this.#keepalive?.stop();
		this.#isLeaving = true;
		const isActive = this.session.streams.size > 0;
		this.session.close(errorCode.cancel, "connection");
		this.session.outbound.discard();
		this.#onSettled = [];
		this.pool.closed(this, isActive);
	}
}
