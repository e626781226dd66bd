/** The standard metrics' series as plain values; see `istio-metrics.ts` for how they come about. */
export interface IstioSeriesDump {
	/** Label names and values, in Istio's order, without those that an override removed. */
	readonly labels: readonly (readonly [name: string, value: string])[];
	/** By metric name without `istio_`. */
	readonly counters: readonly (readonly [metric: string, value: number])[];
	readonly histograms: readonly IstioHistogramDump[];
}

export interface IstioHistogramDump {
	readonly metric: string;
	/** Not cumulative; one for each bound, then one for what is above. */
	readonly buckets: readonly number[];
	/** undefined: `defaultBounds`. */
	readonly bounds?: readonly number[];
	readonly sum: number;
}

/** Same labels, same series: adds them up over the workers. */
export function mergeIstioSeries(series: readonly IstioSeriesDump[]): readonly IstioSeriesDump[] {
	const merged = new Map<string, IstioSeriesDump>();
	for (const one of series) {
		const key = JSON.stringify(one.labels);
		const known = merged.get(key);
		merged.set(key, known ? addSeries(known, one) : one);
	}
	return [...merged.values()];
}

function addSeries(a: IstioSeriesDump, b: IstioSeriesDump): IstioSeriesDump {
	const counters = new Map(a.counters);
	for (const [metric, value] of b.counters) counters.set(metric, (counters.get(metric) ?? 0) + value);
	const histograms = new Map(a.histograms.map((h) => [h.metric, h]));
	for (const h of b.histograms) {
		const known = histograms.get(h.metric);
		histograms.set(h.metric, known ? { ...h, buckets: h.buckets.map((n, i) => n + (known.buckets[i] ?? 0)), sum: h.sum + known.sum } : h);
	}
	return { labels: a.labels, counters: [...counters], histograms: [...histograms.values()] };
}
