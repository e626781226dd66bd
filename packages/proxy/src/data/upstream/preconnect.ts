import type { HostEntry } from "../lb/host-entry.ts";
import type { ClusterRuntime } from "./cluster-runtime.ts";
import type { HttpPool, PoolProtocol } from "./exchange.ts";

/** At a time, as in Envoy. */
export const preconnectsMax = 3;

/**
 * Makes connections to the hosts that come next, until the cluster has `ratio` times as many as requests under way
 * (`predictive_preconnect_ratio`). To be called for each request before it takes a connection.
 */
export function preconnectAhead(cluster: ClusterRuntime, ratio: number, protocol: PoolProtocol, poolOf: (host: HostEntry) => HttpPool): void {
	const requestsPerConnection = protocol === "HTTP/2" ? cluster.config.http2.maxConcurrentStreams : 1;
	for (let i = 0; i < preconnectsMax; i++) {
		if (cluster.activeRequests * ratio <= cluster.connections * requestsPerConnection) return;
		const next = cluster.hosts.peek?.();
		if (next === undefined || !poolOf(next).preconnect(ratio)) return;
	}
}
