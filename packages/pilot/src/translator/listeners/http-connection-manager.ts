import type { MeshConfig } from "@weft/api";
import {
	HttpConnectionManager,
	HttpConnectionManager_ForwardClientCertDetails,
	HttpConnectionManager_PathWithEscapedSlashesAction,
} from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import { UuidRequestIdConfig } from "@weft/xds/generated/envoy/extensions/request_id/uuid/v3/uuid.ts";
import { packed, zeroDuration } from "../routes/values.ts";
import { ads } from "./config-source.ts";
import type { NetworkFilter } from "./network-filters.ts";
import { buildAccessLogs } from "./access-log.ts";
import type { ListenerInput } from "./listener-input.ts";
import type { Direction } from "./http-filters/filter.ts";
import { buildHttpFilters } from "./http-filters/order.ts";

const requestId = {
	typedConfig: packed("envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig", UuidRequestIdConfig, { useRequestIdForTraceSampling: true }),
};

export interface OutboundHttpInput {
	readonly statPrefix: string;
	readonly routeName: string;
	/** An HTTP proxy takes absolute URLs (RFC 9112 section 3.2.2). */
	readonly httpProxy?: boolean;
	/** Wildcards whose hosts are resolved when a request names them. */
	readonly dynamicHosts?: readonly string[];
}

export function buildOutboundConnectionManager(input: ListenerInput, { statPrefix, routeName, httpProxy, dynamicHosts }: OutboundHttpInput): NetworkFilter {
	return connectionManager({
		...common(input, "outbound", dynamicHosts),
		statPrefix,
		rds: { configSource: ads, routeConfigName: routeName },
		...(httpProxy ? { httpProtocolOptions: { allowAbsoluteUrl: true, acceptHttp10: input.http10 } } : {}),
	});
}

export interface InboundHttpInput {
	readonly statPrefix: string;
	/** The route table in line: inbound tables are small and belong to one workload. */
	readonly routeConfig: object;
	/** The port is declared to speak HTTP/2. */
	readonly http2: boolean;
}

export function buildInboundConnectionManager(input: ListenerInput, { statPrefix, routeConfig, http2 }: InboundHttpInput): NetworkFilter {
	return connectionManager({
		...common(input, "inbound"),
		statPrefix,
		routeConfig,
		...(http2 ? { http2ProtocolOptions: {} } : {}),
		serverName: "istio-envoy",
		forwardClientCertDetails: HttpConnectionManager_ForwardClientCertDetails.APPEND_FORWARD,
		setCurrentClientCertDetails: { subject: true, dns: true, uri: true },
	});
}

/** At a gateway the client is a stranger: what it says about itself is replaced by what the connection shows. */
export function buildGatewayConnectionManager(input: ListenerInput, statPrefix: string, routeName: string): NetworkFilter {
	return connectionManager({
		...common(input, "gateway"),
		statPrefix,
		rds: { configSource: ads, routeConfigName: routeName },
		serverName: "istio-envoy",
		httpProtocolOptions: { acceptHttp10: input.http10 },
		useRemoteAddress: true,
		xffNumTrustedHops: input.topology.numTrustedProxies,
		forwardClientCertDetails: input.topology.forwardClientCertDetails,
		setCurrentClientCertDetails: { subject: true, cert: true, dns: true, uri: true },
	});
}

function common(input: ListenerInput, direction: Direction, dynamicHosts: readonly string[] = []): object {
	return {
		httpFilters: buildHttpFilters({ direction, istioExtensions: input.istioExtensions, metrics: input.metrics, dynamicDns: input.dynamicDns, dynamicHosts }),
		tracing: input.tracing,
		accessLog: buildAccessLogs(input.meshConfig).traffic,
		streamIdleTimeout: zeroDuration,
		useRemoteAddress: false,
		proxy100Continue: true,
		upgradeConfigs: [{ upgradeType: "websocket" }],
		requestIdExtension: requestId,
		...(input.http10 ? { httpProtocolOptions: { acceptHttp10: true } } : {}),
		...pathNormalization(input.meshConfig),
	};
}

/** https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#MeshConfig-ProxyPathNormalization */
export function pathNormalization(mesh: MeshConfig): object {
	const mode = mesh.pathNormalization?.normalization ?? "DEFAULT";
	const action = HttpConnectionManager_PathWithEscapedSlashesAction;
	return {
		normalizePath: mode !== "NONE",
		mergeSlashes: mode === "MERGE_SLASHES" || mode === "DECODE_AND_MERGE_SLASHES",
		pathWithEscapedSlashesAction: mode === "DECODE_AND_MERGE_SLASHES" ? action.UNESCAPE_AND_FORWARD : action.KEEP_UNCHANGED,
	};
}

function connectionManager(config: object): NetworkFilter {
	const typeName = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
	return { name: "envoy.filters.network.http_connection_manager", typedConfig: packed(typeName, HttpConnectionManager, config) };
}
