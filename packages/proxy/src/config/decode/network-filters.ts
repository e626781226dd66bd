import type { Filter } from "@weft/xds/generated/envoy/config/listener/v3/listener_components.ts";
import type { ConnectionLimit } from "@weft/xds/generated/envoy/extensions/filters/network/connection_limit/v3/connection_limit.ts";
import type { Config as DirectResponseConfig } from "@weft/xds/generated/envoy/extensions/filters/network/direct_response/v3/config.ts";
import type { HttpConnectionManager } from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import type { ExtAuthz } from "@weft/xds/generated/envoy/extensions/filters/network/ext_authz/v3/ext_authz.ts";
import type { LocalRateLimit } from "@weft/xds/generated/envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit.ts";
import type { MongoProxy } from "@weft/xds/generated/envoy/extensions/filters/network/mongo_proxy/v3/mongo_proxy.ts";
import type { RBAC } from "@weft/xds/generated/envoy/extensions/filters/network/rbac/v3/rbac.ts";
import type { Config as SetFilterState } from "@weft/xds/generated/envoy/extensions/filters/network/set_filter_state/v3/set_filter_state.ts";
import type { FilterConfig as SniDynamicFilterConfig } from "@weft/xds/generated/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3/sni_dynamic_forward_proxy.ts";
import type { TcpProxy as TcpProxyMessage, TcpProxy_TunnelingConfig } from "@weft/xds/generated/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.ts";
import type { PluginConfig } from "@weft/xds/generated/stats/config.ts";
import { terminalNetworkFilters } from "../discovered-filters.ts";
import type { NetworkFilter, TcpProxy, TcpTunnel } from "../network-filters.ts";
import type { ClusterSelector, HashPolicy } from "../routes.ts";
import { decodeAccessLogs } from "./access-log.ts";
import { type Opened, openAny } from "./any.ts";
import { decodeNetworkDiscovery } from "./config-discovery.ts";
import { type DecodeEnvironment, dataBytes } from "./environment.ts";
import { decodeSniDynamicFilter } from "./dynamic-forward-proxy.ts";
import { decodeFilterState } from "./filter-state.ts";
import { decodeBucket } from "./filters/local-rate-limit.ts";
import { decodeNetworkRbac } from "./filters/rbac.ts";
import { decodeGrpcService } from "./grpc-service.ts";
import { decodeMutation } from "./headers.ts";
import { decodeHttpConnectionManager } from "./http-connection-manager.ts";
import { type At, durationMsOr, onlySupports, report, under } from "./issues.ts";
import { decodeIstioStats } from "./istio-stats.ts";
import { decodeMetadataMatch, decodeRuntimeFlag } from "./matchers.ts";
import { decodeTcpOnDemand } from "./on-demand.ts";

const terminal = terminalNetworkFilters;

export function decodeNetworkFilters(at: At, filters: readonly Filter[], environment: DecodeEnvironment): readonly NetworkFilter[] {
	const before = at.errors.length;
	const decoded = filters
		.map((filter, i) => decodeNetworkFilter(under(at, `filters[${i}]`), filter, i === filters.length - 1, environment))
		.filter((filter) => filter !== undefined);
	if (at.errors.length > before) return decoded;
	const last = decoded.at(-1);
	// A chain without filters closes what it gets, as Envoy's does.
	if (last !== undefined && last.kind !== "discovered" && !terminal.has(last.kind)) report(under(at, "filters"), "the last filter must be terminal");
	if (decoded.slice(0, -1).some((filter) => terminal.has(filter.kind))) report(under(at, "filters"), "a terminal filter must be the last one");
	return decoded;
}

function decodeNetworkFilter(
	at: At,
	{ configDiscovery, name, typedConfig }: Filter,
	isLast: boolean,
	environment: DecodeEnvironment,
): NetworkFilter | undefined {
	if (configDiscovery !== undefined) return { kind: "discovered", name, discovery: decodeNetworkDiscovery(at, name, configDiscovery, isLast, environment) };
	const opened = openAny(at, typedConfig, `network filter ${name}`);
	return opened && decodeNetworkFilterConfig(at, name, opened, environment);
}

type DecodeConfig = (at: At, message: unknown, environment: DecodeEnvironment) => NetworkFilter | undefined;

