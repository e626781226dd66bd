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

/** The user's own filters of connections, by their place among ours. */
function extensionPhases(input: ListenerInput, direction: Direction, port: number): (wanted: Phase) => readonly AnyNetworkFilter[] {
	const extensions = extensionsOn(input, direction, port).filter(({ isNetwork }) => isNetwork);
	return (wanted) => extensions.filter((extension) => extension.phase === wanted).map(({ filter }) => filter);
}

const phases: readonly Phase[] = ["AUTHN", "AUTHZ", "STATS", "UNSPECIFIED_PHASE"];

/** What sees the connection of an HTTP chain: all that is ours judges requests. */
export function connectionExtensions(input: ListenerInput, direction: Direction, port: number): readonly AnyNetworkFilter[] {
	return phases.flatMap(extensionPhases(input, direction, port));
}

/** What judges and counts a connection before it goes on, in order. `port`: where it was dialled; 0: any. */
export function tcpPolicies(input: ListenerInput, direction: Direction, port: number): readonly AnyNetworkFilter[] {
	const { authorization, stats } = input.of(direction).policies;
	const phase = extensionPhases(input, direction, port);
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
	const idle = input.idleTimeout && accessLog ? { idleTimeout: input.idleTimeout } : {};
	const logs = accessLog ? { accessLog: input.of(direction).policies.accessLogs.traffic } : {};
	return { name: "envoy.filters.network.tcp_proxy", typedConfig: packed(typeName, TcpProxy, { ...idle, ...config, ...logs }) };
}

/** Policies, statistics and a tcp_proxy to one cluster. */
export function tcpFilters(input: ListenerInput, direction: Direction, cluster: string, options: TcpFilterOptions = {}): readonly AnyNetworkFilter[] {
	const { port = 0, statPrefix = cluster, protocol = "TCP" } = options;
	return [...tcpPolicies(input, direction, port), ...protocolFilters(protocol, statPrefix), tcpProxy(input, direction, { statPrefix, cluster })];
}

interface TcpFilterOptions {
	/** 0: it is for no port in particular. */
	readonly port?: number;
	/** What its connections are counted under; the cluster's name by default. */
	readonly statPrefix?: string;
	/** What the port is said to speak. */
	readonly protocol?: Protocol | undefined;
}

/** Passes on what nothing else is for: it is counted and logged. */
export function passFilters(input: ListenerInput, direction: Direction, cluster: string): readonly AnyNetworkFilter[] {
	return [...input.of(direction).policies.stats, tcpProxy(input, direction, { statPrefix: cluster, cluster })];
}

/** Ends a connection that must go nowhere; nothing is judged or logged of it. */
export function blackHoleFilters(input: ListenerInput, direction: Direction, cluster: string): readonly AnyNetworkFilter[] {
	return [...input.of(direction).policies.stats, tcpProxy(input, direction, { statPrefix: cluster, cluster }, false)];
}
