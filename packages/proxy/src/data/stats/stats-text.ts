import { type HistogramDump, quantiles } from "./histogram.ts";
import type { MergedStats } from "./registry.ts";

export interface StatsFilter {
	/** Leave out what never counted anything. */
	readonly usedOnly: boolean;
	/** `?filter=`: only the names for which this holds. */
	readonly matches?: (name: string) => boolean;
}

const shownQuantiles: readonly (readonly [string, number])[] = [
	["P0", 0],
	["P25", 0.25],
	["P50", 0.5],
	["P75", 0.75],
	["P90", 0.9],
	["P95", 0.95],
	["P99", 0.99],
	["P99.5", 0.995],
	["P99.9", 0.999],
	["P100", 1],
];

/** Envoy's `/stats`: counters and gauges by name, then histograms; one line each. */
export function renderStatsText(stats: MergedStats, { usedOnly, matches = () => true }: StatsFilter): string {
	const values = [...stats.counters, ...stats.gauges].filter(([name, value]) => matches(name) && !(usedOnly && value === 0));
	const histograms = [...stats.histograms].filter(([name, histogram]) => matches(name) && !(usedOnly && histogram.count === 0));
	const lines = [
		...values.sort(byName).map(([name, value]) => `${name}: ${value}`),
		...histograms.sort(byName).map(([name, histogram]) => `${name}: ${renderQuantiles(histogram)}`),
	];
	return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

/** (interval, cumulative); there is no flush interval here, so the first is nan, as in an Envoy that has not flushed yet. */
function renderQuantiles(histogram: HistogramDump): string {
	if (histogram.count === 0) return "No recorded values";
	const at = quantiles(
		histogram,
		shownQuantiles.map(([, q]) => q),
	);
	return shownQuantiles.map(([label], i) => `${label}(nan,${Number((at[i] ?? Number.NaN).toPrecision(4))})`).join(" ");
}

function byName(a: readonly [string, unknown], b: readonly [string, unknown]): number {
	return a[0] < b[0] ? -1 : 1;
}
