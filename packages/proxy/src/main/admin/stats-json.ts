import type { HistogramDump } from "../../data/stats/histogram.ts";
import { listBuckets } from "../../data/stats/histogram.ts";
import { bucketCounts, type HistogramMode, percentilesOf, shownPercentiles } from "../../data/stats/histogram-text.ts";
import type { MergedStats } from "../../data/stats/registry.ts";
import { selectStats, type StatsFilter } from "../../data/stats/stats-text.ts";
import type { BoundsOf } from "../../data/stats/stats-view.ts";

type Named = readonly (readonly [name: string, histogram: HistogramDump])[];

/** `/stats?format=json`: values by name, and all histograms in one object behind them. */
export function statsJson(stats: MergedStats, filter: StatsFilter, mode: HistogramMode, boundsOf: BoundsOf): object {
	const { values, histograms } = selectStats(stats, filter);
	return {
		stats: [
			...values.map(([name, value]) => ({ name, value })),
			...(histograms.length === 0 ? [] : [{ histograms: histogramsJson(histograms, mode, boundsOf) }]),
		],
	};
}

function histogramsJson(histograms: Named, mode: HistogramMode, boundsOf: BoundsOf): object {
	switch (mode) {
		case "summary":
			return { supported_quantiles: shownPercentiles, computed_quantiles: histograms.map(([name, one]) => ({ name, values: percentilesJson(one) })) };
		case "detailed":
			return { supported_percentiles: shownPercentiles, details: histograms.map(([name, one]) => ({ name, ...detailsJson(one) })) };
		default:
			return histograms.map(([name, one]) => ({ name, buckets: bucketsJson(one, mode, boundsOf(name)) }));
	}
}

/** There is no flush interval here, so nothing is in it. */
function percentilesJson(histogram: HistogramDump): readonly object[] {
	return percentilesOf(histogram).map((value) => ({ cumulative: Number.isNaN(value) ? null : value, interval: null }));
}

function detailsJson(histogram: HistogramDump): object {
	const totals = listBuckets(histogram).map(([upper, count, lower]) => ({ lower_bound: lower, width: Number((upper - lower).toPrecision(6)), count }));
	return { totals, intervals: [], percentiles: percentilesJson(histogram) };
}

function bucketsJson(histogram: HistogramDump, mode: "cumulative" | "disjoint", bounds: readonly number[]): readonly object[] {
	return bucketCounts(histogram, bounds, mode).map((cumulative, i) => ({ upper_bound: bounds[i], interval: 0, cumulative }));
}
