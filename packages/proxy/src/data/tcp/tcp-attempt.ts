import { beginRequest, type ChooseContext, endRequest, type HostEntry } from "../lb/host-entry.ts";
import type { ConnectionInfo } from "../log/stream-info.ts";
import type { Connection } from "../transport/connection.ts";
import { Timer } from "../transport/timers.ts";
import type { ClusterRuntime } from "../upstream/cluster-runtime.ts";
import { clusterGauge, clusterStat } from "../upstream/cluster-stats.ts";
import { describeError, transportFailureOf } from "../upstream/pool-connector.ts";
import type { WorkerContext } from "../worker/context.ts";

/** Why there is no connection to a host. */
export interface TcpFailure {
	readonly reason: string;
	readonly cause: "timeout" | "connectFailure";
}

/** What one attempt to reach a host holds: the host, a place under the cluster's limits, a connection that is being made or is there. */
export class TcpAttempt {
	host: HostEntry | undefined;
	readonly #cluster: ClusterRuntime;
	readonly #timer: Timer;
	#holdsConnection = false;
	#isConnected = false;
	/** For the connection. */
	#isWaiting = false;
	#cancel: (() => void) | undefined;
	#onFailed: ((failure: TcpFailure) => void) | undefined;

	constructor(cluster: ClusterRuntime, context: WorkerContext) {
		this.#cluster = cluster;
		this.#timer = new Timer(context.wheel, () => {
			this.giveUp();
			cluster.count(clusterStat.upstream_cx_connect_timeout);
			this.#onFailed?.({ reason: "connection timeout", cause: "timeout" });
		});
	}

	/** A host for it, or why there is none. */
	begin(context: ChooseContext): HostEntry | "noHost" | "overflow" {
		const cluster = this.#cluster;
		const host = cluster.hosts.choose(context);
		if (host === undefined) {
			cluster.count(clusterStat.upstream_cx_none_healthy);
			return "noHost";
		}
		const isShed = cluster.context.overload?.sheds("connection_pool_new_connection") === true;
		if (isShed || !cluster.holdConnection(host, "default", false)) {
			cluster.count(isShed ? clusterStat.upstream_rq_cancelled : clusterStat.upstream_cx_overflow);
			return "overflow";
		}
		this.#holdsConnection = true;
		this.host = host;
		cluster.count(clusterStat.upstream_cx_total);
		cluster.count(clusterStat.upstream_rq_pending_total);
		cluster.gauge(clusterGauge.upstream_cx_active, 1);
		host.counts.cx_total++;
		host.counts.cx_active++;
		beginRequest(host);
		return host;
	}

	/** `downstream`: for whom. One of both is called, unless the attempt is given up before. */
	connect(downstream: ConnectionInfo, onConnected: (upstream: Connection) => void, onFailed: (failure: TcpFailure) => void): void {
		const cluster = this.#cluster;
		const host = this.host as HostEntry;
		this.#onFailed = onFailed;
		this.#isWaiting = true;
		this.#timer.arm(cluster.config.connectTimeoutMs);
		const transport = cluster.transports.choose(host, "", undefined, downstream);
		this.#cancel = transport.connect(host, (result) => {
			if (!this.#isWaiting) {
				if (!(result instanceof Error)) result.destroy();
				return;
			}
			this.#isWaiting = false;
			this.#timer.disarm();
			if (!(result instanceof Error)) {
				this.#isConnected = true;
				return onConnected(result);
			}
			cluster.count(clusterStat.upstream_cx_connect_fail);
			host.counts.cx_connect_fail++;
			onFailed({ reason: transportFailureOf(describeError(result), transport.isTls), cause: "connectFailure" });
		});
	}

	/** Waits for no connection any more. */
	giveUp(): void {
		this.#timer.disarm();
		if (!this.#isWaiting) return;
		this.#isWaiting = false;
		this.#cancel?.();
	}

	/** `onHealthFailure`: as given to the host; `isUpstreamLast`: it was the host that ended. */
	release(onHealthFailure: () => void, isUpstreamLast: boolean): void {
		if (!this.#holdsConnection) return;
		this.#holdsConnection = false;
		const cluster = this.#cluster;
		const host = this.host as HostEntry;
		cluster.letConnectionGo(host, "default");
		host.tcpConnections?.delete(onHealthFailure);
		cluster.gauge(clusterGauge.upstream_cx_active, -1);
		cluster.count(clusterStat.upstream_cx_destroy);
		host.counts.cx_active--;
		if (this.#isConnected) this.#countDestroyed(isUpstreamLast);
		endRequest(host);
	}

	/** A TCP connection is its own request: there is always one under way. */
	#countDestroyed(isUpstreamLast: boolean): void {
		const cluster = this.#cluster;
		cluster.count(clusterStat.upstream_cx_destroy_with_active_rq);
		cluster.count(isUpstreamLast ? clusterStat.upstream_cx_destroy_remote : clusterStat.upstream_cx_destroy_local);
		cluster.count(isUpstreamLast ? clusterStat.upstream_cx_destroy_remote_with_active_rq : clusterStat.upstream_cx_destroy_local_with_active_rq);
	}
}
