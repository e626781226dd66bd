import type { OwnLoadBalancer } from "@weft/api";
import { Cluster, Cluster_DiscoveryType, Cluster_LbPolicy } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { HttpProtocolOptions } from "@weft/xds/generated/envoy/extensions/upstreams/http/v3/http_protocol_options.ts";
import { TypedStruct } from "@weft/xds/generated/udpa/type/v1/typed_struct.ts";
import type { ProxyNode } from "../../model/proxy-node.ts";
import type { DestinationRule, Mesh } from "../../model/push.ts";
import type { Service } from "../../model/service.ts";
import { dynamicForwardProxyCluster, type LookupFamily } from "../dynamic-dns.ts";
import { hasBothFamilies, isDualStack, isIpv6Only } from "../listeners/addresses.ts";
import { allowAnyDynamicDnsCluster, blackHoleCluster, inboundPassthroughCluster, passthroughCluster } from "../routes/cluster-name.ts";
import { durationOfMs, packed } from "../routes/values.ts";
import { circuitBreakers, upstreamConnectionOptions } from "./connection-pool.ts";

/** Upstream filter that tells the other side who we are, over the connection itself. */
export const metadataExchange = {
	name: "istio.metadata_exchange",
	typedConfig: packed("udpa.type.v1.TypedStruct", TypedStruct, {
		typeUrl: "type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange",
		value: { protocol: "istio-peer-exchange", enable_discovery: true },
	}),
};

export interface ServiceMetadata {
	readonly services: readonly Service[];
	readonly rule: DestinationRule | undefined;
	readonly subset: string | undefined;
	readonly external: boolean;
	/** "false" keeps istio.alpn from overriding the ALPN of TLS that the mesh does not own. */
	readonly alpnOverride: boolean;
	readonly loadBalancer?: OwnLoadBalancer | undefined;
}

/** metadata.filter_metadata.istio: whose cluster this is, for telemetry and for people. */
export function serviceMetadata({ services, rule, subset, external, alpnOverride, loadBalancer }: ServiceMetadata): object | undefined {
	const istio = {
		...(services.length > 0 && { services: services.map(({ hostname, name, namespace }) => ({ host: hostname, name, namespace })) }),
		...(rule && { config: rule.configPath }),
		...(subset && { subset }),
		...(external && { external: true }),
		...(alpnOverride && { alpn_override: "false" }),
	};
	if (Object.keys(istio).length === 0 && loadBalancer === undefined) return undefined;
	return {
		filterMetadata: {
			...(Object.keys(istio).length > 0 && { istio }),
			// Only weft-proxy looks here: others balance as the cluster's own policy says.
			...(loadBalancer && { "weft.dev": { load_balancer: loadBalancer.name, requests: loadBalancer.requests } }),
		},
	};
}

/** Traffic from here on leaves through the loopback alias that capture ignores, so that it is not captured again. */
export type SourceFamily = "v4" | "v6" | "both";

export function inboundBind(family: SourceFamily): object {
	const v6 = { address: "::6", portValue: 0 };
	if (family === "v6") return { sourceAddress: v6 };
	return { sourceAddress: { address: "127.0.0.6", portValue: 0 }, ...(family === "both" ? { extraSourceAddresses: [{ address: v6 }] } : {}) };
}

/** Unknown ports are passed on by the family in which they were dialled. */
export function passthroughFamilyOf(node: ProxyNode): SourceFamily {
	return hasBothFamilies(node) ? "both" : sourceFamilyOf(node);
}

export function sourceFamilyOf(node: ProxyNode): SourceFamily {
	return isIpv6Only(node) ? "v6" : isDualStack(node) ? "both" : "v4";
}

const passthroughIdleMs = 300_000;
const passthroughProtocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

function passthrough(name: string, mesh: Mesh, extra: object): Cluster {
	const connectionOptions = upstreamConnectionOptions(mesh.config.tcpKeepalive, undefined);
	return Cluster.fromPartial({
		name,
		altStatName: `${passthroughCluster};`,
		type: Cluster_DiscoveryType.ORIGINAL_DST,
		lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
		connectTimeout: durationOfMs(mesh.connectTimeoutMs),
		circuitBreakers: circuitBreakers(undefined, undefined),
		typedExtensionProtocolOptions: {
			[passthroughProtocol]: packed(passthroughProtocol, HttpProtocolOptions, {
				commonHttpProtocolOptions: { idleTimeout: durationOfMs(passthroughIdleMs) },
				useDownstreamProtocolConfig: { httpProtocolOptions: {}, http2ProtocolOptions: {} },
			}),
		},
		...(connectionOptions && { upstreamConnectionOptions: connectionOptions }),
		...extra,
	});
}

/** A cluster without endpoints: what is sent there is refused. */
export function buildBlackHoleCluster(mesh: Mesh): Cluster {
	return Cluster.fromPartial({
		name: blackHoleCluster,
		altStatName: `${blackHoleCluster};`,
		type: Cluster_DiscoveryType.STATIC,
		connectTimeout: durationOfMs(mesh.connectTimeoutMs),
	});
}

export function buildPassthroughCluster(mesh: Mesh, istioExtensions: boolean): Cluster {
	return passthrough(passthroughCluster, mesh, istioExtensions ? { filters: [metadataExchange] } : {});
}

/** What was captured may be of any family that the proxy has an address of. */
export function buildInboundPassthroughCluster(mesh: Mesh, family: SourceFamily): Cluster {
	return passthrough(inboundPassthroughCluster, mesh, { upstreamBindConfig: inboundBind(family) });
}

/** Hosts that no service has, resolved when a plain HTTP request names them. */
export function buildAllowAnyDynamicDnsCluster(mesh: Mesh, family: LookupFamily): Cluster {
	return Cluster.fromPartial({
		name: allowAnyDynamicDnsCluster,
		altStatName: `${allowAnyDynamicDnsCluster};`,
		lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
		connectTimeout: durationOfMs(mesh.connectTimeoutMs),
		circuitBreakers: circuitBreakers(undefined, undefined),
		...dynamicForwardProxyCluster(allowAnyDynamicDnsCluster, family, false),
	});
}
