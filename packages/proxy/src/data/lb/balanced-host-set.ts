import type { Cluster } from "../../config/clusters.ts";
import type { ClusterHosts, Host } from "../../config/hosts.ts";
import { readEjectionGeneration } from "../../config/shared-state.ts";
import { type Balancer, createBalancer } from "./balancer.ts";
import { type ChooseContext, createHostCounts, formatSocketAddress, type HostEntry, type Locality } from "./host-entry.ts";
import type { HostSet, HostSetInputs, Membership } from "./host-set.ts";
import { choosePriority, distributePriorityLoad, type PriorityLoad } from "./priority-load.ts";
import type { LocalHosts } from "./zone-routing.ts";
import { ZoneRouter } from "./zone-router.ts";
import { buildPrioritySet, type LocalityEntries, type PrioritySet, standingOf } from "./priority-set.ts";

const defaultOverprovisioningFactor = 140;

/** Hosts by priority and locality, and one balancer among them. */
export class BalancedHostSet implements HostSet {
	panics = 0;
	readonly #inputs: HostSetInputs;
	readonly #totals = { active: 0 };
	readonly #seed: number;
	#byAddress = new Map<string, HostEntry>();
	#localities: readonly (readonly LocalityEntries[])[] = [];
	#balancer: Balancer | undefined;
	#cluster: Cluster | undefined;
	#overprovisioning = defaultOverprovisioningFactor;
	#priorities: readonly PrioritySet[] = [];
	#load: PriorityLoad = { healthy: [], degraded: [], panic: [] };
	#generation = -1;
	/** undefined: zones are not looked at. */
	#zones: ZoneRouter | undefined;
	#failsOnPanic = false;
	/** Of the first priority, for clusters whose local one this is. */
	local: LocalHosts = { version: 0, hosts: [] };
	/** When slow start ends and plain schedules are right again; 0: not running. */
	#rebuildAtMs = 0;

	constructor(inputs: HostSetInputs) {
		this.#inputs = inputs;
		this.#seed = Math.floor(inputs.random() * 0x4000_0000);
	}

