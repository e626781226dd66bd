import type { MeshConfig } from "@weft/api";
import {
	HttpConnectionManager,
	HttpConnectionManager_ForwardClientCertDetails,
	HttpConnectionManager_PathWithEscapedSlashesAction,
} from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import { PreserveCaseFormatterConfig } from "@weft/xds/generated/envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case.ts";
import { UuidRequestIdConfig } from "@weft/xds/generated/envoy/extensions/request_id/uuid/v3/uuid.ts";
import { packed, zeroDuration } from "../routes/values.ts";
import { ads } from "./config-source.ts";
import type { NetworkFilter } from "./network-filters.ts";
import { extensionsOn, type ListenerInput } from "./listener-input.ts";
import { reasonReplies } from "./reason-header.ts";
import { serverName } from "./proxy-headers.ts";
import type { Direction } from "./http-filters/filter.ts";
import { buildHttpFilters } from "./http-filters/order.ts";

const requestId = (useRequestIdForTraceSampling: boolean) => ({
	typedConfig: packed("envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig", UuidRequestIdConfig, { useRequestIdForTraceSampling }),
});
const sampledById = requestId(true);
const sampledByChance = requestId(false);

export interface OutboundHttpInput {
	readonly statPrefix: string;
	readonly routeName: string;
	/** Where the traffic is dialled. */
	readonly port: number;
	/** An HTTP proxy takes absolute URLs (RFC 9112 section 3.2.2). */
	readonly httpProxy?: boolean;
	readonly grpcWeb?: boolean;
	/** Wildcards whose hosts are resolved when a request names them. */
	readonly dynamicHosts?: readonly string[];
}

export function buildOutboundConnectionManager(input: ListenerInput, outbound: OutboundHttpInput): NetworkFilter {
	const { statPrefix, routeName, port, httpProxy, grpcWeb = false, dynamicHosts } = outbound;
	return connectionManager({
		...common(input, "outbound", port, grpcWeb, dynamicHosts),
		statPrefix,
		rds: { configSource: ads, routeConfigName: routeName },
		...(httpProxy ? httpProtocolOptions(input, { allowAbsoluteUrl: true, acceptHttp10: input.http10 }) : {}),
		...serverName(input.headers, ""),
	});
}

export interface InboundHttpInput {
	readonly statPrefix: string;
	/** The route table in line: inbound tables are small and belong to one workload. */
	readonly routeConfig: object;
	/** The port is declared to speak HTTP/2. */
	readonly http2: boolean;
	readonly grpcWeb: boolean;
	/** Where the application listens; 0: any port that no service names. */
	readonly port: number;
}

export function buildInboundConnectionManager(input: ListenerInput, { statPrefix, routeConfig, http2, grpcWeb, port }: InboundHttpInput): NetworkFilter {
	const { forwardedClientCert, clientCertDetails } = input.headers;
	return connectionManager({
		...common(input, "inbound", port, grpcWeb),
		statPrefix,
		routeConfig,
		...(http2 ? { http2ProtocolOptions: {} } : {}),
		...serverName(input.headers, "istio-envoy"),
		forwardClientCertDetails: forwardedClientCert ?? HttpConnectionManager_ForwardClientCertDetails.APPEND_FORWARD,
		setCurrentClientCertDetails: clientCertDetails ?? { subject: true, dns: true, uri: true },
	});
}

/** At a gateway the client is a stranger: what it says about itself is replaced by what the connection shows. */
export function buildGatewayConnectionManager(input: ListenerInput, { statPrefix, routeName, port, grpcWeb = false }: OutboundHttpInput): NetworkFilter {
	const { forwardClientCertDetails } = input.topology;
	return connectionManager({
		...common(input, "gateway", port, grpcWeb),
		statPrefix,
		rds: { configSource: ads, routeConfigName: routeName },
		...serverName(input.headers, "istio-envoy"),
		...httpProtocolOptions(input, { acceptHttp10: input.http10 }),
		useRemoteAddress: true,
		xffNumTrustedHops: input.topology.numTrustedProxies,
		forwardClientCertDetails,
		// What is not told must not be described.
		...(describesClient.has(forwardClientCertDetails) ? { setCurrentClientCertDetails: { subject: true, cert: true, dns: true, uri: true } } : {}),
	});
}

const { SANITIZE_SET, APPEND_FORWARD } = HttpConnectionManager_ForwardClientCertDetails;
const describesClient: ReadonlySet<HttpConnectionManager_ForwardClientCertDetails> = new Set([SANITIZE_SET, APPEND_FORWARD]);

function common(input: ListenerInput, direction: Direction, port: number, grpcWeb: boolean, dynamicHosts: readonly string[] = []): object {
	const { istioExtensions, headers, sessions, dynamicDns } = input;
	const { policies, tracing } = input.of(direction);
	const { metadataInMeshOnly: hideFromOutside, suppressEnvoyHeaders } = headers;
	const extensions = extensionsOn(input, direction, port);
	return {
		httpFilters: buildHttpFilters({
			direction,
			istioExtensions,
			policies,
			extensions,
			hideFromOutside,
			suppressEnvoyHeaders,
			sessions,
			grpcWeb,
			dynamicDns,
			dynamicHosts,
		}),
		...(tracing.tracing ? { tracing: tracing.tracing } : {}),
		accessLog: policies.accessLogs.traffic,
		streamIdleTimeout: zeroDuration,
		useRemoteAddress: false,
		proxy100Continue: true,
		upgradeConfigs: [{ upgradeType: "websocket" }],
		requestIdExtension: tracing.useRequestIdForTraceSampling ? sampledById : sampledByChance,
		...(headers.requestId ? {} : { generateRequestId: false }),
		...(input.http10 || headers.preserveHttp1HeaderCase ? httpProtocolOptions(input, input.http10 ? { acceptHttp10: true } : {}) : {}),
		...pathNormalization(input.meshConfig),
		...(headers.forwardedPort ? { appendXForwardedPort: true } : {}),
		...(input.idleTimeout ? { commonHttpProtocolOptions: { idleTimeout: input.idleTimeout } } : {}),
		...(input.reasonHeader && direction !== "outbound" ? { localReplyConfig: reasonReplies } : {}),
	};
}

export const preserveCase = {
	statefulFormatter: {
		name: "preserve_case",
		typedConfig: packed("envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig", PreserveCaseFormatterConfig, {}),
	},
};

function httpProtocolOptions({ headers }: ListenerInput, options: object): { readonly httpProtocolOptions: object } {
	return { httpProtocolOptions: headers.preserveHttp1HeaderCase ? { ...options, headerKeyFormat: preserveCase } : options };
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
