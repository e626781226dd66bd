import { zoneAwareDefaults } from "../../config/zone-aware-defaults.ts";
import type { Cluster } from "../../config/clusters.ts";
import type { SharedWords } from "../../config/shared-state.ts";
import type { HostEntry } from "./host-entry.ts";
import type { ZoneInputs } from "./host-set.ts";
import type { HostSource } from "./host-source.ts";
import { isInPanic } from "./priority-load.ts";
import { standingOf } from "./priority-set.ts";
import { chooseZone, decideZones, groupByZone, type LocalHosts, type ZoneDecision } from "./zone-routing.ts";

export interface ZoneRouterInputs {
	readonly zones: ZoneInputs;
	readonly words: SharedWords;
	readonly random: () => number;
	readonly source: (hosts: readonly HostEntry[]) => HostSource;
}

const none: ZoneDecision = { kind: "none", why: undefined };

/** Zone-aware routing of one host set: its first priority, beside the hosts of the local cluster. */
export class ZoneRouter {
	readonly #inputs: ZoneRouterInputs;
	#version = -1;
	#local: LocalHosts | undefined;
	#decision: ZoneDecision = none;
	#isLocalInPanic = false;
	#routingEnabledPercent = zoneAwareDefaults.routingEnabledPercent;
	#healthy: readonly HostSource[] = [];
	#degraded: readonly HostSource[] = [];

	constructor(inputs: ZoneRouterInputs) {
		this.#inputs = inputs;
	}

	/** Whether the local cluster's hosts are others than they were when the zones were last looked at. */
	get isStale(): boolean {
		const local = this.#inputs.zones.local();
		return local !== this.#local || (local !== undefined && local.version !== this.#version);
	}

	/** `hosts`: of the first priority. */
	rebuild(hosts: readonly HostEntry[], cluster: Cluster): void {
		const { zones, words, source } = this.#inputs;
		const config = cluster.zoneAware ?? zoneAwareDefaults;
		const local = (this.#local = zones.local());
		this.#version = local?.version ?? -1;
		this.#routingEnabledPercent = config.routingEnabledPercent;
		this.#decision = none;
		if (local === undefined) return;
		zones.onEvent("recalculated");
		const standing = (entry: HostEntry) => standingOf(entry, words);
		const upstream = groupByZone(hosts, zones.own, standing);
		this.#decision = decideZones(upstream, groupByZone(local.hosts, zones.own, standing), config);
		if (this.#decision.kind === "none") {
			if (this.#decision.why !== undefined) zones.onEvent(this.#decision.why);
			return;
		}
		this.#isLocalInPanic = isLocalInPanic(local.hosts, standing, cluster.panicThresholdPercent);
		this.#healthy = upstream.map((zone) => source(zone.healthy));
		this.#degraded = upstream.map((zone) => source(zone.degraded));
	}

	/** undefined: zones do not matter to this request; `noHost`: it is to fail. */
	choose(isDegraded: boolean, failsOnPanic: boolean): HostSource | "noHost" | undefined {
		const decision = this.#decision;
		if (decision.kind === "none") return undefined;
		const { random, zones } = this.#inputs;
		if (this.#routingEnabledPercent < 100 && Math.floor(random() * 100) >= this.#routingEnabledPercent) return undefined;
		if (this.#isLocalInPanic) {
			zones.onEvent("localClusterNotOk");
			return failsOnPanic ? "noHost" : undefined;
		}
		return (isDegraded ? this.#degraded : this.#healthy)[chooseZone(decision, random, zones.onEvent)];
	}
}

function isLocalInPanic(hosts: readonly HostEntry[], standing: (entry: HostEntry) => string, thresholdPercent: number): boolean {
	const count = (wanted: string) => hosts.filter((entry) => standing(entry) === wanted).length;
	return isInPanic(
		{ total: hosts.length, healthy: count("healthy"), degraded: count("degraded"), excluded: count("excluded") },
		Math.min(100, thresholdPercent),
	);
}
