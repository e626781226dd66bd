import type { Cluster as ClusterMessage, Cluster_SlowStartConfig, LoadBalancingPolicy } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import type { RuntimeDouble } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import type { LocalityLbConfig, LocalityLbConfig_ZoneAwareLbConfig } from "@weft/xds/generated/envoy/extensions/load_balancing_policies/common/v3/common.ts";
import type { LeastRequest } from "@weft/xds/generated/envoy/extensions/load_balancing_policies/least_request/v3/least_request.ts";
import type { Maglev } from "@weft/xds/generated/envoy/extensions/load_balancing_policies/maglev/v3/maglev.ts";
import type { Random } from "@weft/xds/generated/envoy/extensions/load_balancing_policies/random/v3/random.ts";
import type { RingHash } from "@weft/xds/generated/envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash.ts";
import type { RoundRobin } from "@weft/xds/generated/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin.ts";
import { zoneAwareDefaults } from "../zone-aware-defaults.ts";
import type { LoadBalancer, SlowStart, SubsetConfig, ZoneAware } from "../load-balancing.ts";
import type { Subset } from "@weft/xds/generated/envoy/extensions/load_balancing_policies/subset/v3/subset.ts";
import { openAny } from "./any.ts";
import { decodeSubsets } from "./subsets.ts";
import { type At, durationMs, report, under } from "./issues.ts";

export interface BalancerChoice {
	readonly lb: LoadBalancer;
	readonly subsets?: SubsetConfig | undefined;
	readonly localityWeighted: boolean;
	readonly zoneAware?: ZoneAware | undefined;
}

/** Envoy's bounds of a ring: at least 1024 entries, at most 8 Mi. */
const ringMinDefault = 1024;
const ringMaxDefault = 8 * 1024 * 1024;
const ringMaxLimit = 8 * 1024 * 1024;
const maglevDefault = 65_537;
const maglevMax = 5_000_011;

const policies = ["ROUND_ROBIN", "LEAST_REQUEST", "RING_HASH", "RANDOM", undefined, "MAGLEV", "CLUSTER_PROVIDED", "LOAD_BALANCING_POLICY_CONFIG"] as const;

export function decodeLoadBalancer(at: At, cluster: ClusterMessage): BalancerChoice {
	if (cluster.loadBalancingPolicy !== undefined) return decodePolicyList(under(at, "loadBalancingPolicy"), cluster.loadBalancingPolicy);
	const localityWeighted = cluster.commonLbConfig?.localityWeightedLbConfig !== undefined;
	const subsets = decodeSubsets(under(at, "lbSubsetConfig"), cluster.lbSubsetConfig);
	if (subsets !== undefined && policies[cluster.lbPolicy] === "CLUSTER_PROVIDED") report(at, "lb_subset_config cannot go with the policy CLUSTER_PROVIDED");
	const zoneAware = decodeZoneAware(cluster.commonLbConfig?.zoneAwareLbConfig);
	return { lb: decodeOwn(at, cluster) ?? decodeLegacy(at, cluster), localityWeighted, subsets, zoneAware };
}

const ewmaRequestsDefault = 9;

/** Policies of our own stand in the cluster's metadata, where a stock Envoy does not look: it takes `lb_policy`. */
function decodeOwn(at: At, cluster: ClusterMessage): LoadBalancer | undefined {
	const own: Readonly<Record<string, unknown>> | undefined = cluster.metadata?.filterMetadata["weft.dev"];
	const name = own?.["load_balancer"];
	if (name === undefined) return undefined;
	const here = under(at, "metadata.weft.dev");
	if (name !== "peak-ewma") report(here, `load_balancer ${JSON.stringify(name)} is not implemented`);
	const requests = own?.["requests"] ?? ewmaRequestsDefault;
	if (typeof requests === "number" && requests >= 1) return { kind: "peakEwma", requests };
	report(here, "requests must be a number of at least 1");
	return undefined;
}

