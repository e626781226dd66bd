import type { LocalityLoadBalancerSetting } from "@weft/api";
import type { Labels } from "../../model/labels.ts";
import type { Endpoint, Locality } from "../../model/service.ts";

// https://istio.io/latest/docs/reference/config/networking/destination-rule/#LocalityLoadBalancerSetting

/** Endpoints of one place, before they become a LocalityLbEndpoints. */
export interface LocalityGroup {
	readonly locality: Locality;
	readonly endpoints: readonly Endpoint[];
	readonly weight: number;
	readonly priority: number;
}

/** Where the client stands. */
export interface ClientPlace {
	readonly locality: Locality;
	readonly nodeName: string;
	/** Its labels and, as labels, its place: what failoverPriority may compare. */
	readonly labels: Labels;
}

export const nodeNameLabel = "kubernetes.io/hostname";
export const localityLabels = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"] as const;

export const weightOf = ({ weight }: Endpoint): number => (weight > 0 ? weight : 1);

const sumOf = (endpoints: readonly Endpoint[]): number => endpoints.reduce((sum, endpoint) => sum + weightOf(endpoint), 0);

const localityKey = ({ region, zone, subZone, text }: Locality): string => text ?? `${region}/${zone}/${subZone}`;

/** By locality, sorted, so that the same endpoints give the same bytes. */
export function groupByLocality(endpoints: readonly Endpoint[]): readonly LocalityGroup[] {
	const groups = new Map<string, Endpoint[]>();
	for (const endpoint of endpoints) {
		const key = localityKey(endpoint.locality);
		const group = groups.get(key);
		if (group) group.push(endpoint);
		else groups.set(key, [endpoint]);
	}
	return [...groups]
		.sort(([a], [b]) => (a < b ? -1 : 1))
		.map(([, members]) => ({ locality: (members[0] as Endpoint).locality, endpoints: members, weight: sumOf(members), priority: 0 }));
}

/** `from`/`to` patterns: `*`, `r1/*`, `r1/z1/*`, `r1/z1`; a missing part matches anything. */
function covers(pattern: string, locality: Locality): boolean {
	const [region = "*", zone = "*", subZone = "*"] = pattern.split("/");
	if (region === "*") return true;
	if (region !== locality.region) return false;
	if (zone === "*" || zone === "") return true;
	if (zone !== locality.zone) return false;
	return subZone === "*" || subZone === "" || subZone === locality.subZone;
}

/** Weights or priorities as seen from the client: `distribute` first; priorities only with outlier detection (or by force). */
export function arrangeByLocality(
	groups: readonly LocalityGroup[],
	setting: LocalityLoadBalancerSetting,
	place: ClientPlace,
	failover: boolean,
): readonly LocalityGroup[] {
	if (setting.distribute && setting.distribute.length > 0) return distribute(groups, setting.distribute, place.locality);
	if (!failover) return groups;
	const { failover: regions = [], failoverPriority = [] } = setting;
	const byLabels = failoverPriority.length > 0 ? prioritizeByLabels(groups, failoverPriority, place) : groups;
	return failoverPriority.length > 0 && regions.length === 0 ? byLabels : prioritizeByDistance(byLabels, regions, place.locality);
}

type Failover = NonNullable<LocalityLoadBalancerSetting["failover"]>;
const distances = 5;

/** By place, within the priorities that there are already. */
function prioritizeByDistance(groups: readonly LocalityGroup[], failover: Failover, client: Locality): readonly LocalityGroup[] {
	return compact(groups.map((group) => ({ ...group, priority: group.priority * distances + distance(group.locality, client, failover) })));
}

type Distribute = NonNullable<LocalityLoadBalancerSetting["distribute"]>[number];

/** The first `from` that matches the client gives each place its share; places that it does not name stay on the list, with nobody in them. */
function distribute(groups: readonly LocalityGroup[], rules: readonly Distribute[], client: Locality): readonly LocalityGroup[] {
	const rule = rules.find(({ from }) => covers(from ?? "", client));
	if (!rule) return groups;
	const remaining = new Set(groups);
	const weights = new Map<LocalityGroup, number>();
	// The more exact pattern takes its places first.
	const shares = Object.entries(rule.to ?? {}).sort(([a], [b]) => b.split("/").length - a.split("/").length || (a < b ? -1 : 1));
	for (const [pattern, share] of shares) {
		const matched = [...remaining].filter(({ locality }) => covers(pattern, locality));
		const total = matched.reduce((sum, { weight }) => sum + weight, 0);
		for (const group of matched) {
			remaining.delete(group);
			weights.set(group, Math.ceil((group.weight * share) / total) || group.weight);
		}
	}
	return groups.map((group) => (remaining.has(group) ? { ...group, endpoints: [] } : { ...group, weight: weights.get(group) ?? group.weight }));
}

/** 0 the same sub-zone … 3 another region; 4 a region that is not the one to fail over to. */
function distance(locality: Locality, client: Locality, failover: Failover): number {
	if (locality.region === client.region) {
		if (locality.zone !== client.zone) return 2;
		return locality.subZone === client.subZone ? 0 : 1;
	}
	const rule = failover.find(({ from }) => from === client.region);
	return rule && rule.to !== locality.region ? 4 : 3;
}

/** Priorities must be 0, 1, 2 … without gaps (envoy.config.endpoint.v3.LocalityLbEndpoints.priority). */
function compact(groups: readonly LocalityGroup[]): readonly LocalityGroup[] {
	const used = [...new Set(groups.map(({ priority }) => priority))].sort((a, b) => a - b);
	return groups.map((group) => ({ ...group, priority: used.indexOf(group.priority) }));
}

/** Labels compared in order; the more of them agree before the first that does not, the sooner an endpoint's turn comes. */
function prioritizeByLabels(groups: readonly LocalityGroup[], keys: readonly string[], place: ClientPlace): readonly LocalityGroup[] {
	const priorityOf = (endpoint: Endpoint): number => {
		const labels = placeLabels(endpoint.labels, endpoint.locality, endpoint.network, endpoint.nodeName);
		const agreed = keys.findIndex((entry) => !agrees(entry, place.labels, labels));
		return agreed < 0 ? 0 : keys.length - agreed;
	};
	const split = groups.flatMap((group) => {
		const byPriority = Map.groupBy(group.endpoints, priorityOf);
		return [...byPriority].map(([priority, endpoints]) => ({ locality: group.locality, endpoints, weight: sumOf(endpoints), priority }));
	});
	return compact(split);
}

/** `key` wants equal values on both sides, `key=value` wants that value at the endpoint. */
function agrees(entry: string, client: Labels, endpoint: Labels): boolean {
	const equals = entry.indexOf("=");
	if (equals >= 0) return endpoint[entry.slice(0, equals)] === entry.slice(equals + 1);
	return (client[entry] ?? "") === (endpoint[entry] ?? "");
}

export function placeLabels(labels: Labels, { region, zone, subZone }: Locality, network: string, nodeName: string): Labels {
	return {
		...labels,
		"topology.istio.io/network": network,
		"topology.kubernetes.io/region": region,
		"topology.kubernetes.io/zone": zone,
		"topology.istio.io/subzone": subZone,
		[nodeNameLabel]: nodeName,
	};
}
