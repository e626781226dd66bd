import { cumulativeCounts, type HistogramDump, listBuckets, quantiles } from "./histogram.ts";

/** How `?histogram_buckets=` has histograms shown. */
export type HistogramMode = "summary" | "cumulative" | "disjoint" | "detailed";

/** Its values; undefined: there is no such mode. */
export function histogramModeOf(text: string | null): HistogramMode | undefined {
	if (text === null || text === "" || text === "none") return "summary";
	return text === "summary" || text === "cumulative" || text === "disjoint" || text === "detailed" ? text : undefined;
}

/** In percent. */
export const shownPercentiles: readonly number[] = [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100];

/** NaN where nothing was recorded. */
export function percentilesOf(histogram: HistogramDump): readonly number[] {
	return quantiles(
		histogram,
		shownPercentiles.map((percent) => percent / 100),
	).map((value) => Number(value.toPrecision(4)));
}

/** Up to each bound and above the one before (`disjoint`), or up to each bound. */
export function bucketCounts(histogram: HistogramDump, bounds: readonly number[], mode: "cumulative" | "disjoint"): readonly number[] {
	const counts = cumulativeCounts(histogram, bounds);
	return mode === "cumulative" ? counts : counts.map((count, i) => count - (counts[i - 1] ?? 0));
}

/** One line, or, in detail, several. There is no flush interval here: its part is empty, as in an Envoy that has not flushed yet. */
export function renderHistogramText(name: string, histogram: HistogramDump, mode: HistogramMode, bounds: readonly number[]): string {
	if (mode === "summary") return `${name}: ${renderSummary(histogram)}`;
	if (mode !== "detailed")
		return `${name}: ${bucketCounts(histogram, bounds, mode)
			.map((count, i) => `B${general(bounds[i] as number)}(0,${count})`)
			.join(" ")}`;
	const totals = listBuckets(histogram).map(([upper, count, lower]) => `${general(lower)},${general(upper - lower)}:${count}`);
	return `${name}:\n  totals=${totals.join(", ")}\n  intervals=\n  summary=${renderSummary(histogram)}`;
}

function renderSummary(histogram: HistogramDump): string {
	if (histogram.count === 0) return "No recorded values";
	const values = percentilesOf(histogram);
	return shownPercentiles.map((percent, i) => `P${percent}(nan,${values[i]})`).join(" ");
}

/** Six digits, and an exponent where there are more, as C's %g. */
function general(value: number): string {
	const digits = Number(value.toPrecision(6));
	return digits < 1e6 ? String(digits) : digits.toExponential().replace(/e\+(\d)$/, "e+0$1");
}
