import { createHash } from "node:crypto";
import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import type { HttpConnectionManager as HcmMessage } from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import type { Http1ProtocolOptions } from "@weft/xds/generated/envoy/config/core/v3/protocol.ts";
import type { HttpConnectionManager } from "../http-connection-manager.ts";
import { resourceKey } from "../resource-source.ts";
import { decodeAccessLogs } from "./access-log.ts";
import { decodeCidr } from "./address.ts";
import { decodeConfigSource } from "./config-source.ts";
import { openAny } from "./any.ts";
import type { DecodeEnvironment } from "./environment.ts";
import { decodeHttpFilters } from "./filters/http-filters.ts";
import { decodeHttp2Options } from "./http2-options.ts";
import { type At, durationMs, durationMsOr, onlySupports, report, under } from "./issues.ts";
import { decodeLocalReplies } from "./local-replies.ts";
import { decodeUpgrades } from "./route-action.ts";
import { decodeRoutes } from "./route-table.ts";
import { decodeScopedRoutes } from "./scoped-routes.ts";
import { decodeTracing } from "./tracing.ts";

const typeName = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

// HTTP/3 options have no effect on what is spoken here.
const supported = [
	"codecType",
	"statPrefix",
	"rds",
	"routeConfig",
	"scopedRoutes",
	"httpFilters",
	"tracing",
	"commonHttpProtocolOptions",
	"httpProtocolOptions",
	"http2ProtocolOptions",
	"http3ProtocolOptions",
	"serverName",
	"serverHeaderTransformation",
	"schemeHeaderTransformation",
	"maxRequestHeadersKb",
	"streamIdleTimeout",
	"requestTimeout",
	"requestHeadersTimeout",
	"drainTimeout",
	"delayedCloseTimeout",
	"accessLog",
	"localReplyConfig",
	"useRemoteAddress",
	"xffNumTrustedHops",
	"internalAddressConfig",
	"skipXffAppend",
	"appendXForwardedPort",
	"via",
	"generateRequestId",
	"preserveExternalRequestId",
	"alwaysSetRequestIdInResponse",
	"forwardClientCertDetails",
	"setCurrentClientCertDetails",
	"proxy100Continue",
	"upgradeConfigs",
	"normalizePath",
	"mergeSlashes",
	"pathWithEscapedSlashesAction",
	"requestIdExtension",
	"stripMatchingHostPort",
	"stripAnyHostPort",
	"streamErrorOnInvalidHttpMessage",
	"stripTrailingHostDot",
];

export function decodeHttpConnectionManager(at: At, hcm: HcmMessage, environment: DecodeEnvironment): HttpConnectionManager {
	onlySupports(at, typeName, hcm, supported);
	if (hcm.codecType === 3) report(under(at, "codecType"), "HTTP/3 is not implemented");
	if (hcm.internalAddressConfig?.unixSockets === true) report(under(at, "internalAddressConfig"), "unix_sockets is not implemented");
	return {
		kind: "http",
		statPrefix: hcm.statPrefix,
		codec: (["auto", "http1", "http2", undefined] as const)[hcm.codecType] ?? "auto",
		routes: decodeRouteSource(at, hcm, environment),
		filters: decodeHttpFilters(at, hcm.httpFilters, environment),
		...decodeIdentity(hcm),
		...decodePathRules(at, hcm),
		...decodeTimeouts(hcm),
		...decodeLimits(hcm),
		upgrades: decodeUpgrades(at, hcm.upgradeConfigs),
		http1: decodeHttp1(under(at, "httpProtocolOptions"), hcm.httpProtocolOptions),
		http2: decodeHttp2Options(under(at, "http2ProtocolOptions"), hcm.http2ProtocolOptions, hcm.streamErrorOnInvalidHttpMessage ?? false),
		proxy100Continue: hcm.proxy100Continue,
		accessLogs: decodeAccessLogs(at, hcm.accessLog, environment),
		localReplies: decodeLocalReplies(under(at, "localReplyConfig"), hcm.localReplyConfig, environment),
		internalRanges: (hcm.internalAddressConfig?.cidrRanges ?? []).map(decodeCidr),
		tracing: decodeTracing(at, hcm, environment),
		schemeOverwrite: decodeScheme(at, hcm),
	};
}

function decodeRouteSource(at: At, hcm: HcmMessage, environment: DecodeEnvironment): HttpConnectionManager["routes"] {
	if (hcm.routeConfig !== undefined) {
		const here = under(at, "routeConfig");
		const table = decodeRoutes(here, hcm.routeConfig, environment, true);
		return { kind: "inline", table: table.vhds ? { ...table, name: inlineKey(hcm.routeConfig) } : table };
	}
	if (hcm.scopedRoutes !== undefined) return { kind: "scoped", scoped: decodeScopedRoutes(under(at, "scopedRoutes"), hcm.scopedRoutes, environment) };
	const source = decodeConfigSource(under(at, "rds.configSource"), hcm.rds?.configSource, environment);
	return { kind: "rds", name: hcm.rds?.routeConfigName ?? "", source };
}

/** Tables of one name may differ from listener to listener, and from one version of a listener to the next. */
function inlineKey(message: RouteConfiguration): string {
	return resourceKey(message.name, { id: createHash("sha256").update(RouteConfiguration.encode(message).finish()).digest("hex").slice(0, 16) });
}

