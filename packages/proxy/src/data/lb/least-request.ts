import type { HostEntry } from "./host-entry.ts";
import type { PickHost } from "./host-source.ts";

/** The least busy of `choiceCount` random samples (with replacement); with unequal weights, weight ÷ (active + 1)^bias in turn. */
export function createLeastRequest(choiceCount: number, random: () => number): PickHost {
	return (source) => {
		if (source.edf) return source.edf.pick();
		const { hosts } = source;
		let best: HostEntry | undefined;
		for (let i = 0; i < choiceCount; i++) {
			const sample = hosts[Math.floor(random() * hosts.length)];
			if (best === undefined || (sample !== undefined && sample.active < best.active)) best = sample;
		}
		return best;
	};
}

export function leastRequestWeight(activeRequestBias: number): (entry: HostEntry) => number {
	if (activeRequestBias === 0) return (entry) => entry.host.weight;
	if (activeRequestBias === 1) return (entry) => entry.host.weight / (entry.active + 1);
	return (entry) => entry.host.weight / (entry.active + 1) ** activeRequestBias;
}
