import { createHistogram, type Histogram, type HistogramDump, mergeHistograms } from "./histogram.ts";
import { type IstioSeriesDump, mergeIstioSeries } from "./istio-series.ts";

/**
 * One thread's counters and gauges as two typed arrays. A family (see `families.ts`) takes one block per scope, so a
 * cluster costs 8 bytes a counter and no strings. On the hot path: `stats.counters[base + family.index.x]!++`, with
 * `stats` the registry itself, since the arrays are replaced when they grow.
 */
export interface StatsRegistry {
	counters: Float64Array;
	gauges: Float64Array;
	/** Scopes of one prefix (`cluster.outbound|80||a.`) are one; its values last until the last opener closed it. */
	openScope(prefix: string): StatsScope;
	/** Counters and histograms back to zero; gauges stay. */
	reset(): void;
	dump(): StatsDump;
}

export interface StatsScope {
	readonly prefix: string;
	/** Index of the family's first counter. */
	counters(family: StatsFamily<string>): number;
	gauges(family: StatsFamily<string>): number;
	histogram(name: string): Histogram;
	/** One counter by name, for names known only at run time (`upstream_rq_418`). Look it up once and keep it. */
	counter(name: string): number;
	gauge(name: string): number;
	close(): void;
}

/** Names that always come together. */
export interface StatsFamily<Name extends string> {
	readonly names: readonly Name[];
	/** Position of each name in its block. */
	readonly index: Readonly<Record<Name, number>>;
}

/** Everything one thread counted, as plain values for `postMessage`. */
export interface StatsDump {
	readonly counters: readonly ValueBlock[];
	readonly gauges: readonly ValueBlock[];
	readonly histograms: readonly { readonly prefix: string; readonly name: string; readonly histogram: HistogramDump }[];
	readonly istio: readonly IstioSeriesDump[];
}

export interface ValueBlock {
	readonly prefix: string;
	readonly names: readonly string[];
	readonly values: Float64Array;
}

export const emptyStats: StatsDump = { counters: [], gauges: [], histograms: [], istio: [] };

export function defineFamily<const Name extends string>(names: readonly Name[]): StatsFamily<Name> {
	const index = Object.fromEntries(names.map((name, i) => [name, i])) as Record<Name, number>;
	return { names, index };
}

interface Block {
	readonly base: number;
	readonly names: readonly string[];
}

/** Blocks in one growing array; blocks given back are reused for the same size. */
class BlockArray {
	values: Float64Array;
	#next = 0;
	readonly #free = new Map<number, number[]>();
	readonly #onGrow: (values: Float64Array) => void;

	constructor(onGrow: (values: Float64Array) => void) {
		this.values = new Float64Array(256);
		this.#onGrow = onGrow;
		onGrow(this.values);
	}

