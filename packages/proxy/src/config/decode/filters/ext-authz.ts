import type {
	BufferSettings,
	CheckSettings,
	ExtAuthz as AuthzMessage,
	HttpService,
} from "@weft/xds/generated/envoy/extensions/filters/http/ext_authz/v3/ext_authz.ts";
import type { ListStringMatcher } from "@weft/xds/generated/envoy/type/matcher/v3/string.ts";
import type { ExtAuthzBody, ExtAuthzSettings, HttpFilterConfig } from "../../http-filters.ts";
import type { StringMatch } from "../../runtime-config.ts";
import { type At, durationMsOr, onlySupports, report, under } from "../issues.ts";
import { always, decodeMetadataMatch, decodeRuntimeFraction, decodeStringMatch } from "../matchers.ts";

const typeName = "envoy.extensions.filters.http.ext_authz.v3";
const fields = [
	"httpService",
	"transportApiVersion",
	"failureModeAllow",
	"failureModeAllowHeaderAdd",
	"withRequestBody",
	"clearRouteCache",
	"statusOnError",
	"filterEnabled",
	"filterEnabledMetadata",
	"denyAtDisable",
	"statPrefix",
	"allowedHeaders",
	"disallowedHeaders",
	// Only a gRPC check carries it.
	"encodeRawHeaders",
];

/** The service asked over HTTP. Asked over gRPC it is refused by name, until gRPC calls can be made from here. */
export function decodeExtAuthz(at: At, message: AuthzMessage): HttpFilterConfig | undefined {
	if (message.grpcService !== undefined) {
		report(under(at, "grpcService"), "ext_authz over gRPC (grpc_service) is not implemented");
		return undefined;
	}
	onlySupports(at, `${typeName}.ExtAuthz`, message, fields);
	const service = message.httpService;
	if (service === undefined) {
		report(at, "neither grpc_service nor http_service is set");
		return undefined;
	}
	return {
		kind: "extAuthz",
		authz: {
			...decodeService(under(at, "httpService"), service),
			failureModeAllow: message.failureModeAllow,
			failureModeAllowHeaderAdd: message.failureModeAllowHeaderAdd,
			body: decodeBody(message.withRequestBody),
			clearRouteCache: message.clearRouteCache,
			statusOnError: message.statusOnError?.code ?? 403,
			enabled: decodeRuntimeFraction(under(at, "filterEnabled"), message.filterEnabled) ?? always,
			enabledMetadata: message.filterEnabledMetadata && decodeMetadataMatch(under(at, "filterEnabledMetadata"), message.filterEnabledMetadata),
			denyAtDisable: message.denyAtDisable?.defaultValue ?? false,
			statPrefix: message.statPrefix,
			allowedHeaders: [
				...decodeList(under(at, "allowedHeaders"), message.allowedHeaders),
				...decodeList(under(at, "httpService.authorizationRequest.allowedHeaders"), service.authorizationRequest?.allowedHeaders),
			],
			disallowedHeaders: decodeList(under(at, "disallowedHeaders"), message.disallowedHeaders),
		},
	};
}

function decodeService(at: At, service: HttpService) {
	const request = service.authorizationRequest;
	const response = service.authorizationResponse;
	const here = under(at, "authorizationResponse");
	let authority = "";
	try {
		authority = new URL(service.serverUri?.uri ?? "").host;
	} catch {
		authority = (service.serverUri?.uri ?? "").replace(/\/.*/, "");
	}
	return {
		cluster: service.serverUri?.cluster ?? "",
		authority,
		pathPrefix: service.pathPrefix,
		timeoutMs: durationMsOr(service.serverUri?.timeout, 200),
		headersToAdd: (request?.headersToAdd ?? []).map(({ key, value }) => ({ name: key.toLowerCase(), value })),
		allowedUpstreamHeaders: decodeList(under(here, "allowedUpstreamHeaders"), response?.allowedUpstreamHeaders),
		allowedUpstreamHeadersToAppend: decodeList(under(here, "allowedUpstreamHeadersToAppend"), response?.allowedUpstreamHeadersToAppend),
		allowedClientHeaders: decodeList(under(here, "allowedClientHeaders"), response?.allowedClientHeaders),
		allowedClientHeadersOnSuccess: decodeList(under(here, "allowedClientHeadersOnSuccess"), response?.allowedClientHeadersOnSuccess),
		metadataFromHeaders: decodeList(under(here, "dynamicMetadataFromHeaders"), response?.dynamicMetadataFromHeaders),
	};
}

function decodeList(at: At, list: ListStringMatcher | undefined): readonly StringMatch[] {
	return (list?.patterns ?? []).map((pattern, i) => decodeStringMatch(under(at, `patterns[${i}]`), pattern));
}

function decodeBody(settings: BufferSettings | undefined): ExtAuthzBody | undefined {
	return settings && { bytesMax: settings.maxRequestBytes, allowPartial: settings.allowPartialMessage };
}

export function decodeExtAuthzSettings(at: At, settings: CheckSettings): ExtAuthzSettings {
	// Context extensions are for gRPC checks.
	onlySupports(at, `${typeName}.CheckSettings`, settings, ["contextExtensions", "disableRequestBodyBuffering", "withRequestBody"]);
	return { disableBody: settings.disableRequestBodyBuffering, body: decodeBody(settings.withRequestBody) };
}
