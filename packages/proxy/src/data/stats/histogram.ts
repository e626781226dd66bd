/**
 * A histogram with two significant digits, like Envoy's: 90 buckets a decade, each open below and closed above, so that
 * Envoy's default bounds (0.5, 1, 5, … 3 600 000) fall on bucket edges and `le` counts are exact. A decade takes memory
 * once it is hit.
 */
export interface Histogram {
	/** Milliseconds or bytes; negative counts as 0. */
	record(value: number): void;
	reset(): void;
	dump(): HistogramDump;
}

export interface HistogramDump {
	readonly count: number;
	readonly sum: number;
	/** Values up to `leastValue`. */
	readonly least: number;
	/** [decade, its 90 counts]. */
	readonly decades: readonly (readonly [number, Uint32Array])[];
}

const bucketsPerDecade = 90;
const leastValue = 0.1;
/** (0.1, 1] … (10^10, 10^11]; greater values count in the last bucket. */
const decadesMax = 12;

const units = Array.from({ length: decadesMax }, (_, i) => 10 ** i / 100);
const tops = units.map((unit) => unit * 100);

export function createHistogram(): Histogram {
	return new DecadeHistogram();
}

class DecadeHistogram implements Histogram {
	#count = 0;
	#sum = 0;
	#least = 0;
	readonly #decades: (Uint32Array | undefined)[] = new Array<Uint32Array | undefined>(decadesMax).fill(undefined);

	record(value: number): void {
		this.#count++;
		if (!(value > leastValue)) {
			this.#least++;
			if (value > 0) this.#sum += value;
			return;
		}
		this.#sum += value;
		let decade = 0;
		while (decade < decadesMax - 1 && value > (tops[decade] as number)) decade++;
		const counts = (this.#decades[decade] ??= new Uint32Array(bucketsPerDecade));
		const bucket = Math.ceil(value / (units[decade] as number)) - 11;
		const index = bucket < 0 ? 0 : bucket >= bucketsPerDecade ? bucketsPerDecade - 1 : bucket;
		counts[index] = (counts[index] as number) + 1;
	}

	reset(): void {
		this.#count = this.#sum = this.#least = 0;
		this.#decades.fill(undefined);
	}

	dump(): HistogramDump {
		const decades = this.#decades.flatMap((counts, i) => (counts ? [[i, counts.slice()] as const] : []));
		return { count: this.#count, sum: this.#sum, least: this.#least, decades };
	}
}

export function mergeHistograms(a: HistogramDump, b: HistogramDump): HistogramDump {
	const decades = new Map<number, Uint32Array>(a.decades.map(([i, counts]) => [i, counts.slice()]));
	for (const [i, counts] of b.decades) {
		const into = decades.get(i);
		if (into) for (let j = 0; j < bucketsPerDecade; j++) into[j] = (into[j] ?? 0) + (counts[j] ?? 0);
		else decades.set(i, counts.slice());
	}
	return { count: a.count + b.count, sum: a.sum + b.sum, least: a.least + b.least, decades: [...decades].sort((x, y) => x[0] - y[0]) };
}

/** How many values are ≤ each bound (ascending). */
export function cumulativeCounts(histogram: HistogramDump, bounds: readonly number[]): readonly number[] {
	const buckets = listBuckets(histogram);
	let reached = 0;
	let next = 0;
	return bounds.map((bound) => {
		for (; next < buckets.length; next++) {
			const [upper, count] = buckets[next] as readonly [number, number, number];
			// The bounds and the bucket edges are computed differently; a hair between them is rounding.
			if (upper > bound * (1 + 1e-9)) break;
			reached += count;
		}
		return reached;
	});
}

/** The value at each quantile (0–1), interpolated inside its bucket; NaN for an empty histogram. */
export function quantiles(histogram: HistogramDump, at: readonly number[]): readonly number[] {
	const buckets = listBuckets(histogram);
	return at.map((quantile) => {
		if (histogram.count === 0) return Number.NaN;
		const rank = quantile * histogram.count;
		let reached = 0;
		for (const [upper, count, lower] of buckets) {
			if (reached + count >= rank && count > 0) return lower + (upper - lower) * ((rank - reached) / count);
			reached += count;
		}
		return buckets.at(-1)?.[0] ?? Number.NaN;
	});
}

/** What a histogram has in its buckets, ascending; each is open below and closed above. */
export function listBuckets(histogram: HistogramDump): readonly (readonly [upper: number, count: number, lower: number])[] {
	const list: (readonly [number, number, number])[] = histogram.least > 0 ? [[leastValue, histogram.least, 0]] : [];
	for (const [decade, counts] of histogram.decades) {
		const unit = units[decade] ?? 1;
		for (let i = 0; i < bucketsPerDecade; i++) {
			const count = counts[i] ?? 0;
			if (count > 0) list.push([(i + 11) * unit, count, (i + 10) * unit]);
		}
	}
	return list;
}

export const defaultBounds: readonly number[] = [
	0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000,
];