function decodeIdentity(hcm: HcmMessage) {
	const details = hcm.setCurrentClientCertDetails;
	return {
		serverName: hcm.serverName === "" ? "envoy" : hcm.serverName,
		serverHeader: (["overwrite", "appendIfAbsent", "passThrough"] as const)[hcm.serverHeaderTransformation] ?? "overwrite",
		useRemoteAddress: hcm.useRemoteAddress ?? false,
		xffNumTrustedHops: hcm.xffNumTrustedHops,
		skipXffAppend: hcm.skipXffAppend,
		appendForwardedPort: hcm.appendXForwardedPort,
		via: hcm.via,
		generateRequestId: hcm.generateRequestId ?? true,
		preserveExternalRequestId: hcm.preserveExternalRequestId,
		alwaysSetRequestIdInResponse: hcm.alwaysSetRequestIdInResponse,
		forwardClientCert: (["sanitize", "forwardOnly", "appendForward", "sanitizeSet", "alwaysForwardOnly"] as const)[hcm.forwardClientCertDetails] ?? "sanitize",
		clientCertDetails: {
			subject: details?.subject ?? false,
			cert: details?.cert ?? false,
			chain: details?.chain ?? false,
			dns: details?.dns ?? false,
			uri: details?.uri ?? false,
		},
	} as const;
}

function decodePathRules(at: At, hcm: HcmMessage) {
	if (hcm.stripAnyHostPort === true && hcm.stripMatchingHostPort)
		report(under(at, "stripAnyHostPort"), "Only one of `strip_matching_host_port` or `strip_any_host_port` can be set.");
	return {
		normalizePath: hcm.normalizePath ?? false,
		mergeSlashes: hcm.mergeSlashes,
		escapedSlashes: (["keep", "keep", "reject", "redirect", "forward"] as const)[hcm.pathWithEscapedSlashesAction] ?? "keep",
		stripPort: hcm.stripAnyHostPort === true ? "any" : hcm.stripMatchingHostPort ? "matching" : "none",
		stripTrailingHostDot: hcm.stripTrailingHostDot,
	} as const;
}

/** Envoy's defaults: stream idle 5 min, connection idle 1 h, drain 5 s, delayed close 1 s, the others off. */
function decodeTimeouts(hcm: HcmMessage) {
	const common = hcm.commonHttpProtocolOptions;
	return {
		streamIdleTimeoutMs: durationMsOr(hcm.streamIdleTimeout, 300_000),
		requestTimeoutMs: durationMsOr(hcm.requestTimeout, 0),
		requestHeadersTimeoutMs: durationMsOr(hcm.requestHeadersTimeout, 0),
		idleTimeoutMs: durationMsOr(common?.idleTimeout, 3_600_000),
		maxConnectionDurationMs: durationMsOr(common?.maxConnectionDuration, 0),
		maxStreamDurationMs: durationMsOr(common?.maxStreamDuration, 0),
		drainTimeoutMs: durationMsOr(hcm.drainTimeout, 5_000),
		delayedCloseTimeoutMs: durationMs(hcm.delayedCloseTimeout) ?? 1_000,
	};
}

function decodeLimits(hcm: HcmMessage) {
	const common = hcm.commonHttpProtocolOptions;
	return {
		maxRequestsPerConnection: common?.maxRequestsPerConnection ?? 0,
		requestHeadersBytesMax: (hcm.maxRequestHeadersKb ?? 60) * 1024,
		headersCountMax: common?.maxHeadersCount ?? 100,
		underscoresInHeaders: (["allow", "reject", "drop"] as const)[common?.headersWithUnderscoresAction ?? 0] ?? "allow",
	} as const;
}

function decodeScheme(at: At, hcm: HcmMessage): "http" | "https" | undefined {
	const scheme = hcm.schemeHeaderTransformation;
	if (scheme?.matchUpstream === true) report(under(at, "schemeHeaderTransformation.matchUpstream"), "match_upstream is not implemented");
	return scheme?.schemeToOverwrite === "http" || scheme?.schemeToOverwrite === "https" ? scheme.schemeToOverwrite : undefined;
}

const http1Fields = [
	"allowAbsoluteUrl",
	"allowCustomMethods",
	"acceptHttp10",
	"defaultHostForHttp10",
	"headerKeyFormat",
	"enableTrailers",
	"overrideStreamErrorOnInvalidHttpMessage",
	"useBalsaParser",
];

export function decodeHttp1(at: At, options: Http1ProtocolOptions | undefined): HttpConnectionManager["http1"] {
	if (options !== undefined) onlySupports(at, "envoy.config.core.v3.Http1ProtocolOptions", options, http1Fields);
	return {
		acceptHttp10: options?.acceptHttp10 ?? false,
		allowAbsoluteUrl: options?.allowAbsoluteUrl ?? true,
		allowCustomMethods: options?.allowCustomMethods ?? false,
		defaultHostForHttp10: options?.defaultHostForHttp10 ?? "",
		enableTrailers: options?.enableTrailers ?? false,
		headerCase: decodeHeaderCase(at, options),
	};
}

const preserveCaseType = "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig";

function decodeHeaderCase(at: At, options: Http1ProtocolOptions | undefined): "lower" | "proper" | "preserve" {
	const format = options?.headerKeyFormat;
	if (format?.properCaseWords !== undefined) return "proper";
	if (format?.statefulFormatter === undefined) return "lower";
	const here = under(at, "headerKeyFormat.statefulFormatter");
	const opened = openAny(here, format.statefulFormatter.typedConfig, `header formatter ${format.statefulFormatter.name}`);
	if (opened?.typeName === preserveCaseType) onlySupports(here, preserveCaseType, opened.message as object, []);
	else if (opened) report(here, `header formatter of type ${opened.typeName} is not implemented`);
	return "preserve";
}
