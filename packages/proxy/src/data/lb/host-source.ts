import type { SlowStart } from "../../config/load-balancing.ts";
import { createEdfScheduler, type EdfScheduler } from "./edf-scheduler.ts";
import type { HostEntry } from "./host-entry.ts";

/** The hosts that one choice is made among (the healthy ones of a priority, of a locality, …) and where its algorithm stands. */
export interface HostSource {
	readonly hosts: readonly HostEntry[];
	/** Round robin's next index; any non-negative integer. */
	next: number;
	/** Only when weights differ or a host starts slowly. */
	edf: EdfScheduler<HostEntry> | undefined;
}

export type PickHost = (source: HostSource) => HostEntry | undefined;

export interface EdfOptions {
	readonly slowStart: SlowStart | undefined;
	/** A host's weight before slow start. */
	readonly weightOf: (entry: HostEntry) => number;
	readonly random: () => number;
	readonly nowMs: () => number;
}

export function hasEqualWeights(hosts: readonly HostEntry[]): boolean {
	return hosts.every((entry) => entry.host.weight === hosts[0]?.host.weight);
}

/** Until when (epoch ms) some of these hosts are in their slow-start window; 0: none is. */
export function slowStartEndMs(hosts: readonly HostEntry[], slowStart: SlowStart | undefined, nowMs: number): number {
	if (!slowStart) return 0;
	let end = 0;
	for (const entry of hosts) end = Math.max(end, entry.addedAtMs + slowStart.windowMs);
	return end > nowMs ? end : 0;
}

/** weight × max(least share, (age / window)^(1 / aggression)): Envoy's slow-start factor. */
export function slowStartFactor(entry: HostEntry, slowStart: SlowStart, nowMs: number): number {
	const ageMs = Math.max(nowMs - entry.addedAtMs, 1);
	if (ageMs >= slowStart.windowMs) return 1;
	const aggression = slowStart.aggression > 0 ? slowStart.aggression : 1;
	return Math.max(slowStart.minWeightPercent / 100, (ageMs / slowStart.windowMs) ** (1 / aggression));
}

/** A scheduler for hosts whose weights differ or which start slowly, else undefined: then plain indexing is right and faster. */
export function buildHostScheduler(hosts: readonly HostEntry[], options: EdfOptions): EdfScheduler<HostEntry> | undefined {
	const { slowStart, weightOf, random, nowMs } = options;
	const starting = slowStartEndMs(hosts, slowStart, slowStart ? nowMs() : 0) > 0;
	if (hosts.length < 2 || (hasEqualWeights(hosts) && !starting)) return undefined;
	const weight = starting && slowStart ? (entry: HostEntry) => weightOf(entry) * slowStartFactor(entry, slowStart, nowMs()) : weightOf;
	return createEdfScheduler(hosts, weight, Math.floor(random() * hosts.length));
}
