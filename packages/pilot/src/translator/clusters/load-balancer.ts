import type { LoadBalancerSettings, LocalityLoadBalancerSetting } from "@weft/api";
import { Cluster_DiscoveryType, Cluster_LbPolicy } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import type { Service } from "../../model/service.ts";
import { durationOf } from "../routes/values.ts";

const defaultRingSize = 1024n;
type Simple = NonNullable<LoadBalancerSettings["simple"]>;

const policies: Readonly<Record<Simple, number>> = {
	UNSPECIFIED: Cluster_LbPolicy.LEAST_REQUEST,
	LEAST_CONN: Cluster_LbPolicy.LEAST_REQUEST,
	LEAST_REQUEST: Cluster_LbPolicy.LEAST_REQUEST,
	RANDOM: Cluster_LbPolicy.RANDOM,
	ROUND_ROBIN: Cluster_LbPolicy.ROUND_ROBIN,
	PASSTHROUGH: Cluster_LbPolicy.CLUSTER_PROVIDED,
};

/** lb_policy and what belongs to it, for a cluster of the given discovery type. */
export function loadBalancer(settings: LoadBalancerSettings | undefined, type: number): object {
	if (type === Cluster_DiscoveryType.ORIGINAL_DST) return { lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED };
	const hash = settings?.consistentHash;
	if (hash?.maglev)
		return { lbPolicy: Cluster_LbPolicy.MAGLEV, ...(hash.maglev.tableSize && { maglevLbConfig: { tableSize: BigInt(hash.maglev.tableSize) } }) };
	if (hash) {
		const size = hash.ringHash?.minimumRingSize ?? hash.minimumRingSize;
		return { lbPolicy: Cluster_LbPolicy.RING_HASH, ringHashLbConfig: { minimumRingSize: size ? BigInt(size) : defaultRingSize } };
	}
	const lbPolicy = policies[settings?.simple ?? "UNSPECIFIED"];
	return { lbPolicy, ...slowStart(settings, lbPolicy) };
}

/** Only these two algorithms of Envoy know slow start. */
function slowStart(settings: LoadBalancerSettings | undefined, lbPolicy: number): object {
	const window = durationOf(settings?.warmup?.duration ?? settings?.warmupDurationSecs);
	if (!window) return {};
	const { aggression = 1, minimumPercent = 10 } = settings?.warmup ?? {};
	const slowStartConfig = {
		slowStartWindow: window,
		...(settings?.warmup && { aggression: { defaultValue: aggression, runtimeKey }, minWeightPercent: { value: minimumPercent } }),
	};
	if (lbPolicy === Cluster_LbPolicy.ROUND_ROBIN) return { roundRobinLbConfig: { slowStartConfig } };
	return lbPolicy === Cluster_LbPolicy.LEAST_REQUEST ? { leastRequestLbConfig: { slowStartConfig } } : {};
}

/** Envoy demands some runtime key beside a default value; Istio writes this one, which nobody sets. */
const runtimeKey = "(";

export interface LocalitySetting {
	readonly setting: LocalityLoadBalancerSetting;
	/** Priorities count even without outlier detection. */
	readonly force: boolean;
}

const sameZone = ["topology.istio.io/network", "topology.kubernetes.io/region", "topology.kubernetes.io/zone"];
const sameNode = [...sameZone, "topology.istio.io/subzone", "kubernetes.io/hostname"];

/** The rule's locality setting, else what the Service's trafficDistribution asks for, else the mesh's; undefined when switched off. */
export function localitySetting(
	rule: LocalityLoadBalancerSetting | undefined,
	service: Service,
	mesh: LocalityLoadBalancerSetting | undefined,
): LocalitySetting | undefined {
	if (rule) return rule.enabled === false ? undefined : { setting: rule, force: false };
	if (service.trafficDistribution) {
		const failoverPriority = service.trafficDistribution === "PreferSameNode" ? sameNode : sameZone;
		return { setting: { failoverPriority }, force: true };
	}
	return mesh && mesh.enabled !== false ? { setting: mesh, force: false } : undefined;
}

const some = (list: readonly unknown[] | undefined): boolean => list !== undefined && list.length > 0;

/** Are localities weighted? By shares, or where priorities are in force (`failover`: by outlier detection, or by force). */
export function weighsLocalities(locality: LocalitySetting | undefined, failover: boolean): boolean {
	if (!locality) return false;
	const { setting, force } = locality;
	return some(setting.distribute) || ((failover || force) && (some(setting.failover) || some(setting.failoverPriority)));
}
