import type { HostEntry } from "../lb/host-entry.ts";
import type { ChosenTransport } from "../tls/upstream-tls.ts";
import { Timer } from "../transport/timers.ts";
import type { Connection } from "../transport/connection.ts";
import type { ClusterRuntime } from "./cluster-runtime.ts";
import type { HttpPool, PoolClient, PoolFailure } from "./exchange.ts";
import { Http1Upstream } from "./http1-upstream.ts";
import { clusterGauge, clusterStat } from "./cluster-stats.ts";

/**
 * HTTP/1 connections to one host: newest idle one first, so that the others can grow old and close; no pipelining,
 * what finds no connection waits.
 */
export class Http1Pool implements HttpPool {
	readonly protocol = "HTTP/1.1";
	readonly cluster: ClusterRuntime;
	readonly host: HostEntry;
	readonly transport: ChosenTransport;
	readonly priority: "default" | "high";
	readonly #idle: Http1Upstream[] = [];
	readonly #pending: PoolClient[] = [];
	readonly #connecting = new Set<() => void>();
	#open = 0;
	#isDrained = false;

	constructor(cluster: ClusterRuntime, host: HostEntry, transport: ChosenTransport, priority: "default" | "high") {
		this.cluster = cluster;
		this.host = host;
		this.transport = transport;
		this.priority = priority;
	}

	get isEmpty(): boolean {
		return this.#open === 0 && this.#pending.length === 0 && this.#connecting.size === 0;
	}

	acquire(client: PoolClient): Http1Upstream | undefined {
		const idle = this.#idle.pop();
		if (idle !== undefined) return idle;
		const { cluster } = this;
		if (!cluster.tryHold("pending", this.priority)) {
			cluster.count(clusterStat.upstream_rq_pending_overflow);
			client.onPoolFailure("overflow", "");
			return undefined;
		}
		cluster.count(clusterStat.upstream_rq_pending_total);
		cluster.gauge(clusterGauge.upstream_rq_pending_active, 1);
		this.#pending.push(client);
		if (this.#connecting.size < this.#pending.length) this.#connect();
		return undefined;
	}

	cancel(client: PoolClient): void {
		const at = this.#pending.indexOf(client);
		if (at < 0) return;
		this.#pending.splice(at, 1);
		this.#leavePending();
		this.cluster.count(clusterStat.upstream_rq_cancelled);
	}

	#leavePending(): void {
		this.cluster.letGo("pending", this.priority);
		this.cluster.gauge(clusterGauge.upstream_rq_pending_active, -1);
	}

	/** One connection is always allowed; beyond that the cluster's limit holds, and clients wait for a free one. */
	#connect(): void {
		const { cluster, priority } = this;
		const isFirst = this.#open === 0 && this.#connecting.size === 0;
		if (isFirst) cluster.hold("connections", priority);
		else if (!cluster.tryHold("connections", priority)) {
			cluster.count(clusterStat.upstream_cx_overflow);
			return;
		}
		cluster.count(clusterStat.upstream_cx_total);
		cluster.count(clusterStat.upstream_cx_http1_total);
		const startedAt = cluster.context.nowMs();
		const timer = new Timer(cluster.context.wheel, () => finish(undefined, "connectionTimeout", ""));
		let isDone = false;
		const finish = (connection: Connection | undefined, failure: PoolFailure, transportFailure: string) => {
			if (isDone) return;
			isDone = true;
			timer.disarm();
			this.#connecting.delete(cancel);
			if (connection !== undefined) {
				cluster.connectMs.record(cluster.context.nowMs() - startedAt);
				this.#connected(connection);
				return;
			}
			giveUp();
			this.#connectFailed(failure, transportFailure);
		};
		const cancel = () => {
			if (isDone) return;
			isDone = true;
			timer.disarm();
			giveUp();
			this.#connecting.delete(cancel);
			cluster.letGo("connections", priority);
		};
		this.#connecting.add(cancel);
		timer.arm(cluster.config.connectTimeoutMs);
		const giveUp = this.transport.connect(this.host, (result) => {
			if (result instanceof Error) finish(undefined, "remoteConnectionFailure", result.message);
			else if (isDone) result.destroy();
			else finish(result, "remoteConnectionFailure", "");
		});
	}

	#connectFailed(failure: PoolFailure, transportFailure: string): void {
		const { cluster, priority } = this;
		cluster.letGo("connections", priority);
		cluster.count(failure === "connectionTimeout" ? clusterStat.upstream_cx_connect_timeout : clusterStat.upstream_cx_connect_fail);
		// As in Envoy: whoever waits for this host hears of it at once, rather than each after a timeout of its own.
		for (const client of this.#pending.splice(0)) {
			this.#leavePending();
			client.onPoolFailure(failure, this.transport.isTls ? transportFailure : `delayed connect error: ${transportFailure}`);
		}
	}

	#connected(connection: Connection): void {
		this.#open++;
		this.cluster.gauge(clusterGauge.upstream_cx_active, 1);
		const upstream = new Http1Upstream(this, connection);
		connection.resume();
		this.#offer(upstream);
	}

	#offer(upstream: Http1Upstream): void {
		const client = this.#pending.length === 0 ? undefined : this.#pending.shift();
		if (client === undefined) {
			this.#idle.push(upstream);
			upstream.rest();
			return;
		}
		this.#leavePending();
		client.onPoolReady(upstream);
	}

	/** The exchange is over and the connection is good for another. */
	giveBack(upstream: Http1Upstream): void {
		if (this.#isDrained || !this.host.inUse || this.cluster.isRemoved || this.transport.isStale) upstream.close();
		else this.#offer(upstream);
	}

	/** Called once by each connection that ends, by whoever's doing. */
	closed(upstream: Http1Upstream): void {
		this.#open--;
		this.cluster.letGo("connections", this.priority);
		this.cluster.gauge(clusterGauge.upstream_cx_active, -1);
		this.cluster.count(clusterStat.upstream_cx_destroy);
		const at = this.#idle.indexOf(upstream);
		if (at >= 0) this.#idle.splice(at, 1);
		if (this.#pending.length > this.#connecting.size) this.#connect();
	}

	drain(): void {
		this.#isDrained = true;
		for (const upstream of this.#idle.splice(0)) upstream.close();
		if (this.#pending.length === 0) for (const cancel of [...this.#connecting]) cancel();
	}
}