	update(hosts: ClusterHosts, cluster: Cluster): readonly HostEntry[] {
		const known = this.#byAddress;
		if (this.#cluster === undefined || !isSameBalancer(this.#cluster, cluster)) this.#balancer = createBalancer(cluster.lb, this.#inputs);
		this.#cluster = cluster;
		this.#overprovisioning = hosts.overprovisioningFactor ?? cluster.overprovisioningFactor;
		this.#byAddress = new Map();
		this.#localities = hosts.priorities.map((localities, priority) =>
			localities.map((locality) => ({ weight: locality.weight, hosts: locality.hosts.flatMap((host) => this.#enter(host, priority, locality, known)) })),
		);
		this.#failsOnPanic = cluster.zoneAware?.failsOnPanic === true && this.#balancer?.kind === "pick";
		this.#zones = this.#createZoneRouter();
		this.local = { version: this.local.version + 1, hosts: this.#localities[0]?.flatMap((locality) => locality.hosts) ?? [] };
		this.#rebuild();
		const gone = [...known.values()].filter((entry) => this.#byAddress.get(entry.address) !== entry);
		if (this.#inputs.entryOf === undefined) for (const entry of gone) entry.inUse = false;
		return gone;
	}

	/** Hashing has no zones, as in Envoy. */
	#createZoneRouter(): ZoneRouter | undefined {
		const balancer = this.#balancer;
		const { random, words, zones } = this.#inputs;
		if (zones === undefined || balancer?.kind !== "pick") return undefined;
		return new ZoneRouter({ zones, words, random, source: (hosts) => ({ hosts, next: this.#seed, edf: balancer.schedule(hosts) }) });
	}

	/** The known entry with the host's newest configuration, or a new one; empty for an address that is listed twice. */
	#enter(host: Host, priority: number, locality: Locality, known: ReadonlyMap<string, HostEntry>): readonly HostEntry[] {
		const address = formatSocketAddress(host.address);
		if (this.#byAddress.has(address)) return [];
		const entry = known.get(address) ??
			this.#inputs.entryOf?.(address) ?? {
				host,
				address,
				priority,
				locality,
				active: 0,
				addedAtMs: this.#inputs.nowMs(),
				latencyMs: -1,
				latencyAtMs: 0,
				inUse: true,
				attachment: undefined,
				counts: createHostCounts(),
				totals: this.#totals,
			};
		entry.host = host;
		entry.priority = priority;
		entry.locality = locality;
		this.#byAddress.set(address, entry);
		return [entry];
	}

	#rebuild(): void {
		const [balancer, cluster] = [this.#balancer, this.#cluster];
		if (!balancer || !cluster) return;
		const { words, random, nowMs } = this.#inputs;
		this.#generation = readEjectionGeneration(words);
		this.#priorities = this.#localities.map((localities, i) =>
			buildPrioritySet({
				localities,
				balancer,
				words,
				random,
				localityWeighted: cluster.localityWeighted,
				overprovisioningFactor: this.#overprovisioning,
				seed: this.#seed,
				previous: this.#priorities[i],
			}),
		);
		this.#load = this.#distribute([]);
		this.#zones?.rebuild(this.local.hosts, cluster);
		this.#rebuildAtMs = this.#slowStartEnd(balancer, nowMs);
	}

	#distribute(excludedPriorities: readonly number[]): PriorityLoad {
		const threshold = this.#cluster?.panicThresholdPercent ?? 50;
		return distributePriorityLoad(
			this.#priorities.map((p) => p.counts),
			this.#overprovisioning,
			threshold,
			excludedPriorities,
		);
	}

	#slowStartEnd(balancer: Balancer, nowMs: () => number): number {
		if (balancer.kind !== "pick" || balancer.slowStartWindowMs === 0) return 0;
		const end = Math.max(0, ...Array.from(this.#byAddress.values(), (entry) => entry.addedAtMs + balancer.slowStartWindowMs));
		return end > nowMs() ? end : 0;
	}

	choose(context: ChooseContext): HostEntry | undefined {
		if (readEjectionGeneration(this.#inputs.words) !== this.#generation || this.#zones?.isStale === true) this.#rebuild();
		else if (this.#rebuildAtMs !== 0 && this.#inputs.nowMs() >= this.#rebuildAtMs) this.#rebuild();
		if (this.#priorities.length === 0) {
			if (this.#cluster?.panicThresholdPercent !== 0) this.#panic();
			return undefined;
		}
		if (context.override !== undefined) {
			const entry = this.#byAddress.get(context.override.address);
			const standing = entry && standingOf(entry, this.#inputs.words);
			if (standing === "healthy" || standing === "degraded") return entry;
			if (entry?.host.health === "draining" && this.#cluster?.sessionsOutliveDraining) return entry;
			if (context.override.strict) return undefined;
		}
		const load = context.excludedPriorities.length === 0 ? this.#load : this.#distribute(context.excludedPriorities);
		for (let attempt = 0; ; attempt++) {
			const entry = this.#chooseOnce(context, load, attempt);
			if (entry === undefined || attempt >= context.attemptsMax || context.avoided?.avoids(entry) !== true) return entry;
		}
	}

	#chooseOnce(context: ChooseContext, load: PriorityLoad, attempt: number): HostEntry | undefined {
		const balancer = this.#balancer;
		if (balancer === undefined) return undefined;
		const { random } = this.#inputs;
		const hash = balancer.kind === "hash" ? (context.hash ?? randomHash(random)) : 0n;
		// Without other priorities there is nothing to draw lots for.
		const isSimple = this.#priorities.length === 1 && load.healthy[0] === 100;
		const point = isSimple ? 0 : balancer.kind === "hash" ? Number(hash % 100n) : Math.floor(random() * 100);
		const chosen = choosePriority(load, point);
		const priority = chosen < 0 ? -1 - chosen : chosen;
		const set = this.#priorities[priority];
		if (set === undefined) return undefined;
		const panic = load.panic[priority] === true;
		if (panic) {
			this.#panic();
			if (this.#failsOnPanic) return undefined;
		}
		if (balancer.kind === "hash") return set.tableOf(panic)?.choose(hash, attempt);
		if (panic) return balancer.pick(set.all);
		const isDegraded = chosen < 0;
		const locality = (isDegraded ? set.degradedLocalities : set.healthyLocalities)?.pick();
		if (locality === undefined && priority === 0 && this.#zones !== undefined) {
			const zone = this.#zones.choose(isDegraded, this.#failsOnPanic);
			if (zone === "noHost") return undefined;
			if (zone !== undefined) return balancer.pick(zone);
		}
		return balancer.pick(locality ?? (isDegraded ? set.degraded : set.healthy));
	}

	#panic(): void {
		this.panics++;
		this.#inputs.onPanic?.();
	}

	entryAt(address: string): HostEntry | undefined {
		return this.#byAddress.get(address);
	}

	entries(): Iterable<HostEntry> {
		return this.#byAddress.values();
	}

	membership(): Membership {
		const counts = { total: 0, healthy: 0, degraded: 0, excluded: 0 };
		for (const entry of this.#byAddress.values()) {
			counts.total++;
			const standing = standingOf(entry, this.#inputs.words);
			if (standing !== "unhealthy") counts[standing]++;
		}
		return counts;
	}
}

function randomHash(random: () => number): bigint {
	return (BigInt(Math.floor(random() * 0x1_0000_0000)) << 32n) | BigInt(Math.floor(random() * 0x1_0000_0000));
}

/** Rebuilding the balancer restarts its sequences, so only do it when its configuration is another. */
function isSameBalancer(a: Cluster, b: Cluster): boolean {
	return JSON.stringify(a.lb) === JSON.stringify(b.lb);
}
