import { cumulativeCounts, defaultBounds, type HistogramDump } from "./histogram.ts";
import type { IstioSeriesDump } from "./istio-series.ts";
import type { MergedStats } from "./registry.ts";
import type { StatsFilter } from "./stats-text.ts";

type Label = readonly [name: string, value: string];

interface Family {
	readonly type: "counter" | "gauge" | "histogram";
	readonly lines: (readonly [labels: string, text: string])[];
}

/** Prefix of a scope → the words of it that stay in the metric's name, and its labels (Envoy's tag extraction). */
const scopeRules: readonly (readonly [RegExp, (groups: readonly string[]) => { readonly words: string; readonly labels: readonly Label[] }])[] = [
	[
		/^listener\.(.*)\.http\.(.*)\.$/,
		([, address = "", prefix = ""]) => ({
			words: "listener.http.",
			labels: [
				["envoy_http_conn_manager_prefix", prefix],
				["envoy_listener_address", address],
			],
		}),
	],
	[/^listener\.(.*)\.$/, ([, address = ""]) => ({ words: "listener.", labels: [["envoy_listener_address", address]] })],
	[/^http\.(.*)\.$/, ([, prefix = ""]) => ({ words: "http.", labels: [["envoy_http_conn_manager_prefix", prefix]] })],
	[/^tcp\.(.*)\.$/, ([, prefix = ""]) => ({ words: "tcp.", labels: [["envoy_tcp_prefix", prefix]] })],
	[/^connection_limit\.(.*)\.$/, ([, prefix = ""]) => ({ words: "connection_limit.", labels: [["envoy_connection_limit_prefix", prefix]] })],
	[
		/^cluster\.(.*?)\.((?:circuit_breakers\.(?:default|high)|outlier_detection|ssl|http1|http2)\.)?$/,
		([, cluster = "", rest = ""]) => ({ words: `cluster.${rest}`, labels: [["envoy_cluster_name", cluster]] }),
	],
];

/** A stat's metric name (without `envoy_`) and labels, in the order of Envoy's extractors. Scopes are known, so cluster names may hold dots. */
export function extractTags(name: string, prefix: string): { readonly name: string; readonly labels: readonly Label[] } {
	let rest = name.slice(prefix.length);
	const labels: Label[] = [];
	const code = /_rq_(\d{3})$/.exec(rest);
	const group = /_rq_(\d)xx$/.exec(rest);
	if (code) {
		labels.push(["envoy_response_code", code[1] ?? ""]);
		rest = rest.slice(0, -4);
	} else if (group) {
		labels.push(["envoy_response_code_class", group[1] ?? ""]);
		rest = `${rest.slice(0, -3)}xx`;
	}
	for (const [pattern, read] of scopeRules) {
		const match = pattern.exec(prefix);
		if (!match) continue;
		const scope = read(match);
		return { name: scope.words + rest, labels: [...labels, ...scope.labels] };
	}
	return { name: prefix + rest, labels };
}

/** Envoy's `/stats/prometheus`, metric by metric, so that the caller can send it in pieces and let other work in between. */
export function* renderPrometheus(stats: MergedStats, { usedOnly, matches = () => true }: StatsFilter): Generator<string> {
	const families = new Map<string, Family>();
	const add = (metric: string, type: Family["type"], labels: string, text: string) => {
		const known = families.get(metric);
		if (known) known.lines.push([labels, text]);
		else families.set(metric, { type, lines: [[labels, text]] });
	};
	const addValues = (values: ReadonlyMap<string, number>, type: "counter" | "gauge") => {
		for (const [name, value] of values) {
			if (!matches(name) || (usedOnly && value === 0)) continue;
			const { metric, labels } = describe(name, stats);
			add(metric, type, labels, `${metric}{${labels}} ${value}\n`);
		}
	};
	addValues(stats.counters, "counter");
	addValues(stats.gauges, "gauge");
	for (const [name, histogram] of stats.histograms) {
		if (!matches(name) || (usedOnly && histogram.count === 0)) continue;
		const { metric, labels } = describe(name, stats);
		add(metric, "histogram", labels, renderHistogram(metric, labels, histogram));
	}
	for (const series of stats.istio) addIstioSeries(series, matches, add);
	for (const metric of [...families.keys()].sort()) {
		const { type, lines } = families.get(metric) as Family;
		lines.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
		yield `# TYPE ${metric} ${type}\n${lines.map(([, text]) => text).join("")}`;
	}
}

function describe(name: string, stats: MergedStats): { readonly metric: string; readonly labels: string } {
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
	for (const { metric: name, buckets, sum } of series.histograms) {
		const metric = `istio_${name}`;
		if (!matches(metric)) continue;
		let reached = 0;
		const counts = buckets.map((count) => (reached += count));
		add(metric, "histogram", labels, renderBuckets(metric, labels, counts.slice(0, -1), reached, sum));
	}
}

function renderHistogram(metric: string, labels: string, histogram: HistogramDump): string {
	return renderBuckets(metric, labels, cumulativeCounts(histogram, defaultBounds), histogram.count, histogram.sum);
}

function renderBuckets(metric: string, labels: string, counts: readonly number[], total: number, sum: number): string {
	const more = labels === "" ? "" : `${labels},`;
	const buckets = counts.map((count, i) => `${metric}_bucket{${more}le="${defaultBounds[i]}"} ${count}\n`).join("");
	return `${buckets}${metric}_bucket{${more}le="+Inf"} ${total}\n${metric}_sum{${labels}} ${sum}\n${metric}_count{${labels}} ${total}\n`;
}

function renderLabels(labels: readonly Label[]): string {
	return labels.map(([name, value]) => `${sanitise(name)}="${value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n")}"`).join(",");
}

function sanitise(name: string): string {
	return name.replace(/[^A-Za-z0-9_]/g, "_");
}
