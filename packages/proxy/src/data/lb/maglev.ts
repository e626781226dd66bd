import type { Hash64 } from "./hash.ts";
import type { HostEntry } from "./host-entry.ts";
import { hostHashKey, type HashTable, type NormalizedWeight } from "./normalized-weights.ts";

interface BuildEntry {
	readonly entry: HostEntry;
	readonly skip: number;
	readonly weight: number;
	/** Position of the next slot of this host's permutation. */
	position: number;
	target: number;
}

const allBits = 0xffff_ffff_ffff_ffffn;

/** Google's Maglev table (listing 1 of the paper) with Envoy's weights: a host of half the greatest weight takes a slot every other round. */
export function buildMaglev(weights: readonly NormalizedWeight[], tableSize: number, useHostname: boolean, hash64: Hash64): HashTable {
	if (weights.length === 0) return { choose: () => undefined };
	const entries = buildEntries(weights, tableSize, useHostname, hash64);
	const greatest = weights.reduce((max, w) => Math.max(max, w.weight), 0);
	const table = new Array<HostEntry | undefined>(tableSize).fill(undefined);
	let filled = 0;
	for (let round = 1; filled < tableSize; round++) {
		for (let i = 0; i < entries.length && filled < tableSize; i++) {
			const build = entries[i] as BuildEntry;
			if (round * build.weight < build.target) continue;
			build.target += greatest;
			while (table[build.position] !== undefined) build.position = (build.position + build.skip) % tableSize;
			table[build.position] = build.entry;
			filled++;
		}
	}
	const size = BigInt(tableSize);
	return {
		choose(hash, attempt) {
			// A retry flips most bits, so that retries of one host's requests spread over all others.
			const mixed = attempt > 0 ? hash ^ (allBits - BigInt(attempt) + 1n) : hash;
			return table[Number(mixed % size)];
		},
	};
}

/** Sorted by key: the table must not depend on the order in which hosts were announced. */
function buildEntries(weights: readonly NormalizedWeight[], tableSize: number, useHostname: boolean, hash64: Hash64): readonly BuildEntry[] {
	const size = BigInt(tableSize);
	return weights
		.map(({ entry, weight }) => ({ entry, weight, key: hostHashKey(entry, useHostname) }))
		.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
		.map(({ entry, weight, key }) => ({
			entry,
			weight,
			position: Number(hash64(key) % size),
			skip: Number(hash64(key, 1n) % (size - 1n)) + 1,
			target: 0,
		}));
}
