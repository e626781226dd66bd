import type { Any } from "@weft/xds";
import { TcpProxy } from "@weft/xds/generated/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.ts";
import { TypedStruct } from "@weft/xds/generated/udpa/type/v1/typed_struct.ts";
import { packed } from "../routes/values.ts";
import { buildAccessLogs } from "./access-log.ts";
import type { Direction } from "./http-filters/filter.ts";
import type { ListenerInput } from "./listener-input.ts";
import { statsConfig } from "./stats-config.ts";

/** One entry of FilterChain.filters. */
export interface NetworkFilter {
	readonly name: string;
	readonly typedConfig: Any;
}

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

/** istio.stats for TCP, where metrics are wanted and the proxy has them. */
export function tcpStats({ istioExtensions, metrics }: ListenerInput, direction: Direction): readonly NetworkFilter[] {
	return istioExtensions && metrics ? [{ name: "istio.stats", typedConfig: statsConfig(direction) }] : [];
}

/** @param config TcpProxy without its access log */
export function tcpProxy(input: ListenerInput, config: object, accessLog = true): NetworkFilter {
	const typeName = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
	const logs = accessLog ? { accessLog: buildAccessLogs(input.meshConfig).traffic } : {};
	return { name: "envoy.filters.network.tcp_proxy", typedConfig: packed(typeName, TcpProxy, { ...config, ...logs }) };
}

/** Statistics and a tcp_proxy to one cluster. */
export function tcpFilters(input: ListenerInput, direction: Direction, cluster: string, accessLog = true): readonly NetworkFilter[] {
	return [...tcpStats(input, direction), tcpProxy(input, { statPrefix: cluster, cluster }, accessLog)];
}