/** By the types of their messages. */
const decoders: Readonly<Record<string, DecodeConfig>> = {
	"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": (at, message, environment) =>
		decodeHttpConnectionManager(at, message as HttpConnectionManager, environment),
	"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy": (at, message, environment) => decodeTcpProxy(at, message as TcpProxyMessage, environment),
	"envoy.extensions.filters.network.echo.v3.Echo": () => ({ kind: "echo" }),
	"envoy.extensions.filters.network.direct_response.v3.Config": (at, message, environment) => ({
		kind: "directResponse",
		body: new Uint8Array(dataBytes(under(at, "response"), (message as DirectResponseConfig).response, environment)),
	}),
	"envoy.extensions.filters.network.sni_cluster.v3.SniCluster": () => ({ kind: "sniCluster" }),
	"envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig": (at, message) => decodeSniDynamicFilter(at, message as SniDynamicFilterConfig),
	"envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit": (at, message) => decodeConnectionLimit(at, message as ConnectionLimit),
	"envoy.extensions.filters.network.rbac.v3.RBAC": (at, message) => {
		const rbac = message as RBAC;
		return { kind: "rbac", statPrefix: rbac.statPrefix, rbac: decodeNetworkRbac(at, rbac) };
	},
	"envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit": (at, message) => {
		const { statPrefix, tokenBucket, shareKey, runtimeEnabled } = message as LocalRateLimit;
		const enabled = decodeRuntimeFlag(runtimeEnabled, true);
		return { kind: "localRateLimit", enabled, statPrefix, bucket: decodeBucket(under(at, "tokenBucket"), tokenBucket), shareKey };
	},
	"envoy.extensions.filters.network.set_filter_state.v3.Config": (at, message) => {
		const config = message as SetFilterState;
		onlySupports(at, "envoy.extensions.filters.network.set_filter_state.v3.Config", config, ["onNewConnection", "onDownstreamTlsHandshake"]);
		return {
			kind: "setFilterState",
			onConnection: decodeFilterState(at, "onNewConnection", config.onNewConnection),
			onHandshake: decodeFilterState(at, "onDownstreamTlsHandshake", config.onDownstreamTlsHandshake),
		};
	},
	"envoy.extensions.filters.network.ext_authz.v3.ExtAuthz": (at, message) => decodeExtAuthz(at, message as ExtAuthz),
	"envoy.tcp.metadataexchange.config.MetadataExchange": () => ({ kind: "metadataExchange" }),
	"envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy": decodeMongo,
	"stats.PluginConfig": (at, message) => ({ kind: "istioStats", stats: decodeIstioStats(at, message as PluginConfig) }),
};

export function isNetworkFilterType(typeName: string): boolean {
	return Object.hasOwn(decoders, typeName);
}

/** What one network filter is told. A type that is no network filter here is reported. */
export function decodeNetworkFilterConfig(at: At, name: string, { typeName, message }: Opened, environment: DecodeEnvironment): NetworkFilter | undefined {
	if (isNetworkFilterType(typeName)) return decoders[typeName]?.(at, message, environment);
	report(at, `network filter ${name} of type ${typeName} is not implemented`);
	return undefined;
}

/** It counts a database's operations and passes all bytes on. We have no such counters; what else it could do is refused. */
function decodeMongo(at: At, message: unknown): undefined {
	onlySupports(at, "envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy", message as MongoProxy, ["statPrefix"]);
}

const authzFields = [
	"statPrefix",
	"grpcService",
	"failureModeAllow",
	"includePeerCertificate",
	"transportApiVersion",
	"filterEnabledMetadata",
	"includeTlsSession",
];
const authzTimeoutMsDefault = 200;

function decodeExtAuthz(at: At, message: ExtAuthz): NetworkFilter | undefined {
	onlySupports(at, "envoy.extensions.filters.network.ext_authz.v3.ExtAuthz", message, authzFields);
	if (message.grpcService === undefined) {
		report(at, "grpc_service is not set");
		return undefined;
	}
	return {
		kind: "extAuthz",
		statPrefix: message.statPrefix,
		service: decodeGrpcService(under(at, "grpcService"), message.grpcService, authzTimeoutMsDefault),
		failureModeAllow: message.failureModeAllow,
		enabledMetadata: message.filterEnabledMetadata && decodeMetadataMatch(under(at, "filterEnabledMetadata"), message.filterEnabledMetadata),
		sendsPeerCertificate: message.includePeerCertificate,
		sendsServerName: message.includeTlsSession,
	};
}

