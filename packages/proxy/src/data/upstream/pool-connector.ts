import type { HostEntry } from "../lb/host-entry.ts";
import type { ChosenTransport } from "./chosen-transport.ts";
import type { Connection } from "../transport/connection.ts";
import { Timer } from "../transport/timers.ts";
import type { ClusterRuntime } from "./cluster-runtime.ts";
import { clusterGauge, clusterStat } from "./cluster-stats.ts";
import type { PoolClient, PoolFailure } from "./exchange.ts";

/** Whose connections they are. */
export interface ConnectorOwner {
	/** It does not read yet. */
	onConnected(connection: Connection): void;
	onConnectFailed(failure: PoolFailure, transportFailure: string): void;
}

export interface EndedConnection {
	/** We ended it, not the host. */
	readonly isOurEnd: boolean;
	readonly openedAt: number;
	/** Begun on it. */
	readonly requests: number;
}

/** As the system says it, and so Envoy. */
const systemErrors: Readonly<Record<string, string>> = {
	EACCES: "Permission denied",
	EADDRNOTAVAIL: "Cannot assign requested address",
	ECONNREFUSED: "Connection refused",
	ECONNRESET: "Connection reset by peer",
	EHOSTUNREACH: "No route to host",
	EMFILE: "Too many open files",
	ENETUNREACH: "Network is unreachable",
	ENOENT: "No such file or directory",
	EPIPE: "Broken pipe",
	ETIMEDOUT: "Connection timed out",
};

/** Why a connection could not be made, in the system's words. */
export function describeError(error: Error): string {
	const { code } = error as NodeJS.ErrnoException;
	return (code !== undefined && systemErrors[code]) || error.message;
}

/** What logs say of a connection that was not made. */
export function transportFailureOf(reason: string, isTls: boolean): string {
	return isTls ? reason : `delayed connect error: ${reason}`;
}

/** Makes connections to one host, one way, within the cluster's limits; and keeps those who wait for one. */
export class PoolConnector {
	readonly cluster: ClusterRuntime;
	readonly host: HostEntry;
	readonly transport: ChosenTransport;
	readonly priority: "default" | "high";
	/** Set by whoever takes it over. */
	owner!: ConnectorOwner;
	/** Connections made and not closed. */
	open = 0;
	isDrained = false;
	readonly #pending: PoolClient[] = [];
	readonly #connecting = new Set<() => void>();

	constructor(cluster: ClusterRuntime, host: HostEntry, transport: ChosenTransport, priority: "default" | "high") {
		this.cluster = cluster;
		this.host = host;
		this.transport = transport;
		this.priority = priority;
	}

	get isEmpty(): boolean {
		return this.open === 0 && this.#pending.length === 0 && this.#connecting.size === 0;
	}
	get connecting(): number {
		return this.#connecting.size;
	}
	get waiting(): number {
		return this.#pending.length;
	}
	/** What is idle is not to be used again. */
	get isUnwanted(): boolean {
		return this.isDrained || !this.host.inUse || this.cluster.isRemoved || this.transport.isStale;
	}

	/** False: too many wait, and the client has heard so. */
	wait(client: PoolClient): boolean {
		const { cluster } = this;
		if (!cluster.tryHold("pending", this.priority)) {
			cluster.count(clusterStat.upstream_rq_pending_overflow);
			client.onPoolFailure("overflow", "");
			return false;
		}
		cluster.count(clusterStat.upstream_rq_pending_total);
		cluster.gauge(clusterGauge.upstream_rq_pending_active, 1);
		this.host.counts.rq_pending_active++;
		this.#pending.push(client);
		return true;
	}

