/** How a cluster's hosts are chosen: balancers, subsets, zones. */

/** `zone_aware_lb_config`. */
export interface ZoneAware {
	/** Share of requests; the others go to any zone. */
	readonly routingEnabledPercent: number;
	/** With fewer healthy hosts zones are not looked at. */
	readonly minClusterSize: number;
	/** In panic no host is used, rather than all. */
	readonly failsOnPanic: boolean;
	/** With so many healthy hosts in the own zone, all requests stay there; undefined: zones share the load. */
	readonly localZoneMin: number | undefined;
	/** What a zone's share is counted by. */
	readonly basis: "hosts" | "weight";
}

export type LoadBalancer =
	| { readonly kind: "roundRobin"; readonly slowStart: SlowStart | undefined }
	| {
			readonly kind: "leastRequest";
			readonly choiceCount: number;
			readonly fullScan?: boolean;
			readonly activeRequestBias: number;
			/** Where the runtime may say otherwise. */
			readonly activeRequestBiasKey?: string;
			readonly slowStart: SlowStart | undefined;
	  }
	| { readonly kind: "random" }
	/** Weft's own: least (moving average of the answer time × requests under way), of two; `requests` N gives the average α = 2 ÷ (N + 1). */
	| { readonly kind: "peakEwma"; readonly requests: number }
	| {
			readonly kind: "ringHash";
			readonly hash: "xxhash" | "murmur";
			readonly ringMin: number;
			readonly ringMax: number;
			readonly useHostname: boolean;
			readonly balanceFactor: number;
	  }
	| { readonly kind: "maglev"; readonly tableSize: number; readonly useHostname: boolean; readonly balanceFactor: number }
	| { readonly kind: "clusterProvided" };

/** Hosts in groups that have the same values of some metadata keys (`envoy.lb`), of which a route names one. */
export interface SubsetConfig {
	readonly fallback: "none" | "any" | "default";
	readonly defaultSubset: LbMetadata;
	readonly selectors: readonly SubsetSelector[];
	/** Localities keep their weights inside a subset; `scales`: as far as their hosts are in it. */
	readonly localityWeighted: boolean;
	readonly scalesLocalityWeight: boolean;
	/** When even the fallback has no host, any host will do. */
	readonly panicsToAny: boolean;
	/** A host whose value is a list is in the subset of each element. */
	readonly listAsAny: boolean;
	/** The route's metadata has a `fallback_list` of other values to try in turn. */
	readonly triesFallbackList: boolean;
	/** A route may have more keys than a selector: the one with most of them counts. */
	readonly allowsRedundantKeys?: boolean;
}

export interface SubsetSelector {
	/** Sorted. */
	readonly keys: readonly string[];
	readonly singleHost: boolean;
	/** undefined: the cluster's. */
	readonly fallback: "none" | "any" | "default" | "keys" | undefined;
	readonly fallbackKeys: readonly string[];
}

export type LbMetadata = Readonly<Record<string, unknown>>;

export interface SlowStart {
	readonly windowMs: number;
	readonly aggression: number;
	/** Where the runtime may say otherwise. */
	readonly aggressionKey?: string;
	readonly minWeightPercent: number;
}
