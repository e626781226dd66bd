import type { Any } from "@weft/xds";
import { MongoProxy } from "@weft/xds/generated/envoy/extensions/filters/network/mongo_proxy/v3/mongo_proxy.ts";
import { TcpProxy } from "@weft/xds/generated/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.ts";
import { TypedStruct } from "@weft/xds/generated/udpa/type/v1/typed_struct.ts";
import type { Protocol } from "../../model/service.ts";
import type { DiscoveredFilter, Phase } from "../policy/extensions.ts";
import { packed } from "../routes/values.ts";
import type { Direction } from "./http-filters/filter.ts";
import { extensionsOn, type ListenerInput } from "./listener-input.ts";

/** One entry of FilterChain.filters. */
export interface NetworkFilter {
	readonly name: string;
	readonly typedConfig: Any;
}

export type AnyNetworkFilter = NetworkFilter | DiscoveredFilter;

const metadataExchange: NetworkFilter = {
	name: "istio.metadata_exchange",
	typedConfig: packed("udpa.type.v1.TypedStruct", TypedStruct, {
		typeUrl: "type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange",
		value: { protocol: "istio-peer-exchange", enable_discovery: true },
	}),
};

/** Inbound chains start with the exchange of workload metadata over the connection itself. */
export function inboundPrefix({ istioExtensions }: ListenerInput): readonly NetworkFilter[] {
	return istioExtensions ? [metadataExchange] : [];
}

/** What judges and counts a connection before it goes on, in order. `port`: where it was dialled; 0: any. */
export function tcpPolicies(input: ListenerInput, direction: Direction, port: number): readonly AnyNetworkFilter[] {
	const { authorization, stats } = input.of(direction).policies;
	const extensions = extensionsOn(input, direction, port).filter(({ isNetwork }) => isNetwork);
	const phase = (wanted: Phase) => extensions.filter((extension) => extension.phase === wanted).map(({ filter }) => filter);
	return [
		...phase("AUTHN"),
		...authorization.tcp.custom,
		...phase("AUTHZ"),
		...authorization.tcp.rbac,
		...phase("STATS"),
		...phase("UNSPECIFIED_PHASE"),
		...stats,
	];
}

const mongoType = "envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy";

/** What reads a protocol on its way, in front of the proxy. */
export function protocolFilters(protocol: Protocol, statPrefix: string): readonly NetworkFilter[] {
	return protocol === "Mongo" ? [{ name: "envoy.filters.network.mongo_proxy", typedConfig: packed(mongoType, MongoProxy, { statPrefix }) }] : [];
}

/** @param config TcpProxy without its access log */
export function tcpProxy(input: ListenerInput, direction: Direction, config: object, accessLog = true): NetworkFilter {
	const typeName = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
	const logs = accessLog ? { accessLog: input.of(direction).policies.accessLogs.traffic } : {};
	return { name: "envoy.filters.network.tcp_proxy", typedConfig: packed(typeName, TcpProxy, { ...config, ...logs }) };
}

/** Policies, statistics and a tcp_proxy to one cluster. */
export function tcpFilters(input: ListenerInput, direction: Direction, cluster: string, port = 0, protocol: Protocol = "TCP"): readonly AnyNetworkFilter[] {
	return [...tcpPolicies(input, direction, port), ...protocolFilters(protocol, cluster), tcpProxy(input, direction, { statPrefix: cluster, cluster })];
}

/** Ends a connection that must go nowhere; nothing is judged or logged of it. */
export function blackHoleFilters(input: ListenerInput, direction: Direction, cluster: string): readonly AnyNetworkFilter[] {
	return [...input.of(direction).policies.stats, tcpProxy(input, direction, { statPrefix: cluster, cluster }, false)];
}
