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

/** The least busy of all hosts; each of those that are equally so with the same chance. */
export function createFullScan(random: () => number): PickHost {
	return (source) => {
		if (source.edf) return source.edf.pick();
		let best: HostEntry | undefined;
		let ties = 0;
		for (const entry of source.hosts) {
			if (best === undefined || entry.active < best.active) {
				best = entry;
				ties = 1;
			} else if (entry.active === best.active && Math.floor(random() * ++ties) === 0) best = entry;
		}
		return best;
	};
}

export function leastRequestWeight(activeRequestBias: number): (entry: HostEntry) => number {
	if (activeRequestBias === 0) return (entry) => entry.host.weight;
	if (activeRequestBias === 1) return (entry) => entry.host.weight / (entry.active + 1);
	return (entry) => entry.host.weight / (entry.active + 1) ** activeRequestBias;
}
