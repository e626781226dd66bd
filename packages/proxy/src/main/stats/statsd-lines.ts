import { type HistogramDump, listBuckets } from "../../data/stats/histogram.ts";
import type { IstioSeriesDump } from "../../data/stats/istio-series.ts";
import type { MergedStats } from "../../data/stats/registry.ts";
import { istioScope, type StatsView } from "../../data/stats/stats-view.ts";
import type { Label } from "../../data/stats/tags.ts";

/** How one sink wants its lines. */
export interface LineFormat {
	readonly prefix: string;
	/** DogStatsD: tags stand behind the value; else they stay in the name. */
	readonly hasTags: boolean;
}

/** What was counted since the last time; gauges as they are. */
export interface StatsDelta {
	readonly counters: ReadonlyMap<string, number>;
	readonly gauges: ReadonlyMap<string, number>;
	/** Name → value → how often. */
	readonly histograms: ReadonlyMap<string, ReadonlyMap<number, number>>;
	readonly istio: readonly { readonly metric: string; readonly labels: readonly Label[]; readonly delta: number }[];
}

/** Remembers what was sent. */
export class StatsDeltas {
	#counters: ReadonlyMap<string, number> = new Map();
	#gauges: ReadonlyMap<string, number> = new Map();
	#histograms = new Map<string, ReadonlyMap<number, number>>();
	#istio = new Map<string, number>();

	next(stats: MergedStats): StatsDelta {
		const counters = new Map<string, number>();
		for (const [name, value] of stats.counters) {
			const delta = since(value, this.#counters.get(name) ?? 0);
			if (delta > 0) counters.set(name, delta);
		}
		this.#counters = stats.counters;
		// A gauge that never was anything but 0 is not used.
		const gauges = new Map([...stats.gauges].filter(([name, value]) => value !== 0 || this.#gauges.has(name)));
		this.#gauges = gauges;
		return { counters, gauges, histograms: this.#nextHistograms(stats.histograms), istio: stats.istio.flatMap((series) => this.#nextIstio(series)) };
	}

	#nextHistograms(histograms: ReadonlyMap<string, HistogramDump>): StatsDelta["histograms"] {
		const deltas = new Map<string, ReadonlyMap<number, number>>();
		const seen = new Map<string, ReadonlyMap<number, number>>();
		for (const [name, histogram] of histograms) {
			if (histogram.count === 0) continue;
			const now = new Map(listBuckets(histogram).map(([upper, count]) => [upper, count] as const));
			const before = this.#histograms.get(name);
			seen.set(name, now);
			const delta = new Map([...now].map(([value, count]) => [value, since(count, before?.get(value) ?? 0)] as const).filter(([, count]) => count > 0));
			if (delta.size > 0) deltas.set(name, delta);
		}
		this.#histograms = seen;
		return deltas;
	}

	#nextIstio({ labels, counters }: IstioSeriesDump): StatsDelta["istio"] {
		return counters.flatMap(([metric, value]) => {
			const key = `${metric}\0${JSON.stringify(labels)}`;
			const delta = since(value, this.#istio.get(key) ?? 0);
			this.#istio.set(key, value);
			return delta > 0 ? [{ metric, labels, delta }] : [];
		});
	}
}

/** A smaller count began anew: it was reset, or a worker was replaced. */
const since = (value: number, before: number): number => (value >= before ? value - before : value);

/** Lines of statsd (https://github.com/statsd/statsd/blob/master/docs/metric_types.md), without their ends. */
export function* formatStatsd(delta: StatsDelta, stats: MergedStats, { prefix, hasTags }: LineFormat, view: StatsView): Generator<string> {
	const render = (name: string, labels: readonly Label[], value: string) => `${prefix}.${cleanName(name)}:${value}${hasTags ? formatTags(labels) : ""}`;
	const line = (name: string, value: string) => {
		if (!hasTags) return render(name, [], value);
		const extracted = view.extractTags(name, stats.prefixes.get(name) ?? "");
		return render(extracted.name, extracted.labels, value);
	};
	for (const [name, value] of delta.counters) yield line(name, `${value}|c`);
	for (const [name, value] of delta.gauges) yield* gaugeLines(line, name, value);
	for (const [name, values] of delta.histograms)
		for (const [value, count] of values) yield line(name, `${round(value)}|ms${count === 1 ? "" : `|@${round(1 / count)}`}`);
	for (const { metric, labels, delta: count } of delta.istio) {
		const name = `${istioScope}istio_${metric}`;
		yield render(hasTags ? name : `${name}.${labels.flat().join(".")}`, labels, `${count}|c`);
	}
}

/** With a sign a value would be added to what the server has: a negative one is set by way of 0. */
function* gaugeLines(line: (name: string, value: string) => string, name: string, value: number): Generator<string> {
	if (value < 0) yield line(name, "0|g");
	yield line(name, `${value}|g`);
}

const round = (value: number): number => Number(value.toPrecision(6));

/** What a line is made of may not be in a name. */
const cleanName = (name: string): string => name.replace(/[:|@#\s]/g, "_");
const cleanTag = (text: string): string => text.replace(/[|,\s]/g, "_");

function formatTags(labels: readonly Label[]): string {
	return labels.length === 0 ? "" : `|#${labels.map(([name, value]) => `${cleanTag(name)}:${cleanTag(value)}`).join(",")}`;
}
