import type { HistogramBounds, StatsConfig, StatsMatcher } from "../../config/stats-config.ts";
import { defaultStatsConfig } from "../../config/stats-config.ts";
import { createCompileContext } from "../match/compile-context.ts";
import { compileStringMatch } from "../match/string-match.ts";
import { defaultBounds } from "./histogram.ts";
import type { MergedStats } from "./registry.ts";
import { compileTags, type ExtractTags } from "./tags.ts";

/** How statistics are shown and sent. */
export interface StatsView {
	readonly extractTags: ExtractTags;
	/** Of the buckets of a histogram, by its whole name. */
	readonly boundsOf: BoundsOf;
	/** Whether a statistic is there at all. */
	readonly isKept: (name: string) => boolean;
}

export type BoundsOf = (name: string) => readonly number[];

/** Istio's standard metrics stand in this scope, to those who match whole names. */
export const istioScope = "istiocustom.";

/** `errors`: expressions that do not compile. */
export function compileStatsView(config: StatsConfig): { readonly value: StatsView; readonly errors: readonly string[] } {
	const context = createCompileContext();
	const boundsOf = compileBounds(config.histogramBounds, context);
	return { value: { extractTags: compileTags(config), boundsOf, isKept: compileMatcher(config.matcher, context) }, errors: context.errors };
}

export function compileBounds(settings: readonly HistogramBounds[], context = createCompileContext()): BoundsOf {
	const compiled = settings.map(({ match, bounds }) => ({ test: compileStringMatch(match, context), bounds }));
	return (name) => compiled.find(({ test }) => test(name))?.bounds ?? defaultBounds;
}

const keepsAll = () => true;

function compileMatcher(matcher: StatsMatcher, context: ReturnType<typeof createCompileContext>): StatsView["isKept"] {
	if (matcher.kind === "all") return keepsAll;
	if (matcher.kind === "none") return () => false;
	const tests = matcher.patterns.map((pattern) => compileStringMatch(pattern, context));
	const isIncluding = matcher.kind === "include";
	const known = new Map<string, boolean>();
	return (name) => {
		// The same names are asked about again and again.
		let isKept = known.get(name);
		if (isKept === undefined) {
			isKept = tests.some((test) => test(name)) === isIncluding;
			if (known.size >= knownMax) known.clear();
			known.set(name, isKept);
		}
		return isKept;
	};
}

const knownMax = 100_000;

export const defaultStatsView: StatsView = compileStatsView(defaultStatsConfig).value;

/** Without what the matcher leaves out. */
export function keepStats(stats: MergedStats, { isKept }: StatsView): MergedStats {
	if (isKept === keepsAll) return stats;
	const keep = <T>(values: ReadonlyMap<string, T>) => new Map([...values].filter(([name]) => isKept(name)));
	const istio = stats.istio.map((series) => ({
		...series,
		counters: series.counters.filter(([metric]) => isKept(`${istioScope}istio_${metric}`)),
		histograms: series.histograms.filter(({ metric }) => isKept(`${istioScope}istio_${metric}`)),
	}));
	return { ...stats, counters: keep(stats.counters), gauges: keep(stats.gauges), histograms: keep(stats.histograms), istio };
}
