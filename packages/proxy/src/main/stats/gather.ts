import type { Host } from "../../config/hosts.ts";
import { emptyStats, type MergedStats, mergeStats, type StatsDump } from "../../data/stats/registry.ts";
import { keepStats } from "../../data/stats/stats-view.ts";
import { firstExpiryMs } from "../admin/certificates.ts";
import { clusterGauges } from "../admin/cluster-gauges.ts";
import type { ChangeCounts } from "../config-store.ts";
import type { AdminContext } from "../admin/routes.ts";

/** Everything that is counted, as `stats_config` has it. */
export async function gatherStats(context: AdminContext): Promise<MergedStats> {
	const workers = await context.pool.scrape();
	const stats = mergeStats([
		...workers,
		mainStats(context, connectionsOf(workers)),
		...(context.loads.reporter === undefined ? [] : [{ ...emptyStats, counters: [block("load_reporter.", context.loads.reporter.stats)] }]),
		...(context.overload === undefined ? [] : [{ ...emptyStats, ...context.overload.stats() }]),
		{ ...emptyStats, counters: countersOfClusters(context), gauges: gaugesOfClusters(context) },
	]);
	return keepStats(stats, context.statsView);
}

/** What the main thread alone counts of each cluster. */
function countersOfClusters({ health, outliers, store }: AdminContext): StatsDump["counters"] {
	return [...store.clusterNames()].flatMap((name) => {
		const cluster = store.clusterOf(name);
		if (cluster === undefined) return [];
		const prefix = `cluster.${cluster.statName}.`;
		const checks = health.statsOf(name);
		return [
			...(checks === undefined ? [] : [block(`${prefix}health_check.`, checks.counts)]),
			...(cluster.outlier === undefined ? [] : [block(`${prefix}outlier_detection.`, outliers.countsOf(name))]),
		];
	});
}

function block(prefix: string, values: Readonly<Record<string, number>>): StatsDump["counters"][number] {
	return { prefix, names: Object.keys(values), values: Float64Array.from(Object.values(values)) };
}

function gaugesOfClusters({ health, outliers, store }: AdminContext): StatsDump["gauges"] {
	const read = (word: number) => outliers.read(word);
	const standingOf = (host: Host) => outliers.standingOf(host);
	const isEjected = (slot: number) => outliers.isEjected(slot);
	return [...store.clusterNames()].flatMap((name) => {
		const cluster = store.clusterOf(name);
		return cluster === undefined ? [] : clusterGauges({ cluster, hosts: store.hostsOf(name), read, isEjected, standingOf, health: health.statsOf(name) });
	});
}

/** Of clients, on all listeners. */
function connectionsOf(workers: readonly StatsDump[]): number {
	const blocks = workers.flatMap(({ gauges }) => gauges).filter(({ prefix }) => /^listener\..*\.worker_\d+\.$/.test(prefix));
	return blocks.reduce((sum, { values }) => sum + (values[0] ?? 0), 0);
}

function changesOf(kind: "cluster" | "listener", { added, modified, removed }: ChangeCounts): Readonly<Record<string, number>> {
	return { [`${kind}_added`]: added, [`${kind}_modified`]: modified, [`${kind}_removed`]: removed };
}

const dayMs = 86_400_000;

/** Of all certificates in force; the largest number there is, as in Envoy, where there are none. */
function daysUntilExpiry({ clock, store }: AdminContext): number {
	const firstMs = firstExpiryMs(store);
	return firstMs === undefined ? 0xffff_ffff : Math.max(0, Math.floor((firstMs - clock.nowMs()) / dayMs));
}

/** What only the main thread counts. */
function mainStats(context: AdminContext, connections: number): StatsDump {
	const { clock, concurrency, extensionStats, outliers, records, scopeStats, state, store } = context;
	const scopes = scopeStats.dump();
	const runtime = context.runtime.stats();
	const memory = process.memoryUsage();
	const dynamicOf = (type: "cds" | "lds") => records.all(type).filter(({ isStatic }) => !isStatic).length;
	const waiting = [...store.waiting.keys()];
	return {
		...emptyStats,
		counters: [
			block("cluster_manager.", { outlier_ejections_total: outliers.ejectionsTotal, ...changesOf("cluster", store.counts.clusters) }),
			block("runtime.", runtime.counters),
			block("listener_manager.", { listener_refused: records.failures("lds").size, ...changesOf("listener", store.counts.listeners) }),
			...extensionStats.dump(),
			...scopes.counters,
		],
		gauges: [
			...scopes.gauges,
			block("server.", {
				live: state.live === "LIVE" ? 1 : 0,
				uptime: Math.floor((clock.nowMs() - state.startedMs) / 1000),
				concurrency,
				total_connections: connections,
				days_until_first_cert_expiring: daysUntilExpiry(context),
				hot_restart_epoch: 0,
				memory_allocated: memory.heapUsed + memory.external,
				memory_heap_size: memory.heapTotal,
				memory_physical_size: memory.rss,
				state: ["LIVE", "DRAINING", "PRE_INITIALIZING", "INITIALIZING"].indexOf(state.live),
			}),
			block("runtime.", runtime.gauges),
			block("cluster_manager.", {
				active_clusters: store.inForce.clusters.size,
				warming_clusters: waiting.filter((name) => name.startsWith("cluster ")).length,
				dynamic_clusters: dynamicOf("cds"),
			}),
			...[...state.connected].map(([prefix, isConnected]) => block(`${prefix}control_plane.`, { connected_state: Number(isConnected) })),
			block("listener_manager.", {
				total_listeners_active: store.inForce.listeners.size,
				total_listeners_warming: waiting.filter((name) => name.startsWith("listener ")).length,
				dynamic_listeners: dynamicOf("lds"),
				workers_started: 1,
			}),
		],
	};
}
