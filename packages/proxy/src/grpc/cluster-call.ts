import type { GrpcService } from "../config/http-filters.ts";
import { beginRequest, createChooseContext, endRequest, type HostEntry } from "../data/lb/host-entry.ts";
import { clusterGauge, clusterStat } from "../data/upstream/cluster-stats.ts";
import type { ClusterRuntime } from "../data/upstream/cluster-runtime.ts";
import type { HttpPool, PoolClient, UpstreamExchange } from "../data/upstream/exchange.ts";
import { GrpcCall, type GrpcCallEvents } from "./call.ts";
import { grpcCode, grpcStatus, type GrpcStatus } from "./status.ts";

/** `message`: of a call that ended well. */
export type UnaryResult = { readonly status: GrpcStatus; readonly message: Buffer | undefined };

const messageBytesMax = 4 * 1024 * 1024;

/**
 * A unary call of a service in a cluster, over the worker's own pools: hosts are chosen, limits kept and statistics counted
 * as for a request. `onResult` runs once, never before the constructor has returned, and not after `cancel`.
 */
export class ClusterCall implements PoolClient, GrpcCallEvents {
	readonly #cluster: ClusterRuntime;
	readonly #call: GrpcCall;
	#onResult: ((result: UnaryResult) => void) | undefined;
	#isStarting = true;
	#early: GrpcStatus | undefined;
	#message: Buffer | undefined;
	#host: HostEntry | undefined;
	#pool: HttpPool | undefined;

	constructor(cluster: ClusterRuntime, service: GrpcService, path: string, request: Uint8Array, onResult: (result: UnaryResult) => void) {
		this.#cluster = cluster;
		this.#onResult = onResult;
		const { authority, timeoutMs } = service;
		// What Envoy's own requests say of themselves.
		const metadata = [...service.metadata, ["x-envoy-internal", "true"], ["x-envoy-expected-rq-timeout-ms", String(timeoutMs)]] as const;
		this.#call = new GrpcCall({ path, authority, scheme: "http", metadata, messageBytesMax, timeoutMs }, this, cluster.context.wheel);
		this.#call.send(request);
		this.#call.endSending();
		this.#connect();
		this.#isStarting = false;
	}

	#connect(): void {
		const cluster = this.#cluster;
		const host = cluster.hosts.choose(createChooseContext());
		if (host === undefined) {
			cluster.count(clusterStat.upstream_cx_none_healthy);
			cluster.responseCodes.increment(503);
			return this.#fail("no healthy upstream");
		}
		if (!cluster.tryHold("requests", "default")) {
			cluster.count(clusterStat.upstream_rq_pending_overflow);
			return this.#fail("overflow");
		}
		this.#host = host;
		cluster.count(clusterStat.upstream_rq_total);
		cluster.gauge(clusterGauge.upstream_rq_active, 1);
		beginRequest(host);
		this.#pool = cluster.poolFor(host, this.#call.head, undefined, "default");
		const exchange = this.#pool.acquire(this);
		if (exchange !== undefined) this.onPoolReady(exchange);
	}

	onPoolReady(exchange: UpstreamExchange): void {
		this.#pool = undefined;
		this.#call.start(exchange);
	}

	onPoolFailure(failure: string, transportFailure: string): void {
		this.#pool = undefined;
		this.#fail(transportFailure || failure);
	}

	/** Whoever asks must have its call before it hears of its end. */
	#fail(message: string): void {
		const status = grpcStatus(grpcCode.unavailable, message);
		if (!this.#isStarting) return this.#call.fail(status);
		this.#early = status;
		setImmediate(() => {
			this.#call.fail(this.#early as GrpcStatus);
			this.#cluster.context.afterEvent();
		});
	}

	onMessage(message: Buffer): void {
		if (this.#message === undefined) this.#message = message;
		else this.#call.fail(grpcStatus(grpcCode.internal, "the server answered with more than one message"));
	}

	onEnd(status: GrpcStatus): void {
		const cluster = this.#cluster;
		if (this.#call.hasAnswer) cluster.responseCodes.increment(this.#call.response.status);
		if (status.code === grpcCode.deadlineExceeded && !this.#call.hasAnswer) cluster.count(clusterStat.upstream_rq_timeout);
		const onResult = this.#onResult;
		this.#onResult = undefined;
		this.#release();
		if (status.code === grpcCode.ok && this.#message === undefined)
			onResult?.({ status: grpcStatus(grpcCode.internal, "the server answered without a message"), message: undefined });
		else onResult?.({ status, message: status.code === grpcCode.ok ? this.#message : undefined });
	}

	cancel(): void {
		this.#onResult = undefined;
		this.#call.cancel();
		this.#release();
	}

	#release(): void {
		this.#pool?.cancel(this);
		this.#pool = undefined;
		if (this.#host === undefined) return;
		this.#cluster.letGo("requests", "default");
		this.#cluster.gauge(clusterGauge.upstream_rq_active, -1);
		endRequest(this.#host);
		this.#host = undefined;
	}
}
