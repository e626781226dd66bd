import type { HostEntry } from "./host-entry.ts";
import { createMersenneTwister } from "./mersenne-twister.ts";
import type { HashTable, NormalizedWeight } from "./normalized-weights.ts";

/**
 * Consistent hashing with bounded loads: no host has more than `balanceFactor` percent of its share of the requests
 * under way. The order in which other hosts are tried depends on the hash alone.
 */
export function boundLoad(table: HashTable, weights: readonly NormalizedWeight[], balanceFactor: number): HashTable {
	if (balanceFactor === 0) return table;
	const weightOf = new Map(weights.map(({ entry, weight }) => [entry, weight]));
	return {
		choose(hash, attempt) {
			const host = table.choose(hash, attempt);
			if (host === undefined) return undefined;
			const load = overload(host, weightOf.get(host) ?? 0, balanceFactor);
			return load <= 1 ? host : probe(host, load, weights, balanceFactor, hash);
		},
	};
}

function overload(entry: HostEntry, weight: number, balanceFactor: number): number {
	const slots = Math.floor(((entry.totals.active + 1) * balanceFactor + 99) / 100);
	return entry.active / Math.max(Math.ceil(slots * weight), 1);
}

function probe(first: HostEntry, firstLoad: number, weights: readonly NormalizedWeight[], balanceFactor: number, hash: bigint): HostEntry {
	const random = createMersenneTwister(Number(hash & 0xffff_ffffn));
	const below = (limit: number) => {
		const divisor = Math.floor(2 ** 32 / limit);
		let x = limit;
		while (x >= limit) x = Math.floor(random() / divisor);
		return x;
	};
	const order = [...weights];
	let [best, bestLoad] = [first, firstLoad];
	for (let i = 0; i < order.length; i++) {
		const j = i + below(order.length - i);
		const chosen = order[j] as NormalizedWeight;
		order[j] = order[i] as NormalizedWeight;
		order[i] = chosen;
		if (chosen.entry === first) continue;
		const load = overload(chosen.entry, chosen.weight, balanceFactor);
		if (load <= 1) return chosen.entry;
		if (load < bestLoad) [best, bestLoad] = [chosen.entry, load];
	}
	return best;
}