	/** Whoever has waited longest. */
	next(): PoolClient | undefined {
		if (this.#pending.length === 0) return undefined;
		this.#leavePending();
		return this.#pending.shift();
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
		this.host.counts.rq_pending_active--;
	}

	/** For a client that waits since now: where load is shed, it hears so. */
	connectFor(client: PoolClient): void {
		if (this.connect()) return;
		this.cancel(client);
		client.onPoolFailure("overflow", "");
	}

	/** One connection is always allowed; beyond that the cluster's limit holds, and clients wait for a free one. False: load is shed. */
	connect(): boolean {
		const { cluster, priority } = this;
		if (cluster.context.overload?.sheds("connection_pool_new_connection") === true) return false;
		const isFirst = this.open === 0 && this.#connecting.size === 0;
		if (!cluster.holdConnection(this.host, priority, isFirst)) {
			cluster.count(clusterStat.upstream_cx_overflow);
			return true;
		}
		cluster.count(clusterStat.upstream_cx_total);
		cluster.connections++;
		const { counts } = this.host;
		counts.cx_total++;
		counts.cx_active++;
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
				this.open++;
				cluster.markConnected();
				cluster.gauge(clusterGauge.upstream_cx_active, 1);
				this.owner.onConnected(connection);
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
			counts.cx_active--;
			cluster.connections--;
			cluster.letConnectionGo(this.host, priority);
		};
		this.#connecting.add(cancel);
		timer.arm(cluster.config.connectTimeoutMs);
		const giveUp = this.transport.connect(this.host, (result) => {
			if (result instanceof Error) finish(undefined, "remoteConnectionFailure", describeError(result));
			else if (isDone) result.destroy();
			else finish(result, "remoteConnectionFailure", "");
		});
		return true;
	}

	/** Ahead of `requests`. False: there are enough, or none is made. */
	preconnect(requests: number, requestsPerConnection: number, ratio: number): boolean {
		const { connecting, open } = this;
		if (requests * ratio <= (open + connecting) * requestsPerConnection) return false;
		this.connect();
		return this.connecting > connecting;
	}

	#connectFailed(failure: PoolFailure, transportFailure: string): void {
		const { cluster, priority } = this;
		cluster.connections--;
		cluster.letConnectionGo(this.host, priority);
		cluster.count(clusterStat.upstream_cx_connect_fail);
		this.#countEnd(failure === "connectionTimeout");
		this.host.counts.cx_active--;
		this.host.counts.cx_connect_fail++;
		if (failure === "connectionTimeout") cluster.count(clusterStat.upstream_cx_connect_timeout);
		this.owner.onConnectFailed(failure, transportFailure);
		this.failAll(failure, transportFailureOf(transportFailure, this.transport.isTls));
	}

	/** As in Envoy: whoever waits for this host hears of it at once, rather than each after a timeout of its own. */
	failAll(failure: PoolFailure, transportFailure: string): void {
		for (const client of this.#pending.splice(0)) {
			this.#leavePending();
			this.cluster.count(clusterStat.upstream_rq_pending_failure_eject);
			client.onPoolFailure(failure, transportFailure);
		}
	}

	/** Called once for each connection that ends. `isActive`: while a request was under way. */
	closed({ isOurEnd, openedAt, requests }: EndedConnection, isActive: boolean): void {
		this.cluster.connectionMs.record(this.cluster.context.nowMs() - openedAt);
		this.cluster.requestsPerConnection.record(requests);
		this.open--;
		this.cluster.connections--;
		this.host.counts.cx_active--;
		this.cluster.letConnectionGo(this.host, this.priority);
		this.cluster.gauge(clusterGauge.upstream_cx_active, -1);
		this.#countEnd(isOurEnd);
		if (!isActive) return;
		this.cluster.count(clusterStat.upstream_cx_destroy_with_active_rq);
		this.cluster.count(isOurEnd ? clusterStat.upstream_cx_destroy_local_with_active_rq : clusterStat.upstream_cx_destroy_remote_with_active_rq);
	}

	#countEnd(isOurs: boolean): void {
		this.cluster.count(clusterStat.upstream_cx_destroy);
		this.cluster.count(isOurs ? clusterStat.upstream_cx_destroy_local : clusterStat.upstream_cx_destroy_remote);
	}

	drain(): void {
		this.isDrained = true;
		if (this.#pending.length === 0) for (const cancel of [...this.#connecting]) cancel();
	}
}
