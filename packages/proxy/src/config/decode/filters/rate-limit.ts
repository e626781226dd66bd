import type { RateLimit as LimitMessage, RateLimitPerRoute } from "@weft/xds/generated/envoy/extensions/filters/http/ratelimit/v3/rate_limit.ts";
import { RateLimit as RouteRateLimit } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { HttpFilterConfig } from "../../http-filters.ts";
import type { RateLimitSettings } from "../../rate-limits.ts";
import { decodeGrpcService } from "../grpc-service.ts";
import { decodeMutation } from "../headers.ts";
import { type At, durationMsOr, onlySupports, report, under } from "../issues.ts";
import { decodeRateLimits } from "./local-rate-limit.ts";

const typeName = "envoy.extensions.filters.http.ratelimit.v3";
const fields = [
	"domain",
	"stage",
	"requestType",
	"timeout",
	"failureModeDeny",
	"rateLimitedAsResourceExhausted",
	"rateLimitService",
	"enableXRatelimitHeaders",
	"disableXEnvoyRatelimitedHeader",
	"rateLimitedStatus",
	"responseHeadersToAdd",
	"statusOnError",
	"statPrefix",
	"rateLimits",
];
const timeoutMsDefault = 20;
const requestTypes = ["", "both", "internal", "external"];

export function decodeRateLimit(at: At, limit: LimitMessage): HttpFilterConfig | undefined {
	onlySupports(at, `${typeName}.RateLimit`, limit, fields);
	const service = limit.rateLimitService?.grpcService;
	if (service === undefined) {
		report(under(at, "rateLimitService"), "grpc_service is not set");
		return undefined;
	}
	if (!requestTypes.includes(limit.requestType))
		report(under(at, "requestType"), `${JSON.stringify(limit.requestType)} is none of internal, external and both`);
	const timeoutMs = durationMsOr(limit.timeout, timeoutMsDefault);
	return {
		kind: "rateLimit",
		limit: {
			// The filter's own timeout counts, not the service's.
			service: { ...decodeGrpcService(under(at, "rateLimitService.grpcService"), service, timeoutMsDefault), timeoutMs },
			domain: limit.domain,
			stage: limit.stage,
			requestType: limit.requestType === "internal" || limit.requestType === "external" ? limit.requestType : "both",
			failureModeDeny: limit.failureModeDeny,
			asResourceExhausted: limit.rateLimitedAsResourceExhausted,
			draft03Headers: limit.enableXRatelimitHeaders === 1,
			hidesRateLimitedHeader: limit.disableXEnvoyRatelimitedHeader,
			// Envoy takes what is no error for 429 as well.
			status: (limit.rateLimitedStatus?.code ?? 0) < 400 ? 429 : (limit.rateLimitedStatus?.code ?? 429),
			responseHeaders: limit.responseHeadersToAdd.map((h, i) => decodeMutation(under(at, `responseHeadersToAdd[${i}]`), h)),
			statusOnError: (limit.statusOnError?.code ?? 0) < 400 ? 500 : (limit.statusOnError?.code ?? 500),
			statPrefix: limit.statPrefix,
			rateLimits: decodeRateLimits(at, limit.rateLimits),
		},
	};
}

export function decodeRateLimitSettings(at: At, settings: RateLimitPerRoute): RateLimitSettings {
	onlySupports(at, `${typeName}.RateLimitPerRoute`, settings, ["vhRateLimits", "rateLimits", "domain"]);
	return {
		virtualHostLimits: (["override", "include", "ignore"] as const)[settings.vhRateLimits] ?? "override",
		// The same actions, but for a key that route actions have and these have not.
		rateLimits: decodeRateLimits(
			at,
			settings.rateLimits.map((limit) => RouteRateLimit.fromPartial(limit)),
		),
		domain: settings.domain,
	};
}
