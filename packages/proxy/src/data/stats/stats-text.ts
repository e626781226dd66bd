import { type HistogramMode, renderHistogramText } from "./histogram-text.ts";
import type { MergedStats } from "./registry.ts";
import { defaultStatsView, type StatsView } from "./stats-view.ts";

export interface StatsFilter {
	/** Leave out what never counted anything. */
	readonly usedOnly: boolean;
	/** `?filter=`: only the names for which this holds. */
	readonly matches?: (name: string) => boolean;
}

/** Envoy's `/stats`: counters and gauges by name, then histograms. */
export function renderStatsText(stats: MergedStats, filter: StatsFilter, mode: HistogramMode = "summary", { boundsOf }: StatsView = defaultStatsView): string {
	const { values, histograms } = selectStats(stats, filter);
	const lines = [
		...values.map(([name, value]) => `${name}: ${value}`),
		...histograms.map(([name, histogram]) => renderHistogramText(name, histogram, mode, boundsOf(name))),
	];
	return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

/** What the filter leaves, by name. */
export function selectStats(stats: MergedStats, { usedOnly, matches = () => true }: StatsFilter) {
	return {
		values: [...stats.counters, ...stats.gauges].filter(([name, value]) => matches(name) && !(usedOnly && value === 0)).sort(byName),
		histograms: [...stats.histograms].filter(([name, histogram]) => matches(name) && !(usedOnly && histogram.count === 0)).sort(byName),
	};
}

function byName(a: readonly [string, unknown], b: readonly [string, unknown]): number {
	return a[0] < b[0] ? -1 : 1;
}
