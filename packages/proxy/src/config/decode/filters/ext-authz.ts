import type {
	BufferSettings,
	CheckSettings,
	ExtAuthz as AuthzMessage,
	HttpService,
} from "@weft/xds/generated/envoy/extensions/filters/http/ext_authz/v3/ext_authz.ts";
import type { ListStringMatcher } from "@weft/xds/generated/envoy/type/matcher/v3/string.ts";
import type { ExtAuthzBody, ExtAuthzGrpc, ExtAuthzHttp, ExtAuthzSettings } from "../../external-authorization.ts";
import type { HttpFilterConfig } from "../../http-filters.ts";
import type { StringMatch } from "../../matchers.ts";
import { decodeGrpcService } from "../grpc-service.ts";
import { type At, durationMsOr, onlySupports, report, under } from "../issues.ts";
import { always, decodeMetadataMatch, decodeRuntimeFlag, decodeRuntimeFraction, decodeStringMatch } from "../matchers.ts";

const typeName = "envoy.extensions.filters.http.ext_authz.v3";
const fields = [
	"httpService",
	"grpcService",
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
	// Only a gRPC check carries these.
	"encodeRawHeaders",
	"metadataContextNamespaces",
	"includePeerCertificate",
	"includeTlsSession",
];
const timeoutMsDefault = 200;

export function decodeExtAuthz(at: At, message: AuthzMessage): HttpFilterConfig | undefined {
	onlySupports(at, `${typeName}.ExtAuthz`, message, fields);
	const service = decodeAnyService(at, message);
	if (service === undefined) {
		report(at, "neither grpc_service nor http_service is set");
		return undefined;
	}
	return {
		kind: "extAuthz",
		authz: {
			service,
			failureModeAllow: message.failureModeAllow,
			failureModeAllowHeaderAdd: message.failureModeAllowHeaderAdd,
			body: decodeBody(message.withRequestBody),
			clearRouteCache: message.clearRouteCache,
			statusOnError: message.statusOnError?.code ?? 403,
			enabled: decodeRuntimeFraction(under(at, "filterEnabled"), message.filterEnabled) ?? always,
			enabledMetadata: message.filterEnabledMetadata && decodeMetadataMatch(under(at, "filterEnabledMetadata"), message.filterEnabledMetadata),
			denyAtDisable: decodeRuntimeFlag(message.denyAtDisable, false),
			statPrefix: message.statPrefix,
			allowedHeaders: [
				...decodeList(under(at, "allowedHeaders"), message.allowedHeaders),
				...decodeList(under(at, "httpService.authorizationRequest.allowedHeaders"), message.httpService?.authorizationRequest?.allowedHeaders),
			],
			disallowedHeaders: decodeList(under(at, "disallowedHeaders"), message.disallowedHeaders),
		},
	};
}

function decodeAnyService(at: At, message: AuthzMessage): ExtAuthzHttp | ExtAuthzGrpc | undefined {
	if (message.httpService !== undefined) return decodeService(under(at, "httpService"), message.httpService);
	if (message.grpcService === undefined) return undefined;
	return {
		kind: "grpc",
		service: decodeGrpcService(under(at, "grpcService"), message.grpcService, timeoutMsDefault),
		metadataNamespaces: message.metadataContextNamespaces,
		sendsPeerCertificate: message.includePeerCertificate,
		sendsServerName: message.includeTlsSession,
		sendsRawHeaders: message.encodeRawHeaders,
	};
}

function decodeService(at: At, service: HttpService): ExtAuthzHttp {
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
		kind: "http",
		cluster: service.serverUri?.cluster ?? "",
		authority,
		pathPrefix: service.pathPrefix,
		timeoutMs: durationMsOr(service.serverUri?.timeout, timeoutMsDefault),
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
	return settings && { bytesMax: settings.maxRequestBytes, allowPartial: settings.allowPartialMessage, asBytes: settings.packAsBytes };
}

export function decodeExtAuthzSettings(at: At, settings: CheckSettings): ExtAuthzSettings {
	onlySupports(at, `${typeName}.CheckSettings`, settings, ["contextExtensions", "disableRequestBodyBuffering", "withRequestBody"]);
	return { contextExtensions: settings.contextExtensions, disableBody: settings.disableRequestBodyBuffering, body: decodeBody(settings.withRequestBody) };
}
