import type { BreakerLimits, Cluster } from "../../config/clusters.ts";
import type { ClusterHosts, Host } from "../../config/hosts.ts";
import { type BreakerResource, breakerWord, noSlot } from "../../config/shared-state.ts";
import type { Standing } from "../../data/lb/priority-set.ts";
import type { StatsDump } from "../../data/stats/registry.ts";

export interface ClusterGaugeInputs {
	readonly cluster: Cluster;
	readonly hosts: ClusterHosts | undefined;
	/** A word of the shared state. */
	readonly read: (word: number) => number;
	readonly isEjected: (slot: number) => boolean;
	/** As a balancer sees it. */
	readonly standingOf: (host: Host) => Standing;
	/** Active health checks, where the cluster has them. */
	readonly health: { readonly healthy: number; readonly degraded: number } | undefined;
}

/** One thread's word for all: what every worker knows the same of a cluster, and would be added up if each of them said it. */
export function clusterGauges(inputs: ClusterGaugeInputs): StatsDump["gauges"] {
	const { cluster } = inputs;
	const prefix = `cluster.${cluster.statName}.`;
	return [
		// The hosts that connections and requests name are each worker's own.
		...(cluster.kind === "originalDst" || cluster.kind === "dynamicForwardProxy" ? [] : [block(prefix, membership(inputs))]),
		...(inputs.health === undefined ? [] : [block(`${prefix}health_check.`, { healthy: inputs.health.healthy, degraded: inputs.health.degraded })]),
		...(cluster.outlier === undefined ? [] : [block(`${prefix}outlier_detection.`, { ejections_active: ejected(inputs) })]),
		...(["default", "high"] as const).map((priority) => block(`${prefix}circuit_breakers.${priority}.`, breakers(inputs, priority))),
	];
}

function block(prefix: string, values: Readonly<Record<string, number>>): StatsDump["gauges"][number] {
	return { prefix, names: Object.keys(values), values: Float64Array.from(Object.values(values)) };
}

function hostsOf({ hosts }: ClusterGaugeInputs): readonly Host[] {
	return hosts?.priorities.flat().flatMap((locality) => locality.hosts) ?? [];
}

function ejected(inputs: ClusterGaugeInputs): number {
	return hostsOf(inputs).filter(({ slot }) => inputs.isEjected(slot)).length;
}

function membership(inputs: ClusterGaugeInputs): Readonly<Record<string, number>> {
	const counts = { membership_total: 0, membership_healthy: 0, membership_degraded: 0, membership_excluded: 0 };
	for (const host of hostsOf(inputs)) {
		counts.membership_total++;
		const standing = inputs.standingOf(host);
		if (standing !== "unhealthy") counts[`membership_${standing}`]++;
	}
	return counts;
}

function breakers({ cluster, read }: ClusterGaugeInputs, priority: "default" | "high"): Readonly<Record<string, number>> {
	const limits = cluster.breakers[priority];
	// Without a slot each worker counts for itself, and nobody can tell the sum.
	const held = (resource: BreakerResource) => (cluster.breakerSlot === noSlot ? 0 : read(breakerWord(cluster.breakerSlot, priority, resource)));
	const active = { connections: held("connections"), pending: held("pending"), requests: held("requests"), retries: held("retries") };
	const retriesMax = retryLimit(limits, active.requests + active.pending);
	const isOpen = (count: number, max: number) => (count >= max ? 1 : 0);
	return {
		cx_open: isOpen(active.connections, limits.connectionsMax),
		cx_pool_open: 0,
		rq_open: isOpen(active.requests, limits.requestsMax),
		rq_pending_open: isOpen(active.pending, limits.pendingRequestsMax),
		rq_retry_open: isOpen(active.retries, retriesMax),
		...(limits.tracksRemaining && {
			remaining_cx: Math.max(0, limits.connectionsMax - active.connections),
			remaining_pending: Math.max(0, limits.pendingRequestsMax - active.pending),
			remaining_rq: Math.max(0, limits.requestsMax - active.requests),
			remaining_retries: Math.max(0, retriesMax - active.retries),
		}),
	};
}

function retryLimit({ retryBudget, retriesMax }: BreakerLimits, active: number): number {
	return retryBudget === undefined ? retriesMax : Math.max(Math.floor((active * retryBudget.percent) / 100), retryBudget.concurrencyMin);
}
