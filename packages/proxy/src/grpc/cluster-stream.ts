import type { GrpcService } from "../config/grpc-service.ts";
import { beginRequest, createChooseContext, endRequest, type HostEntry } from "../data/lb/host-entry.ts";
import { clusterGauge, clusterStat } from "../data/upstream/cluster-stats.ts";
import type { ClusterRuntime } from "../data/upstream/cluster-runtime.ts";
import type { HttpPool, PoolClient, UpstreamExchange } from "../data/upstream/exchange.ts";
import { GrpcCall } from "./call.ts";
import { grpcCode, grpcStatus, type GrpcStatus } from "./status.ts";

export interface ClusterStreamEvents {
	/** One whole message, in memory of its own. */
	onMessage(message: Buffer): void;
	/** Once, the last call; never before the constructor has returned, and not after `cancel`. */
	onEnd(status: GrpcStatus): void;
	/** What was sent has left, after `send` said false. */
	onDrain?(): void;
}

const messageBytesMax = 4 * 1024 * 1024;

/**
 * A call of a gRPC method in a cluster, any number of messages each way, over the worker's own pools: hosts are chosen,
 * limits kept and statistics counted as for a request. `timeoutMs` 0 of the service: the call lasts.
 */
export class ClusterStream implements PoolClient {
	readonly #cluster: ClusterRuntime;
	readonly #call: GrpcCall;
	readonly #events: ClusterStreamEvents;
	#isStarting = true;
	#host: HostEntry | undefined;
	#pool: HttpPool | undefined;

	/** `first`: a message that is all there is to send; undefined: messages are sent by `send`. */
	constructor(cluster: ClusterRuntime, service: GrpcService, path: string, first: Uint8Array | undefined, events: ClusterStreamEvents) {
		this.#cluster = cluster;
		this.#events = events;
		const { authority, timeoutMs } = service;
		// What Envoy's own requests say of themselves.
		const own =
			timeoutMs > 0
				? [["x-envoy-internal", "true"] as const, ["x-envoy-expected-rq-timeout-ms", String(timeoutMs)] as const]
				: [["x-envoy-internal", "true"] as const];
		const metadata = [...service.metadata, ...own];
		const callEvents = {
			onMessage: (message: Buffer) => events.onMessage(message),
			onEnd: (status: GrpcStatus) => this.#end(status),
			onDrain: () => events.onDrain?.(),
		};
		this.#call = new GrpcCall({ path, authority, scheme: "http", metadata, messageBytesMax, timeoutMs }, callEvents, cluster.context.wheel);
		if (first !== undefined) {
			this.#call.send(first);
			this.#call.endSending();
		}
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
		if (this.#host !== undefined) this.#host.counts.rq_total++;
		this.#call.start(exchange);
	}

	onPoolFailure(failure: string, transportFailure: string): void {
		this.#pool = undefined;
		this.#fail(transportFailure || failure);
	}

	/** False: it waits for a connection, or in it; a caller who can should wait too, until `onDrain`. */
	send(message: Uint8Array): boolean {
		return this.#call.send(message);
	}

	/** No more messages. */
	endSending(): void {
		this.#call.endSending();
	}

	/** Ends it, with this status. */
	abort(status: GrpcStatus): void {
		this.#call.fail(status);
	}

	/** The caller wants no more of it and hears no more. */
	cancel(): void {
		this.#call.cancel();
		this.#release();
	}

	/** Whoever asks must have its call before it hears of its end. */
	#fail(message: string): void {
		const status = grpcStatus(grpcCode.unavailable, message);
		if (!this.#isStarting) return this.#call.fail(status);
		setImmediate(() => {
			this.#call.fail(status);
			this.#cluster.context.afterEvent();
		});
	}

	#end(status: GrpcStatus): void {
		const cluster = this.#cluster;
		if (this.#call.hasAnswer) cluster.responseCodes.increment(this.#call.response.status);
		if (status.code === grpcCode.deadlineExceeded && !this.#call.hasAnswer) cluster.count(clusterStat.upstream_rq_timeout);
		this.#release();
		this.#events.onEnd(status);
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
