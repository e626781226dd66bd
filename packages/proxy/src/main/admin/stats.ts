import { RE2JS } from "re2js";
import { type HistogramMode, histogramModeOf } from "../../data/stats/histogram-text.ts";
import { renderPrometheus } from "../../data/stats/prometheus.ts";
import { type MergedStats, mergeStats } from "../../data/stats/registry.ts";
import { renderStatsText, type StatsFilter } from "../../data/stats/stats-text.ts";
import { gatherStats } from "../stats/gather.ts";
import type { AdminContext, AdminReply, AdminRequest } from "./routes.ts";
import { statsJson } from "./stats-json.ts";

// Prometheus asks for the version; Envoy does not say it.
const prometheusType = "text/plain; version=0.0.4; charset=utf-8";

export async function showStats(request: AdminRequest, context: AdminContext): Promise<AdminReply> {
	const { query } = request;
	const format = query.get("format") ?? "text";
	if (format === "prometheus") return showPrometheus(request, context);
	if (format !== "text" && format !== "json") return refused("usage: /stats?format=(json|prometheus|text)");
	const filter = filterOf(query);
	if (typeof filter === "string") return refused(filter);
	const mode = histogramModeOf(query.get("histogram_buckets"));
	if (mode === undefined) return refused(bucketsUsage);
	const select = types.get(query.get("type") ?? "All");
	if (select === undefined) return refused(`invalid &type= param. usage: /stats?type=(${[...types.keys()].join("|")})`);
	const stats = select(await gatherStats(context));
	if (format === "text") return { body: renderStatsText(stats, filter, mode, context.statsView) };
	return { type: "application/json", body: `${JSON.stringify(statsJson(stats, filter, mode, context.statsView.boundsOf))}\n` };
}

export async function showPrometheus({ query }: AdminRequest, context: AdminContext): Promise<AdminReply> {
	const filter = filterOf(query);
	if (typeof filter === "string") return refused(filter);
	const asked = query.get("histogram_buckets");
	const mode: HistogramMode | undefined = asked === null ? "cumulative" : histogramModeOf(asked);
	if (mode === undefined) return refused(bucketsUsage);
	if (mode !== "cumulative" && mode !== "summary") return refused("unsupported prometheus histogram bucket mode");
	return { type: prometheusType, body: renderPrometheus(await gatherStats(context), filter, context.statsView, mode) };
}

const bucketsUsage = "usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary)";
const refused = (message: string): AdminReply => ({ status: 400, body: `${message}\n` });
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
		return `Invalid re2 regex: ${(error as Error).message}`;
	}
}
