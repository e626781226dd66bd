import { Cluster_DnsLookupFamily } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { ClusterConfig } from "@weft/xds/generated/envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster.ts";
import { FilterConfig } from "@weft/xds/generated/envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy.ts";
import { FilterConfig as SniFilterConfig } from "@weft/xds/generated/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3/sni_dynamic_forward_proxy.ts";
import { isHttp } from "../model/protocol.ts";
import type { ProxyNode } from "../model/proxy-node.ts";
import type { Service, ServicePort } from "../model/service.ts";
import { isDualStack, isIpv6Only } from "./listeners/addresses.ts";
import { packed } from "./routes/values.ts";

// Hosts that are resolved when a request names them: https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/http/http_proxy
// The cluster and the filters of one name share a cache, and must describe it alike.

export type LookupFamily = keyof typeof Cluster_DnsLookupFamily;

/** By the families of the proxy's own addresses. Of both, IPv4 alone unless the pod says that it is dual-stack. */
export function dnsLookupFamily(node: Pick<ProxyNode, "ips" | "metadata">): LookupFamily {
	if (isDualStack(node)) return "ALL";
	return isIpv6Only(node) ? "V6_ONLY" : "V4_ONLY";
}

function cacheOf(name: string, family: LookupFamily): object {
	return { name: `${name}_dfp_dns_cache`, dnsLookupFamily: Cluster_DnsLookupFamily[family] };
}

/**
 * Does the HTTP proxy of a local pod resolve hosts that no service has? What it gets was not captured, so there is no original
 * destination that ALLOW_ANY could pass it on to.
 */
export function resolvesUnknownHosts({ local, dynamicForwardProxy }: Pick<ProxyNode, "local" | "dynamicForwardProxy">): boolean {
	return local !== undefined && dynamicForwardProxy;
}

/** Is this port of the service one whose requests say where they go? */
export function isResolvedByRequest({ resolution }: Service, { protocol }: ServicePort): boolean {
	return resolution === "DynamicDNS" && (isHttp(protocol) || protocol === "TLS");
}

/** `Cluster.cluster_type` for the hosts that `name` covers. `insecure`: certificates of what is found are not checked. */
export function dynamicForwardProxyCluster(name: string, family: LookupFamily, insecure: boolean): object {
	const config = { dnsCacheConfig: cacheOf(name, family), allowInsecureClusterOptions: insecure };
	return {
		clusterType: {
			name: "envoy.clusters.dynamic_forward_proxy",
			typedConfig: packed("envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig", ClusterConfig, config),
		},
	};
}

/** Resolves the Host of requests that are routed to the cluster. */
export function dynamicForwardProxyFilter(name: string, family: LookupFamily) {
	return {
		name: "envoy.filters.http.dynamic_forward_proxy",
		typedConfig: packed("envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig", FilterConfig, { dnsCacheConfig: cacheOf(name, family) }),
	};
}

/** The same for TLS that is passed on: resolves the SNI. */
export function sniDynamicForwardProxyFilter(name: string, family: LookupFamily, port: number) {
	const config = { dnsCacheConfig: cacheOf(name, family), portValue: port };
	return {
		name: "envoy.extensions.filters.network.sni_dynamic_forward_proxy",
		typedConfig: packed("envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig", SniFilterConfig, config),
	};
}