function decodeConnectionLimit(at: At, limit: ConnectionLimit): NetworkFilter {
	const enabled = decodeRuntimeFlag(limit.runtimeEnabled, true);
	const max = limit.maxConnections ?? 0n;
	// Beyond 2^53 there is no limit that a machine could reach.
	const connectionsMax = max > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(max);
	return { kind: "connectionLimit", enabled, connectionsMax, delayMs: durationMsOr(limit.delay, 0), statPrefix: limit.statPrefix };
}

const tcpFields = [
	"statPrefix",
	"cluster",
	"weightedClusters",
	"onDemand",
	"metadataMatch",
	"idleTimeout",
	"accessLog",
	"maxConnectAttempts",
	"hashPolicy",
	"tunnelingConfig",
	"maxDownstreamConnectionDuration",
	"accessLogOptions",
	"accessLogFlushInterval",
	"flushAccessLogOnConnected",
];

function decodeTcpProxy(at: At, proxy: TcpProxyMessage, environment: DecodeEnvironment): TcpProxy {
	onlySupports(at, "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", proxy, tcpFields);
	return {
		kind: "tcpProxy",
		statPrefix: proxy.statPrefix,
		cluster: decodeTcpCluster(proxy),
		onDemand: decodeTcpOnDemand(at, proxy.onDemand),
		metadataMatch: proxy.metadataMatch?.filterMetadata["envoy.lb"],
		logsWhenConnected: proxy.accessLogOptions?.flushAccessLogOnConnected ?? proxy.flushAccessLogOnConnected,
		logIntervalMs: durationMsOr(proxy.accessLogOptions?.accessLogFlushInterval ?? proxy.accessLogFlushInterval, 0),
		idleTimeoutMs: durationMsOr(proxy.idleTimeout, 3_600_000),
		connectAttemptsMax: proxy.maxConnectAttempts ?? 1,
		maxDownstreamConnectionDurationMs: durationMsOr(proxy.maxDownstreamConnectionDuration, 0),
		hashPolicies: proxy.hashPolicy.map((policy, i): HashPolicy => {
			if (policy.filterState !== undefined) return { kind: "filterState", key: policy.filterState.key, terminal: false };
			if (policy.sourceIp === undefined) report(under(at, `hashPolicy[${i}]`), "only source_ip and filter_state are implemented");
			return { kind: "sourceIp", terminal: false };
		}),
		tunnel: proxy.tunnelingConfig && decodeTunnel(under(at, "tunnelingConfig"), proxy.tunnelingConfig),
		accessLogs: decodeAccessLogs(at, proxy.accessLog, environment),
	};
}

function decodeTunnel(at: At, tunnel: TcpProxy_TunnelingConfig): TcpTunnel {
	if (tunnel.postPath !== "" && !tunnel.usePost) report(at, "Can't set a post path when POST method isn't used");
	if (tunnel.postPath !== "" && !tunnel.postPath.startsWith("/")) report(at, "post_path must start with '/'");
	return {
		hostname: tunnel.hostname,
		usePost: tunnel.usePost,
		postPath: tunnel.postPath === "" ? "/" : tunnel.postPath,
		headers: tunnel.headersToAdd.map((option, i) => decodeMutation(under(at, `headersToAdd[${i}]`), option)),
		propagatesHeaders: tunnel.propagateResponseHeaders,
		propagatesTrailers: tunnel.propagateResponseTrailers,
	};
}

function decodeTcpCluster(proxy: TcpProxyMessage): ClusterSelector {
	const weighted = proxy.weightedClusters;
	if (weighted === undefined) return { kind: "cluster", name: proxy.cluster ?? "" };
	const clusters = weighted.clusters.map((cluster) => ({
		name: cluster.name,
		weight: cluster.weight,
		headers: { requestAdd: [], requestRemove: [], responseAdd: [], responseRemove: [] },
		hostRewrite: undefined,
		metadataMatch: cluster.metadataMatch?.filterMetadata["envoy.lb"],
		filters: {},
	}));
	return { kind: "weighted", clusters, totalWeight: clusters.reduce((sum, { weight }) => sum + weight, 0), header: "", usesHashPolicy: false };
}
