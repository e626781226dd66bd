import { RE2JS } from "re2js";
import type { Host } from "../../config/runtime-config.ts";
import { renderPrometheus } from "../../data/stats/prometheus.ts";
import { type MergedStats, mergeStats, type StatsDump } from "../../data/stats/registry.ts";
import { renderStatsText, type StatsFilter } from "../../data/stats/stats-text.ts";
import { emptyStats } from "../../data/stats/registry.ts";
import { clusterGauges } from "./cluster-gauges.ts";
import type { AdminContext, AdminReply, AdminRequest } from "./routes.ts";

const prometheusType = "text/plain; version=0.0.4; charset=utf-8";

export async function showStats({ query }: AdminRequest, context: AdminContext): Promise<AdminReply> {
	const filter = filterOf(query);
	if (typeof filter === "string") return { status: 400, body: `${filter}\n` };
	const format = query.get("format") ?? "text";
	const select = types.get(query.get("type") ?? "All");
	if (select === undefined) return { status: 400, body: `invalid type. usage: /stats?type=(${[...types.keys()].join("|")})\n` };
	const stats = select(await gather(context));
	switch (format) {
		case "text":
			return { body: renderStatsText(stats, filter) };
		case "prometheus":
			return { type: prometheusType, body: renderPrometheus(stats, filter) };
		case "json":
			return { type: "application/json", body: `${JSON.stringify({ stats: statsJson(stats, filter) })}\n` };
	}
	return { status: 400, body: "usage: /stats?format=(text|json|prometheus)\n" };
}

export async function showPrometheus({ query }: AdminRequest, context: AdminContext): Promise<AdminReply> {
	const filter = filterOf(query);
	if (typeof filter === "string") return { status: 400, body: `${filter}\n` };
	return { type: prometheusType, body: renderPrometheus(await gather(context), filter) };
}

const nothing: MergedStats = mergeStats([]);

/** `type=`, as Envoy spells them; there are no text readouts. */
const types: ReadonlyMap<string, (stats: MergedStats) => MergedStats> = new Map<string, (stats: MergedStats) => MergedStats>([
	["All", (stats) => stats],
	["Counters", ({ counters }) => ({ ...nothing, counters })],
	["Gauges", ({ gauges }) => ({ ...nothing, gauges })],
	["Histograms", ({ histograms }) => ({ ...nothing, histograms })],
	["TextReadouts", () => nothing],
]);

function filterOf(query: URLSearchParams): StatsFilter | string {
	const usedOnly = query.has("usedonly");
	const pattern = query.get("filter");
	if (pattern === null) return { usedOnly };
	try {
		const regex = RE2JS.compile(pattern);
		return { usedOnly, matches: (name) => regex.matcher(name).find() };
	} catch (error) {
		return `invalid filter: ${(error as Error).message}`;
	}
}

async function gather(context: AdminContext): Promise<MergedStats> {
	return mergeStats([
		...(await context.pool.scrape()),
		mainStats(context),
		{ ...emptyStats, counters: countersOfClusters(context), gauges: gaugesOfClusters(context) },
	]);
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

/** What only the main thread counts. */
function mainStats({ clock, concurrency, extensionStats, outliers, records, state, store }: AdminContext): StatsDump {
	const memory = process.memoryUsage();
	const dynamicOf = (type: "cds" | "lds") => records.all(type).filter(({ isStatic }) => !isStatic).length;
	const waiting = [...store.waiting.keys()];
	return {
		...emptyStats,
		counters: [
			block("cluster_manager.", { outlier_ejections_total: outliers.ejectionsTotal }),
			block("listener_manager.", { listener_refused: records.failures("lds").size }),
			...extensionStats.dump(),
		],
		gauges: [
			block("server.", {
				live: state.live === "LIVE" ? 1 : 0,
				uptime: Math.floor((clock.nowMs() - state.startedMs) / 1000),
				concurrency,
				memory_allocated: memory.heapUsed + memory.external,
				memory_heap_size: memory.heapTotal,
				memory_physical_size: memory.rss,
				state: ["LIVE", "DRAINING", "PRE_INITIALIZING", "INITIALIZING"].indexOf(state.live),
			}),
			block("cluster_manager.", {
				active_clusters: store.inForce.clusters.size,
				warming_clusters: waiting.filter((name) => name.startsWith("cluster ")).length,
				dynamic_clusters: dynamicOf("cds"),
			}),
			...(state.isControlPlaneConnected === undefined ? [] : [block("control_plane.", { connected_state: Number(state.isControlPlaneConnected) })]),
			block("listener_manager.", {
				total_listeners_active: store.inForce.listeners.size,
				total_listeners_warming: waiting.filter((name) => name.startsWith("listener ")).length,
				dynamic_listeners: dynamicOf("lds"),
				workers_started: 1,
			}),
		],
	};
}

function statsJson(stats: MergedStats, { usedOnly, matches = () => true }: StatsFilter): readonly unknown[] {
	return [...stats.counters, ...stats.gauges].filter(([name, value]) => matches(name) && !(usedOnly && value === 0)).map(([name, value]) => ({ name, value }));
}
