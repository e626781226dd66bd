import type { Cluster } from "../../config/clusters.ts";
import type { ClusterHosts } from "../../config/hosts.ts";
import type { SharedWords } from "../../config/shared-state.ts";
import { BalancedHostSet } from "./balanced-host-set.ts";
import type { BalancerInputs } from "./balancer.ts";
import { DynamicHostSet, type DynamicHostsInputs } from "./dynamic-hosts.ts";
import type { ChooseContext, HostEntry, Locality } from "./host-entry.ts";
import { createOriginalDstHostSet } from "./original-dst.ts";
import { PromisedHosts } from "./promised-hosts.ts";
import { SubsetHostSet } from "./subset-host-set.ts";
import type { LocalHosts, ZoneEvent } from "./zone-routing.ts";

/**
 * The hosts of one cluster in one worker and the choice among them. The router asks `choose` per attempt, brackets each
 * request with `beginRequest`/`endRequest`, and keeps its pools in `HostEntry.attachment`.
 */
export interface HostSet {
	/** undefined: no host at all, answer 503 `no healthy upstream` (UH). */
	choose(context: ChooseContext): HostEntry | undefined;
	/** Entries whose address stays keep all their state; the returned ones are gone: close their idle connections. */
	update(hosts: ClusterHosts, cluster: Cluster): readonly HostEntry[];
	entries(): Iterable<HostEntry>;
	membership(): Membership;
	/** Choices made in panic since the start. */
	readonly panics: number;
	/** Whom a choice will take that is not due yet; undefined: nobody, or more than one looks ahead. Absent: choices depend on the request. */
	peek?(): HostEntry | undefined;
	/** For other clusters, where this one's hosts are the proxy and its like; undefined: its kind of cluster has no zones. */
	readonly local?: LocalHosts;
}

export interface Membership {
	readonly total: number;
	readonly healthy: number;
	readonly degraded: number;
	readonly excluded: number;
}

export interface ZoneInputs {
	/** Where the proxy runs. */
	readonly own: Locality;
	/** undefined: the local cluster is not there yet. */
	readonly local: () => LocalHosts | undefined;
	readonly onEvent: (event: ZoneEvent) => void;
}

export interface HostSetInputs extends BalancerInputs {
	readonly words: SharedWords;
	/** A choice was made in panic. */
	readonly onPanic?: () => void;
	/** A subset was taken, or none was there and the fallback was. */
	readonly onSubset?: (kind: "selected" | "fallback" | "fallbackPanic") => void;
	/** Zones are looked at; undefined: the proxy does not know whom it belongs to. */
	readonly zones?: ZoneInputs;
	/** For dynamic forward proxies. */
	readonly dynamic?: Omit<DynamicHostsInputs, "nowMs">;
	/** The entries are another set's: this one only chooses among them. */
	readonly entryOf?: (address: string) => HostEntry | undefined;
}

export function createHostSet(hosts: ClusterHosts, cluster: Cluster, inputs: HostSetInputs): HostSet {
	if (cluster.kind === "originalDst") return createOriginalDstHostSet(inputs.nowMs);
	if (cluster.dynamicHosts !== undefined && inputs.dynamic !== undefined)
		return new DynamicHostSet(cluster.dynamicHosts, { ...inputs.dynamic, nowMs: inputs.nowMs });
	const set = cluster.subsets === undefined ? new BalancedHostSet(inputs) : new SubsetHostSet(inputs);
	set.update(hosts, cluster);
	const looksAhead = cluster.predictivePreconnectRatio !== undefined && cluster.subsets === undefined;
	// The policies that Envoy looks ahead with: others go by what the hosts do, or by the request.
	return looksAhead && (cluster.lb.kind === "roundRobin" || cluster.lb.kind === "random") ? new PromisedHosts(set) : set;
}
