import { cumulativeCounts, defaultBounds, type HistogramDump } from "./histogram.ts";
import { percentilesOf, shownPercentiles } from "./histogram-text.ts";
import type { IstioSeriesDump } from "./istio-series.ts";
import type { MergedStats } from "./registry.ts";
import type { StatsFilter } from "./stats-text.ts";
import { defaultStatsView, type StatsView } from "./stats-view.ts";
import type { Label } from "./tags.ts";

interface Family {
	readonly type: "counter" | "gauge" | "histogram" | "summary";
	readonly lines: (readonly [labels: string, text: string])[];
}

/** Envoy's `/stats/prometheus`, metric by metric, so that the caller can send it in pieces and let other work in between. */
export function* renderPrometheus(
	stats: MergedStats,
	{ usedOnly, matches = () => true }: StatsFilter,
	view: StatsView = defaultStatsView,
	mode: "cumulative" | "summary" = "cumulative",
): Generator<string> {
	const families = new Map<string, Family>();
	const add = (metric: string, type: Family["type"], labels: string, text: string) => {
		const known = families.get(metric);
		if (known) known.lines.push([labels, text]);
		else families.set(metric, { type, lines: [[labels, text]] });
	};
	const addValues = (values: ReadonlyMap<string, number>, type: "counter" | "gauge") => {
		for (const [name, value] of values) {
			if (!matches(name) || (usedOnly && value === 0)) continue;
			const { metric, labels } = describe(name, stats, view);
			add(metric, type, labels, `${metric}{${labels}} ${value}\n`);
		}
	};
	addValues(stats.counters, "counter");
	addValues(stats.gauges, "gauge");
	for (const [name, histogram] of stats.histograms) {
		if (!matches(name) || (usedOnly && histogram.count === 0)) continue;
		const { metric, labels } = describe(name, stats, view);
		if (mode === "summary") add(metric, "summary", labels, renderSummary(metric, labels, histogram));
		else add(metric, "histogram", labels, renderHistogram(metric, labels, histogram, view.boundsOf(name)));
	}
	for (const series of stats.istio) addIstioSeries(series, matches, add);
	for (const metric of [...families.keys()].sort()) {
		const { type, lines } = families.get(metric) as Family;
		lines.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
		yield `# TYPE ${metric} ${type}\n${lines.map(([, text]) => text).join("")}`;
	}
}

function describe(name: string, stats: MergedStats, { extractTags }: StatsView): { readonly metric: string; readonly labels: string } {
	const extracted = extractTags(name, stats.prefixes.get(name) ?? "");
	return { metric: `envoy_${sanitise(extracted.name)}`, labels: renderLabels(extracted.labels) };
}

function addIstioSeries(
	series: IstioSeriesDump,
	matches: (name: string) => boolean,
	add: (metric: string, type: Family["type"], labels: string, text: string) => void,
): void {
	const labels = renderLabels(series.labels);
	for (const [name, value] of series.counters) {
		const metric = `istio_${name}`;
		if (matches(metric)) add(metric, "counter", labels, `${metric}{${labels}} ${value}\n`);
	}
	for (const { metric: name, buckets, sum, bounds = defaultBounds } of series.histograms) {
		const metric = `istio_${name}`;
		if (!matches(metric)) continue;
		let reached = 0;
		const counts = buckets.map((count) => (reached += count));
		add(metric, "histogram", labels, renderBuckets(metric, labels, bounds, counts.slice(0, -1), reached, sum));
	}
}

/** Over all time: there is no flush interval here. */
function renderSummary(metric: string, labels: string, histogram: HistogramDump): string {
	const more = labels === "" ? "" : `${labels},`;
	const values = percentilesOf(histogram);
	const lines = shownPercentiles.map(
		(percent, i) => `${metric}{${more}quantile="${Number((percent / 100).toPrecision(6))}"} ${Number.isNaN(values[i]) ? "nan" : values[i]}\n`,
	);
	return `${lines.join("")}${metric}_sum{${labels}} ${histogram.sum}\n${metric}_count{${labels}} ${histogram.count}\n`;
}

function renderHistogram(metric: string, labels: string, histogram: HistogramDump, bounds: readonly number[]): string {
	return renderBuckets(metric, labels, bounds, cumulativeCounts(histogram, bounds), histogram.count, histogram.sum);
}

function renderBuckets(metric: string, labels: string, bounds: readonly number[], counts: readonly number[], total: number, sum: number): string {
	const more = labels === "" ? "" : `${labels},`;
	const buckets = counts.map((count, i) => `${metric}_bucket{${more}le="${bounds[i]}"} ${count}\n`).join("");
	return `${buckets}${metric}_bucket{${more}le="+Inf"} ${total}\n${metric}_sum{${labels}} ${sum}\n${metric}_count{${labels}} ${total}\n`;
}

function renderLabels(labels: readonly Label[]): string {
	return labels.map(([name, value]) => `${sanitise(name)}="${value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n")}"`).join(",");
}

function sanitise(name: string): string {
	return name.replace(/[^A-Za-z0-9_]/g, "_");
}