function decodeLegacy(at: At, cluster: ClusterMessage): LoadBalancer {
	const consistent = cluster.commonLbConfig?.consistentHashingLbConfig;
	switch (policies[cluster.lbPolicy]) {
		case "ROUND_ROBIN":
			return { kind: "roundRobin", slowStart: decodeSlowStart(cluster.roundRobinLbConfig?.slowStartConfig) };
		case "LEAST_REQUEST":
			return decodeLeastRequest(at, cluster.leastRequestLbConfig ?? {});
		case "RANDOM":
			return { kind: "random" };
		case "RING_HASH":
			return decodeRing(at, { ...cluster.ringHashLbConfig, hash: cluster.ringHashLbConfig?.hashFunction === 1 ? "murmur" : "xxhash", ...consistent });
		case "MAGLEV":
			return decodeMaglev(at, { tableSize: cluster.maglevLbConfig?.tableSize, ...consistent });
		case "CLUSTER_PROVIDED":
			return { kind: "clusterProvided" };
		default:
			report(under(at, "lbPolicy"), "load_balancing_policy is required with LOAD_BALANCING_POLICY_CONFIG");
			return { kind: "roundRobin", slowStart: undefined };
	}
}

function decodeSlowStart(slow: Cluster_SlowStartConfig | undefined): SlowStart | undefined {
	const windowMs = durationMs(slow?.slowStartWindow) ?? 0;
	if (slow === undefined || windowMs === 0) return undefined;
	const { defaultValue: aggression = 1, runtimeKey: aggressionKey = "" } = slow.aggression ?? {};
	return { windowMs, aggression, ...(aggressionKey !== "" && { aggressionKey }), minWeightPercent: slow.minWeightPercent?.value ?? 10 };
}

interface LeastRequestFields {
	readonly choiceCount?: number | undefined;
	readonly activeRequestBias?: RuntimeDouble | undefined;
	readonly slowStartConfig?: Cluster_SlowStartConfig | undefined;
}

function decodeLeastRequest(at: At, fields: LeastRequestFields): Extract<LoadBalancer, { kind: "leastRequest" }> {
	const choiceCount = fields.choiceCount ?? 2;
	if (choiceCount < 2) report(at, "least request choice_count must be at least 2");
	const { defaultValue: activeRequestBias = 1, runtimeKey: activeRequestBiasKey = "" } = fields.activeRequestBias ?? {};
	return {
		kind: "leastRequest",
		choiceCount,
		activeRequestBias,
		...(activeRequestBiasKey !== "" && { activeRequestBiasKey }),
		slowStart: decodeSlowStart(fields.slowStartConfig),
	};
}

interface HashFields {
	readonly useHostnameForHashing?: boolean | undefined;
	readonly hashBalanceFactor?: number | undefined;
}

interface RingFields extends HashFields {
	readonly hash: "xxhash" | "murmur";
	readonly minimumRingSize?: bigint | undefined;
	readonly maximumRingSize?: bigint | undefined;
}

function decodeRing(at: At, fields: RingFields): LoadBalancer {
	const ringMin = Number(fields.minimumRingSize ?? ringMinDefault);
	const ringMax = Number(fields.maximumRingSize ?? ringMaxDefault);
	if (ringMin > ringMax) report(at, `ring hash: minimum_ring_size (${ringMin}) > maximum_ring_size (${ringMax})`);
	if (ringMax > ringMaxLimit) report(at, `ring hash: maximum_ring_size must not exceed ${ringMaxLimit}`);
	return {
		kind: "ringHash",
		hash: fields.hash,
		ringMin,
		ringMax,
		useHostname: fields.useHostnameForHashing ?? false,
		balanceFactor: fields.hashBalanceFactor ?? 0,
	};
}

function decodeMaglev(at: At, fields: HashFields & { readonly tableSize?: bigint | undefined }): LoadBalancer {
	const tableSize = Number(fields.tableSize ?? maglevDefault);
	if (tableSize > maglevMax || !isPrime(tableSize)) report(at, `The table size of maglev must be a prime number up to ${maglevMax}, got ${tableSize}`);
	return { kind: "maglev", tableSize, useHostname: fields.useHostnameForHashing ?? false, balanceFactor: fields.hashBalanceFactor ?? 0 };
}

function isPrime(n: number): boolean {
	if (n < 2 || n > maglevMax) return false;
	for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
	return true;
}

/** `load_balancing_policy`: the first policy that is implemented wins, as in Envoy. */
function decodePolicyList(at: At, policy: LoadBalancingPolicy): BalancerChoice {
	const list = policy.policies;
	for (const { typedExtensionConfig: config } of list) {
		const quiet: At = { ...at, errors: [] };
		const opened = openAny(quiet, config?.typedConfig, `load balancing policy ${config?.name}`);
		const choice = opened && decodePolicy(at, opened.typeName, opened.message);
		if (choice) return choice;
	}
	report(
		at,
		`Didn't find a registered load balancer factory from the load_balancing_policy: [${list.map(({ typedExtensionConfig: c }) => c?.name).join(", ")}]`,
	);
	return { lb: { kind: "roundRobin", slowStart: undefined }, localityWeighted: false };
}

