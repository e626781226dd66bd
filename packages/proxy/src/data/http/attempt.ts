import type { ConnectionInfo, StreamInfo } from "../log/stream-info.ts";
import { beginRequest, type ChooseContext, endRequest, type HostEntry } from "../lb/host-entry.ts";
import type { RequestHead } from "../codec/request-head.ts";
import type { UpstreamAlpn } from "../upstream/transport-chooser.ts";
import { clusterGauge, clusterStat } from "../upstream/cluster-stats.ts";
import type { ClusterRuntime } from "../upstream/cluster-runtime.ts";
import type { HttpPool, PoolClient, UpstreamExchange } from "../upstream/exchange.ts";

/** What one attempt of a stream holds: a host, a place under the cluster's limits, a place in the pool's queue or an exchange. */
export class Attempt {
	cluster: ClusterRuntime | undefined;
	host: HostEntry | undefined;
	upstream: UpstreamExchange | undefined;
	priority: "default" | "high" = "default";
	/** When the request's head was sent. */
	startedAt = 0;
	/** When it began; only kept where its cluster tracks that. */
	begunAt = 0;
	/** Whether a response began; the same. */
	hasAnswered = false;
	#pool: HttpPool | undefined;
	#holdsRequest = false;

	/** A host for it, or why there is none. */
	begin(cluster: ClusterRuntime, priority: "default" | "high", context: ChooseContext): HostEntry | "noHost" | "overflow" {
		const host = cluster.hosts.choose(context);
		if (host === undefined) {
			cluster.count(clusterStat.upstream_cx_none_healthy);
			return "noHost";
		}
		if (!cluster.tryHold("requests", priority)) {
			cluster.count(clusterStat.upstream_rq_active_overflow);
			return "overflow";
		}
		this.#holdsRequest = true;
		this.cluster = cluster;
		this.host = host;
		this.priority = priority;
		cluster.gauge(clusterGauge.upstream_rq_active, 1);
		beginRequest(host);
		return host;
	}

	/** Asks for a connection; the client hears of it, at once or later. */
	connect(client: PoolClient, request: RequestHead, alpn: UpstreamAlpn | undefined, info: StreamInfo): void {
		this.#wait(client, (this.cluster as ClusterRuntime).poolFor(this.host as HostEntry, request, alpn, this.priority, info));
	}

	/** As `connect`, for what comes inside a CONNECT request. */
	connectTcp(client: PoolClient, downstream: ConnectionInfo): void {
		this.#wait(client, (this.cluster as ClusterRuntime).tcpPoolFor(this.host as HostEntry, this.priority, downstream));
	}

	#wait(client: PoolClient, pool: HttpPool): void {
		this.#pool = pool;
		const upstream = pool.acquire(client);
		if (upstream !== undefined) client.onPoolReady(upstream);
	}

	/** The pool has answered: it is not to be told to forget the client. */
	leavePool(): void {
		this.#pool = undefined;
	}

	/** Gives up what is under way; `release` gives back the rest. */
	abandon(client: PoolClient): void {
		const { upstream } = this;
		this.upstream = undefined;
		this.#pool?.cancel(client);
		this.#pool = undefined;
		if (upstream === undefined) return;
		upstream.abandon();
	}

	/** Between `begin` and `release`. */
	get isUnderWay(): boolean {
		return this.#holdsRequest;
	}

	release(): void {
		if (!this.#holdsRequest) return;
		this.#holdsRequest = false;
		const cluster = this.cluster as ClusterRuntime;
		cluster.letGo("requests", this.priority);
		cluster.gauge(clusterGauge.upstream_rq_active, -1);
		endRequest(this.host as HostEntry);
	}

	reset(): void {
		this.cluster = this.host = this.upstream = this.#pool = undefined;
	}
}