	take(size: number): number {
		const free = this.#free.get(size)?.pop();
		if (free !== undefined) return free;
		const base = this.#next;
		this.#next += size;
		if (this.#next > this.values.length) {
			const grown = new Float64Array(Math.max(this.values.length * 2, this.#next));
			grown.set(this.values);
			this.values = grown;
			this.#onGrow(grown);
		}
		return base;
	}

	give(base: number, size: number): void {
		this.values.fill(0, base, base + size);
		const list = this.#free.get(size);
		if (list) list.push(base);
		else this.#free.set(size, [base]);
	}
}

class Scope implements StatsScope {
	readonly prefix: string;
	opened = 0;
	readonly counterBlocks = new Map<object | string, Block>();
	readonly gaugeBlocks = new Map<object | string, Block>();
	readonly histograms = new Map<string, Histogram>();
	readonly #counterArray: BlockArray;
	readonly #gaugeArray: BlockArray;
	readonly #onClosed: (scope: Scope) => void;

	constructor(prefix: string, counterArray: BlockArray, gaugeArray: BlockArray, onClosed: (scope: Scope) => void) {
		this.prefix = prefix;
		this.#counterArray = counterArray;
		this.#gaugeArray = gaugeArray;
		this.#onClosed = onClosed;
	}

	counters(family: StatsFamily<string>): number {
		return takeBlock(this.counterBlocks, this.#counterArray, family, family.names);
	}

	gauges(family: StatsFamily<string>): number {
		return takeBlock(this.gaugeBlocks, this.#gaugeArray, family, family.names);
	}

	counter(name: string): number {
		return takeBlock(this.counterBlocks, this.#counterArray, name, [name]);
	}

	gauge(name: string): number {
		return takeBlock(this.gaugeBlocks, this.#gaugeArray, name, [name]);
	}

	histogram(name: string): Histogram {
		const known = this.histograms.get(name);
		if (known) return known;
		const fresh = createHistogram();
		this.histograms.set(name, fresh);
		return fresh;
	}

	close(): void {
		if (--this.opened > 0) return;
		for (const { base, names } of this.counterBlocks.values()) this.#counterArray.give(base, names.length);
		for (const { base, names } of this.gaugeBlocks.values()) this.#gaugeArray.give(base, names.length);
		this.#onClosed(this);
	}
}

function takeBlock(blocks: Map<object | string, Block>, array: BlockArray, key: object | string, names: readonly string[]): number {
	const known = blocks.get(key);
	if (known) return known.base;
	const base = array.take(names.length);
	blocks.set(key, { base, names });
	return base;
}

/** `istio` keeps the standard metrics' series, which come out with the rest (see `istio-metrics.ts`). */
export function createStatsRegistry(istio?: { dump(): readonly IstioSeriesDump[]; reset(): void }): StatsRegistry {
	return new Registry(istio);
}

class Registry implements StatsRegistry {
	counters: Float64Array;
	gauges: Float64Array;
	readonly #scopes = new Map<string, Scope>();
	readonly #counterArray: BlockArray;
	readonly #gaugeArray: BlockArray;
	readonly #istio: { dump(): readonly IstioSeriesDump[]; reset(): void } | undefined;

	constructor(istio: { dump(): readonly IstioSeriesDump[]; reset(): void } | undefined) {
		this.counters = this.gauges = new Float64Array(0);
		this.#istio = istio;
		this.#counterArray = new BlockArray((values) => {
			this.counters = values;
		});
		this.#gaugeArray = new BlockArray((values) => {
			this.gauges = values;
		});
	}

	openScope(prefix: string): StatsScope {
		let scope = this.#scopes.get(prefix);
		if (!scope) {
			scope = new Scope(prefix, this.#counterArray, this.#gaugeArray, (closed) => this.#scopes.delete(closed.prefix));
			this.#scopes.set(prefix, scope);
		}
		scope.opened++;
		return scope;
	}

	reset(): void {
		this.counters.fill(0);
		for (const scope of this.#scopes.values()) for (const histogram of scope.histograms.values()) histogram.reset();
		this.#istio?.reset();
	}

	dump(): StatsDump {
		const scopes = [...this.#scopes.values()];
		const blocks = (of: (scope: Scope) => Map<object | string, Block>, values: Float64Array) =>
			scopes.flatMap((scope) =>
				Array.from(of(scope).values(), ({ base, names }) => ({ prefix: scope.prefix, names, values: values.slice(base, base + names.length) })),
			);
		return {
			counters: blocks((scope) => scope.counterBlocks, this.counters),
			gauges: blocks((scope) => scope.gaugeBlocks, this.gauges),
			histograms: scopes.flatMap((scope) => Array.from(scope.histograms, ([name, histogram]) => ({ prefix: scope.prefix, name, histogram: histogram.dump() }))),
			istio: this.#istio?.dump() ?? [],
		};
	}
}

/** Full name → value. */
export interface MergedStats {
	readonly counters: ReadonlyMap<string, number>;
	/** Added up over the threads. */
	readonly gauges: ReadonlyMap<string, number>;
	readonly histograms: ReadonlyMap<string, HistogramDump>;
	readonly istio: readonly IstioSeriesDump[];
	/** Full name → the scope that it was counted in, from which Prometheus' labels come. */
	readonly prefixes: ReadonlyMap<string, string>;
}

/** The whole proxy's stats out of those of its workers and of the main thread. */
export function mergeStats(dumps: readonly StatsDump[]): MergedStats {
	const prefixes = new Map<string, string>();
	const histograms = new Map<string, HistogramDump>();
	for (const { prefix, name, histogram } of dumps.flatMap((dump) => dump.histograms)) {
		const full = prefix + name;
		const known = histograms.get(full);
		prefixes.set(full, prefix);
		histograms.set(full, known ? mergeHistograms(known, histogram) : histogram);
	}
	return {
		counters: addUp(
			dumps.flatMap((dump) => dump.counters),
			prefixes,
		),
		gauges: addUp(
			dumps.flatMap((dump) => dump.gauges),
			prefixes,
		),
		histograms,
		istio: mergeIstioSeries(dumps.flatMap((dump) => dump.istio)),
		prefixes,
	};
}

function addUp(blocks: readonly ValueBlock[], prefixes: Map<string, string>): ReadonlyMap<string, number> {
	const totals = new Map<string, number>();
	for (const { prefix, names, values } of blocks) {
		for (const [i, name] of names.entries()) {
			const full = prefix + name;
			prefixes.set(full, prefix);
			totals.set(full, (totals.get(full) ?? 0) + (values[i] ?? 0));
		}
	}
	return totals;
}
