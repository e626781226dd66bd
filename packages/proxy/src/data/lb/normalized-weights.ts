import type { HostEntry } from "./host-entry.ts";

export interface NormalizedWeight {
	readonly entry: HostEntry;
	/** Share of the whole: all of them add up to 1. */
	readonly weight: number;
}

/** Hosts' shares of a hash table; inside localities (weight ÷ sum of locality weights) when those are weighted. */
export function normalizeWeights(
	localities: readonly { readonly weight: number; readonly hosts: readonly HostEntry[] }[],
	localityWeighted: boolean,
): readonly NormalizedWeight[] {
	if (!localityWeighted)
		return normalizeHosts(
			localities.flatMap((l) => l.hosts),
			1,
		);
	const filled = localities.filter((l) => l.hosts.length > 0 && l.weight > 0);
	const total = filled.reduce((sum, l) => sum + l.weight, 0);
	return filled.flatMap((l) => normalizeHosts(l.hosts, l.weight / total));
}

function normalizeHosts(hosts: readonly HostEntry[], share: number): readonly NormalizedWeight[] {
	const total = hosts.reduce((sum, entry) => sum + entry.host.weight, 0);
	return hosts.map((entry) => ({ entry, weight: (entry.host.weight * share) / total }));
}

/** What a host is known by in a hash table: metadata `envoy.lb`.`hash_key`, else its name if wanted, else its address. */
export function hostHashKey(entry: HostEntry, useHostname: boolean): string {
	const key = entry.host.lbMetadata["hash_key"];
	if (typeof key === "string" && key !== "") return key;
	return useHostname && entry.host.hostname !== "" ? entry.host.hostname : entry.address;
}

/** A hash table over hosts: `attempt` > 0 asks for another host than the one of the attempt before. */
export interface HashTable {
	choose(hash: bigint, attempt: number): HostEntry | undefined;
}
