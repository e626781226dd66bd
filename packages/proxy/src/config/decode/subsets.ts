import type { Cluster_LbSubsetConfig } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import type { SubsetConfig } from "../load-balancing.ts";
import { type At, report, under } from "./issues.ts";

const fallbacks = ["none", "any", "default"] as const;
const selectorFallbacks = [undefined, "none", "any", "default", "keys"] as const;

/** `lb_subset_config`, or the policy `subset`, which has the same fields; undefined without selectors, as in Envoy. */
export function decodeSubsets(
	at: At,
	fields: (Omit<Cluster_LbSubsetConfig, "metadataFallbackPolicy"> & { readonly metadataFallbackPolicy: number }) | undefined,
): SubsetConfig | undefined {
	if (fields === undefined || fields.subsetSelectors.length === 0) return undefined;
	return {
		fallback: fallbacks[fields.fallbackPolicy] ?? "none",
		defaultSubset: fields.defaultSubset ?? {},
		selectors: fields.subsetSelectors.map((selector, i) => {
			const here = under(at, `subsetSelectors[${i}]`);
			const fallback = selectorFallbacks[selector.fallbackPolicy];
			const { fallbackKeysSubset: fewer } = selector;
			if (fallback === "keys" && (fewer.length === 0 || fewer.length >= selector.keys.length || !fewer.every((key) => selector.keys.includes(key))))
				report(here, "fallback_keys_subset must be a non-empty proper subset of keys");
			if (fallback !== "keys" && fewer.length > 0) report(here, "fallback_keys_subset is for KEYS_SUBSET alone");
			if (selector.singleHostPerSubset && selector.keys.length !== 1) report(here, "single_host_per_subset is for one key");
			return { keys: [...new Set(selector.keys)].sort(), singleHost: selector.singleHostPerSubset, fallback, fallbackKeys: [...fewer].sort() };
		}),
		localityWeighted: fields.localityWeightAware,
		scalesLocalityWeight: fields.scaleLocalityWeight,
		panicsToAny: fields.panicModeAny,
		listAsAny: fields.listAsAny,
		triesFallbackList: fields.metadataFallbackPolicy === 1,
	};
}
