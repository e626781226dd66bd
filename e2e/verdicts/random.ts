/** A seeded source of choices: the same seed gives the same cases on every machine. */
export interface Random {
	/** 0 ≤ n < below. */
	below(below: number): number;
	chance(probability: number): boolean;
	pick<T>(items: readonly T[]): T;
	/** Between `least` and `most` of what `make` gives. */
	some<T>(least: number, most: number, make: () => T): readonly T[];
}

/** mulberry32. */
export function createRandom(seed: number): Random {
	let state = seed >>> 0;
	const next = () => {
		state = (state + 0x6d2b79f5) >>> 0;
		let t = state;
		t = Math.imul(t ^ (t >>> 15), t | 1);
		t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
		return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
	};
	const below = (count: number) => Math.floor(next() * count);
	return {
		below,
		chance: (probability) => next() < probability,
		pick: <T>(items: readonly T[]) => items[below(items.length)] as T,
		some: <T>(least: number, most: number, make: () => T) => Array.from({ length: least + below(most - least + 1) }, make),
	};
}