const policyPackage = "envoy.extensions.load_balancing_policies";

function decodePolicy(at: At, typeName: string, message: unknown): BalancerChoice | undefined {
	const localities = (config: LocalityLbConfig | undefined) => ({
		localityWeighted: config?.localityWeightedLbConfig !== undefined,
		zoneAware: decodeZoneAware(config?.zoneAwareLbConfig),
	});
	switch (typeName) {
		case `${policyPackage}.round_robin.v3.RoundRobin`: {
			const { slowStartConfig, localityLbConfig } = message as RoundRobin;
			return { lb: { kind: "roundRobin", slowStart: decodeSlowStart(slowStartConfig) }, ...localities(localityLbConfig) };
		}
		case `${policyPackage}.least_request.v3.LeastRequest`: {
			const fields = message as LeastRequest;
			const fullScan = fields.selectionMethod === 1 || fields.enableFullScan === true;
			return { lb: { ...decodeLeastRequest(at, fields), ...(fullScan && { fullScan }) }, ...localities(fields.localityLbConfig) };
		}
		case `${policyPackage}.random.v3.Random`:
			return { lb: { kind: "random" }, ...localities((message as Random).localityLbConfig) };
		case `${policyPackage}.ring_hash.v3.RingHash`: {
			const ring = message as RingHash;
			// Here the enum has DEFAULT_HASH 0, XX_HASH 1, MURMUR_HASH_2 2.
			const lb = decodeRing(at, { ...ring, ...ring.consistentHashingLbConfig, hash: ring.hashFunction === 2 ? "murmur" : "xxhash" });
			return { lb, localityWeighted: ring.localityWeightedLbConfig !== undefined };
		}
		case `${policyPackage}.maglev.v3.Maglev`: {
			const maglev = message as Maglev;
			return {
				lb: decodeMaglev(at, { tableSize: maglev.tableSize, ...maglev.consistentHashingLbConfig }),
				localityWeighted: maglev.localityWeightedLbConfig !== undefined,
			};
		}
		case `${policyPackage}.subset.v3.Subset`:
			return decodeSubsetPolicy(at, message as Subset);
		case `${policyPackage}.cluster_provided.v3.ClusterProvided`:
			return { lb: { kind: "clusterProvided" }, localityWeighted: false };
	}
	return undefined;
}

function decodeSubsetPolicy(at: At, message: Subset): BalancerChoice {
	const inside = decodePolicyList(under(at, "subsetLbPolicy"), message.subsetLbPolicy ?? { policies: [] });
	if (inside.subsets !== undefined) report(under(at, "subsetLbPolicy"), "subsets of subsets are not implemented");
	if (inside.lb.kind === "clusterProvided") report(under(at, "subsetLbPolicy"), "subsets cannot go with the policy CLUSTER_PROVIDED");
	const subsets = decodeSubsets(at, message);
	return { ...inside, subsets: subsets && { ...subsets, allowsRedundantKeys: message.allowRedundantKeys } };
}

type ZoneAwareFields = Pick<LocalityLbConfig_ZoneAwareLbConfig, "routingEnabled" | "minClusterSize" | "failTrafficOnPanic"> &
	Partial<LocalityLbConfig_ZoneAwareLbConfig>;

function decodeZoneAware(fields: ZoneAwareFields | undefined): ZoneAware | undefined {
	if (fields === undefined) return undefined;
	const { forceLocalZone, forceLocalityDirectRouting = false } = fields;
	return {
		// Whole percent, as Envoy rounds them.
		routingEnabledPercent: Math.round(fields.routingEnabled?.value ?? zoneAwareDefaults.routingEnabledPercent),
		minClusterSize: Number(fields.minClusterSize ?? zoneAwareDefaults.minClusterSize),
		failsOnPanic: fields.failTrafficOnPanic,
		localZoneMin: forceLocalZone === undefined ? (forceLocalityDirectRouting ? 1 : undefined) : (forceLocalZone.minSize ?? 1),
		basis: fields.localityBasis === 1 ? "weight" : "hosts",
	};
}
