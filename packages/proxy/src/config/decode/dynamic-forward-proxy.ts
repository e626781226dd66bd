import type { Cluster as ClusterMessage } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import type { ClusterConfig } from "@weft/xds/generated/envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster.ts";
import type { DnsCacheConfig } from "@weft/xds/generated/envoy/extensions/common/dynamic_forward_proxy/v3/dns_cache.ts";
import type { FilterConfig } from "@weft/xds/generated/envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy.ts";
import type { FilterConfig as SniFilterConfig } from "@weft/xds/generated/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3/sni_dynamic_forward_proxy.ts";
import type { DynamicHosts } from "../clusters.ts";
import type { NetworkFilter } from "../network-filters.ts";
import { openAny } from "./any.ts";
import { type At, durationMs, durationMsOr, onlySupports, report, under } from "./issues.ts";

const families = ["auto", "v4", "v6", "v4Preferred", "all"] as const;
const clusterType = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig";

/** `cluster_type`; undefined where it is another. */
export function decodeDynamicCluster(at: At, message: ClusterMessage): DynamicHosts | undefined {
	if (message.clusterType === undefined) return undefined;
	const here = under(at, "clusterType");
	const opened = openAny(here, message.clusterType.typedConfig, `cluster type ${message.clusterType.name}`);
	if (opened === undefined) return undefined;
	if (opened.typeName !== clusterType) {
		report(here, `cluster type ${message.clusterType.name} is not implemented`);
		return undefined;
	}
	const config = opened.message as ClusterConfig;
	const options = message.upstreamHttpProtocolOptions;
	if (message.lbPolicy !== 6) report(at, "dynamic_forward_proxy cluster requires cluster lb_policy of CLUSTER_PROVIDED");
	if (options !== undefined && !(options.autoSni && options.autoSanValidation) && !config.allowInsecureClusterOptions)
		report(at, "dynamic_forward_proxy cluster must have auto_sni and auto_san_validation true unless allow_insecure_cluster_options is set.");
	onlySupports(here, clusterType, config, ["dnsCacheConfig", "allowInsecureClusterOptions"]);
	return decodeCache(under(here, "dnsCacheConfig"), config.dnsCacheConfig);
}

/** Pilot describes the same cache in the cluster and in its filters: the cluster's word counts. */
export function decodeDynamicFilter(at: At, filter: FilterConfig): { readonly kind: "dynamicForwardProxy" } {
	onlySupports(at, "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig", filter, ["dnsCacheConfig"]);
	return { kind: "dynamicForwardProxy" };
}

export function decodeSniDynamicFilter(at: At, filter: SniFilterConfig): NetworkFilter {
	onlySupports(at, "envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig", filter, ["dnsCacheConfig", "portValue"]);
	return { kind: "sniDynamicForwardProxy", port: filter.portValue || 443 };
}

// Names are resolved by the system: how c-ares would do it changes nothing here.
const cacheFields = [
	"name",
	"dnsLookupFamily",
	"dnsRefreshRate",
	"dnsMinRefreshRate",
	"hostTtl",
	"maxHosts",
	"dnsFailureRefreshRate",
	"dnsCacheCircuitBreaker",
	"useTcpForDnsLookups",
	"typedDnsResolverConfig",
	"dnsResolutionConfig",
	"preresolveHostnames",
	"dnsQueryTimeout",
];

function decodeCache(at: At, cache: DnsCacheConfig | undefined): DynamicHosts {
	if (cache !== undefined) onlySupports(at, "envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig", cache, cacheFields);
	return {
		family: families[cache?.dnsLookupFamily ?? 0] ?? "auto",
		refreshMs: Math.max(durationMsOr(cache?.dnsRefreshRate, 60_000), durationMsOr(cache?.dnsMinRefreshRate, 5_000)),
		// A name that failed once is asked for again sooner than Envoy's minute, unless the configuration says when.
		failureRefreshMs: durationMs(cache?.dnsFailureRefreshRate?.baseInterval) ?? 1_000,
		queryTimeoutMs: durationMsOr(cache?.dnsQueryTimeout, 5_000) || 5_000,
		hostTtlMs: durationMsOr(cache?.hostTtl, 300_000),
		hostsMax: cache?.maxHosts ?? 1024,
		pendingMax: cache?.dnsCacheCircuitBreaker?.maxPendingRequests ?? 1024,
		preresolve: (cache?.preresolveHostnames ?? []).map(({ address, portValue }) => `${address.includes(":") ? `[${address}]` : address}:${portValue ?? 0}`),
	};
}
