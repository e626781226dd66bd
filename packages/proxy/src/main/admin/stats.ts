import { RE2JS } from "re2js";
import { renderPrometheus } from "../../data/stats/prometheus.ts";
import { type MergedStats, mergeStats } from "../../data/stats/registry.ts";
import { renderStatsText, type StatsFilter } from "../../data/stats/stats-text.ts";
import { gatherStats } from "../stats/gather.ts";
import type { AdminContext, AdminReply, AdminRequest } from "./routes.ts";

const prometheusType = "text/plain; version=0.0.4; charset=utf-8";

export async function showStats({ query }: AdminRequest, context: AdminContext): Promise<AdminReply> {
	const filter = filterOf(query);
	if (typeof filter === "string") return { status: 400, body: `${filter}\n` };
	const format = query.get("format") ?? "text";
	const select = types.get(query.get("type") ?? "All");
	if (select === undefined) return { status: 400, body: `invalid type. usage: /stats?type=(${[...types.keys()].join("|")})\n` };
	const stats = select(await gatherStats(context));
	switch (format) {
		case "text":
			return { body: renderStatsText(stats, filter) };
		case "prometheus":
			return { type: prometheusType, body: renderPrometheus(stats, filter, context.statsView) };
		case "json":
			return { type: "application/json", body: `${JSON.stringify({ stats: statsJson(stats, filter) })}\n` };
	}
	return { status: 400, body: "usage: /stats?format=(text|json|prometheus)\n" };
}

export async function showPrometheus({ query }: AdminRequest, context: AdminContext): Promise<AdminReply> {
	const filter = filterOf(query);
	if (typeof filter === "string") return { status: 400, body: `${filter}\n` };
	return { type: prometheusType, body: renderPrometheus(await gatherStats(context), filter, context.statsView) };
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

function statsJson(stats: MergedStats, { usedOnly, matches = () => true }: StatsFilter): readonly unknown[] {
	return [...stats.counters, ...stats.gauges].filter(([name, value]) => matches(name) && !(usedOnly && value === 0)).map(([name, value]) => ({ name, value }));
}
