import type { HostEntry } from "./host-entry.ts";
import { hostHashKey, type HashTable, type NormalizedWeight } from "./normalized-weights.ts";

export interface RingOptions {
	readonly ringMin: number;
	readonly ringMax: number;
	readonly useHostname: boolean;
	readonly hashKey: (key: string) => bigint;
}

/** Envoy's ketama ring: every host at `<key>_<i>`, as many times as its weight asks; a hash belongs to the next point on the ring. */
export function buildRing(weights: readonly NormalizedWeight[], { ringMin, ringMax, useHostname, hashKey }: RingOptions): HashTable {
	if (weights.length === 0) return { choose: () => undefined };
	const least = weights.reduce((min, w) => Math.min(min, w.weight), 1);
	const scale = Math.min(Math.ceil(least * ringMin) / least, ringMax);
	const hashes: bigint[] = [];
	const owners: HostEntry[] = [];
	let target = 0;
	for (const { entry, weight } of weights) {
		const key = `${hostHashKey(entry, useHostname)}_`;
		target += scale * weight;
		for (let i = 0; hashes.length < target; i++) {
			hashes.push(hashKey(key + i));
			owners.push(entry);
		}
	}
	return createRing(hashes, owners);
}

/** The sorted hashes as two 32-bit halves: looking up makes no bigints. */
function createRing(hashes: readonly bigint[], owners: readonly HostEntry[]): HashTable {
	const order = Uint32Array.from(hashes.keys()).sort((a, b) => {
		const [x, y] = [hashes[a] as bigint, hashes[b] as bigint];
		return x < y ? -1 : x > y ? 1 : a - b;
	});
	const size = order.length;
	const high = new Uint32Array(size);
	const low = new Uint32Array(size);
	const hosts = Array.from(order, (from, i) => {
		const hash = hashes[from] as bigint;
		high[i] = Number(hash >> 32n);
		low[i] = Number(hash & 0xffff_ffffn);
		return owners[from] as HostEntry;
	});
	return {
		choose(hash, attempt) {
			const h = Number(hash >> 32n);
			const l = Number(hash & 0xffff_ffffn);
			let from = 0;
			let to = size;
			while (from < to) {
				const middle = (from + to) >>> 1;
				const isBelow = (high[middle] as number) < h || (high[middle] === h && (low[middle] as number) < l);
				if (isBelow) from = middle + 1;
				else to = middle;
			}
			return hosts[((from === size ? 0 : from) + attempt) % size];
		},
	};
}
