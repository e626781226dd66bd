import type { PickHost } from "./host-source.ts";

/** In turn, from a random start (each worker has its own sequence); by weight when weights differ. */
export const pickRoundRobin: PickHost = (source) => {
	if (source.edf) return source.edf.pick();
	const count = source.hosts.length;
	if (count === 0) return undefined;
	const index = source.next % count;
	source.next = index + 1;
	return source.hosts[index];
};
