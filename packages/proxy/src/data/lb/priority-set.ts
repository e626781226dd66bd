import type { Host } from "../../config/hosts.ts";
import { healthFlags, isEjected, readHealthFlags, type SharedWords } from "../../config/shared-state.ts";
import { createEdfScheduler, type EdfScheduler } from "./edf-scheduler.ts";
import type { Balancer } from "./balancer.ts";
import type { HostEntry } from "./host-entry.ts";
import type { HostSource } from "./host-source.ts";
import { type HashTable, normalizeWeights } from "./normalized-weights.ts";
import type { PriorityCounts } from "./priority-load.ts";

export interface LocalityEntries {
	readonly weight: number;
	readonly hosts: readonly HostEntry[];
}

/** One priority, its hosts sorted by what they are good for, and the sources or tables that choices are made from. */
export interface PrioritySet {
	readonly counts: PriorityCounts;
	readonly all: HostSource;
	readonly healthy: HostSource;
	readonly degraded: HostSource;
	/** Undefined unless localities are weighted and some weight counts. */
	readonly healthyLocalities: EdfScheduler<HostSource> | undefined;
	readonly degradedLocalities: EdfScheduler<HostSource> | undefined;
	/** Built on first use: the healthy hosts' table, and the one of all hosts for panic. */
	tableOf(panic: boolean): HashTable | undefined;
}

export interface PrioritySetOptions {
	readonly localities: readonly LocalityEntries[];
	readonly balancer: Balancer;
	readonly words: SharedWords;
	readonly localityWeighted: boolean;
	readonly overprovisioningFactor: number;
	readonly seed: number;
	readonly random: () => number;
	readonly previous: PrioritySet | undefined;
}

export type Standing = "healthy" | "degraded" | "unhealthy" | "excluded";

const excluding = healthFlags.pendingActiveHc | healthFlags.excludedViaImmediateHcFail;

/** What the control plane, active checks and the outlier detection say together: the worst of it holds. */
export function hostStanding({ health, slot }: Pick<Host, "health" | "slot">, words: SharedWords): Standing {
	if (health === "draining") return "excluded";
	const flags = readHealthFlags(words, slot);
	if ((flags & excluding) !== 0) return "excluded";
	if (health === "unhealthy" || (flags & healthFlags.failedActiveHc) !== 0 || isEjected(words, slot)) return "unhealthy";
	return (flags & healthFlags.degradedActiveHc) !== 0 ? "degraded" : health;
}

export function standingOf(entry: HostEntry, words: SharedWords): Standing {
	return hostStanding(entry.host, words);
}

export function buildPrioritySet(options: PrioritySetOptions): PrioritySet {
	const { localities, balancer, words, previous, seed } = options;
	const schedule = balancer.kind === "pick" ? balancer.schedule : () => undefined;
	const source = (hosts: readonly HostEntry[], next = seed): HostSource => ({ hosts, next, edf: schedule(hosts) });
	const all = localities.flatMap((l) => l.hosts);
	const standings = new Map(all.map((entry) => [entry, standingOf(entry, words)]));
	const of = (standing: Standing) => (entry: HostEntry) => standings.get(entry) === standing;
	const usable = all.filter((entry) => standings.get(entry) !== "excluded");
	const healthy = source(all.filter(of("healthy")), previous?.healthy.next);
	const degraded = source(all.filter(of("degraded")), previous?.degraded.next);
	const schedulerOf = (standing: Standing) => buildLocalityScheduler(options, of(standing), of("excluded"), source);
	const weightsOf = (keep: (entry: HostEntry) => boolean) =>
		normalizeWeights(
			localities.map((l) => ({ weight: l.weight, hosts: l.hosts.filter(keep) })),
			options.localityWeighted,
		);
	const tables: (HashTable | undefined)[] = [undefined, undefined];
	return {
		counts: { total: all.length, healthy: healthy.hosts.length, degraded: degraded.hosts.length, excluded: all.length - usable.length },
		all: source(usable, previous?.all.next),
		healthy,
		degraded,
		healthyLocalities: options.localityWeighted ? schedulerOf("healthy") : undefined,
		degradedLocalities: options.localityWeighted ? schedulerOf("degraded") : undefined,
		tableOf(panic) {
			if (balancer.kind !== "hash") return undefined;
			const index = panic ? 1 : 0;
			tables[index] ??= balancer.build(weightsOf(panic ? (entry) => !of("excluded")(entry) : of("healthy")));
			return tables[index];
		},
	};
}

/** Localities by weight × min(1, overprovisioning × share of good hosts), so that a half-dead zone gets less. */
function buildLocalityScheduler(
	{ localities, overprovisioningFactor, random }: PrioritySetOptions,
	isEligible: (entry: HostEntry) => boolean,
	isExcluded: (entry: HostEntry) => boolean,
	source: (hosts: readonly HostEntry[]) => HostSource,
): EdfScheduler<HostSource> | undefined {
	const weights = new Map<HostSource, number>();
	for (const { weight, hosts } of localities) {
		const eligible = hosts.filter(isEligible);
		const whole = hosts.length - hosts.filter(isExcluded).length;
		if (eligible.length === 0 || weight === 0) continue;
		weights.set(source(eligible), weight * Math.min(1, (overprovisioningFactor / 100) * (eligible.length / whole)));
	}
	if (weights.size === 0) return undefined;
	return createEdfScheduler([...weights.keys()], (s) => weights.get(s) ?? 0, Math.floor(random() * weights.size));
}
