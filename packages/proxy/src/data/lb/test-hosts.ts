import { http2Defaults } from "../../config/http2-defaults.ts";
import type { Cluster } from "../../config/clusters.ts";
import type { ClusterHosts, Host, LocalityHosts } from "../../config/hosts.ts";
import type { LoadBalancer } from "../../config/load-balancing.ts";
import type { OutlierDetection } from "../../config/outlier-detection.ts";

/** Clusters and hosts with everything off, for this package's tests. */

export function host(port: number, parts: Partial<Host> = {}): Host {
	return {
		address: { kind: "ip", address: "10.0.0.1", port },
		hostname: "",
		weight: 1,
		health: "healthy",
		healthCheck: undefined,
		transportMatch: {},
		lbMetadata: {},
		istioWorkload: undefined,
		slot: 0,
		...parts,
	};
}

export function locality(hosts: readonly Host[], parts: Partial<LocalityHosts> = {}): LocalityHosts {
	return { region: "", zone: "", subZone: "", weight: 0, hosts, ...parts };
}

export function clusterHosts(priorities: readonly (readonly LocalityHosts[])[], parts: Partial<ClusterHosts> = {}): ClusterHosts {
	return { cluster: "c", overprovisioningFactor: undefined, priorities, ...parts };
}

/** Ejects after five, without rates. */
export const outlierDetection: OutlierDetection = {
	consecutive5xx: 5,
	enforcingConsecutive5xx: 100,
	consecutiveGatewayFailure: 5,
	enforcingConsecutiveGatewayFailure: 0,
	splitExternalLocalOrigin: false,
	consecutiveLocalOriginFailure: 5,
	enforcingLocalOriginFailure: 100,
	intervalMs: 10_000,
	baseEjectionMs: 30_000,
	maxEjectionMs: 70_000,
	maxEjectionJitterMs: 0,
	maxEjectionPercent: 50,
	alwaysEjectOneHost: false,
	unejectsOnGoodCheck: true,
	successRate: { minimumHosts: 5, requestVolume: 100, stdevFactor: 1.9, enforcingPercent: 0, enforcingLocalOriginPercent: 0 },
	failurePercentage: { minimumHosts: 5, requestVolume: 50, thresholdPercent: 85, enforcingPercent: 0, enforcingLocalOriginPercent: 0 },
};

const limits = { connectionsMax: 1024, pendingRequestsMax: 1024, requestsMax: 1024, retriesMax: 3, retryBudget: undefined, tracksRemaining: false };

export function cluster(lb: LoadBalancer, parts: Partial<Cluster> = {}): Cluster {
	return {
		name: "c",
		statName: "c",
		kind: "eds",
		connectTimeoutMs: 5000,
		lb,
		upstreamProtocol: "http1",
		http1: { headerCase: "lower", enableTrailers: false },
		http2: http2Defaults,
		idleTimeoutMs: 0,
		maxConnectionDurationMs: 0,
		maxStreamDurationMs: 0,
		maxRequestsPerConnection: 0,
		breakers: { default: limits, high: limits },
		outlier: undefined,
		healthChecks: [],
		ignoresNewHostsUntilChecked: false,
		ignoresHealthOnRemoval: false,
		closesConnectionsOnHealthFailure: false,
		panicThresholdPercent: 50,
		overprovisioningFactor: 140,
		localityWeighted: false,
		transportMatches: [],
		transport: { kind: "raw" },
		bindAddresses: [],
		socketOptions: undefined,
		tcpKeepalive: undefined,
		istioService: undefined,
		istioSubset: undefined,
		breakerSlot: 0,
		...parts,
	};
}

export const balancers: readonly LoadBalancer[] = [
	{ kind: "roundRobin", slowStart: undefined },
	{ kind: "leastRequest", choiceCount: 2, activeRequestBias: 1, slowStart: undefined },
	{ kind: "random" },
	{ kind: "ringHash", hash: "xxhash", ringMin: 1024, ringMax: 8_388_608, useHostname: false, balanceFactor: 0 },
	{ kind: "ringHash", hash: "murmur", ringMin: 1024, ringMax: 8_388_608, useHostname: false, balanceFactor: 0 },
	{ kind: "maglev", tableSize: 65_537, useHostname: false, balanceFactor: 0 },
];

/** A repeatable source of numbers in [0, 1) (a linear congruence is random enough for balancing). */
export function seededRandom(seed = 1): () => number {
	let state = seed;
	return () => {
		state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
		return state / 2 ** 32;
	};
}
