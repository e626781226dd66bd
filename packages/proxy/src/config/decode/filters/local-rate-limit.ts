import type { MetadataKey } from "@weft/xds/generated/envoy/type/metadata/v3/metadata.ts";
import type { RateLimit as RateLimitMessage, RateLimit_Action } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { LocalRateLimit as LimitMessage } from "@weft/xds/generated/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.ts";
import type { TokenBucket as BucketMessage } from "@weft/xds/generated/envoy/type/v3/token_bucket.ts";
import type { LocalRateLimit, RateLimitAction, RateLimitEntry, TokenBucket } from "../../rate-limits.ts";
import { decodeMutation } from "../headers.ts";
import { type At, durationMsOr, onlySupports, report, under } from "../issues.ts";
import { decodeHeaderMatches, decodeQueryMatch, decodeRuntimeFraction, never } from "../matchers.ts";

const fields = [
	"statPrefix",
	"status",
	"tokenBucket",
	"filterEnabled",
	"filterEnforced",
	"requestHeadersToAddWhenNotEnforced",
	"responseHeadersToAdd",
	"descriptors",
	"stage",
	"localRateLimitPerDownstreamConnection",
	"enableXRatelimitHeaders",
	"vhRateLimits",
	"alwaysConsumeDefaultTokenBucket",
	"rateLimitedAsResourceExhausted",
	"rateLimits",
	"maxDynamicDescriptors",
];
/** Envoy's, of values of one wildcard descriptor that are remembered. */
const dynamicDescriptorsDefault = 20;

export function decodeLocalRateLimit(at: At, limit: LimitMessage): LocalRateLimit {
	onlySupports(at, "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit", limit, fields);
	const bucket = limit.tokenBucket && decodeBucket(under(at, "tokenBucket"), limit.tokenBucket);
	return {
		statPrefix: limit.statPrefix,
		// Envoy takes what is no error for 429 as well.
		status: (limit.status?.code ?? 0) < 400 ? 429 : (limit.status?.code ?? 429),
		bucket,
		enabled: decodeRuntimeFraction(under(at, "filterEnabled"), limit.filterEnabled) ?? never,
		enforced: decodeRuntimeFraction(under(at, "filterEnforced"), limit.filterEnforced) ?? never,
		requestHeadersWhenNotEnforced: limit.requestHeadersToAddWhenNotEnforced.map((h, i) =>
			decodeMutation(under(at, `requestHeadersToAddWhenNotEnforced[${i}]`), h),
		),
		responseHeaders: limit.responseHeadersToAdd.map((h, i) => decodeMutation(under(at, `responseHeadersToAdd[${i}]`), h)),
		descriptors: limit.descriptors.map((descriptor, i) => {
			const here = under(at, `descriptors[${i}]`);
			const own = decodeBucket(under(here, "tokenBucket"), descriptor.tokenBucket);
			if (bucket !== undefined && own.fillIntervalMs % bucket.fillIntervalMs !== 0)
				report(here, "local rate descriptor limit is not a multiple of token bucket fill timer");
			return { entries: descriptor.entries, bucket: own };
		}),
		stage: limit.stage,
		perConnection: limit.localRateLimitPerDownstreamConnection,
		draft03Headers: limit.enableXRatelimitHeaders === 1,
		virtualHostLimits: (["override", "include", "ignore"] as const)[limit.vhRateLimits] ?? "override",
		alwaysConsumeDefault: limit.alwaysConsumeDefaultTokenBucket ?? true,
		asResourceExhausted: limit.rateLimitedAsResourceExhausted,
		rateLimits: decodeRateLimits(at, limit.rateLimits),
		dynamicDescriptorsMax: limit.maxDynamicDescriptors ?? dynamicDescriptorsDefault,
	};
}

/** Shorter intervals than Envoy's timer allows are refused there too. */
const fillIntervalMsMin = 50;

export function decodeBucket(at: At, bucket: BucketMessage | undefined): TokenBucket {
	const fillIntervalMs = durationMsOr(bucket?.fillInterval, 0);
	if (fillIntervalMs < fillIntervalMsMin) report(at, "local rate limit token bucket fill timer must be >= 50ms");
	return { tokensMax: bucket?.maxTokens ?? 0, tokensPerFill: bucket?.tokensPerFill ?? 1, fillIntervalMs, key: `${at.resource} ${at.path}` };
}

/** `rate_limits` of a route, a virtual host or a filter. */
export function decodeRateLimits(at: At, limits: readonly RateLimitMessage[]): readonly RateLimitAction[] {
	return limits.map((limit, i) => {
		const here = under(at, `rateLimits[${i}]`);
		onlySupports(here, "envoy.config.route.v3.RateLimit", limit, ["stage", "disableKey", "actions"]);
		const entries = limit.actions.flatMap((action, j) => decodeEntry(under(here, `actions[${j}]`), action) ?? []);
		return { stage: limit.stage ?? 0, entries, ...(limit.disableKey !== "" && { disableKey: limit.disableKey }) };
	});
}

function decodeEntry(at: At, action: RateLimit_Action): RateLimitEntry | undefined {
	if (action.sourceCluster !== undefined) return { kind: "sourceCluster" };
	if (action.destinationCluster !== undefined) return { kind: "destinationCluster" };
	if (action.remoteAddress !== undefined) return { kind: "remoteAddress" };
	if (action.requestHeaders !== undefined) {
		const { headerName, descriptorKey, skipIfAbsent } = action.requestHeaders;
		return { kind: "requestHeader", header: headerName.toLowerCase(), key: descriptorKey, skipIfAbsent };
	}
	if (action.genericKey !== undefined)
		return { kind: "generic", key: action.genericKey.descriptorKey || "generic_key", value: action.genericKey.descriptorValue };
	if (action.headerValueMatch !== undefined) {
		const { descriptorKey, descriptorValue, expectMatch, headers } = action.headerValueMatch;
		const here = under(at, "headerValueMatch");
		return {
			kind: "headerValueMatch",
			key: descriptorKey || "header_match",
			value: descriptorValue,
			expect: expectMatch ?? true,
			headers: decodeHeaderMatches(here, headers),
		};
	}
	if (action.metadata !== undefined) {
		const { descriptorKey, metadataKey, defaultValue, skipIfAbsent, source } = action.metadata;
		return { kind: "metadata", source: source === 1 ? "route" : "request", key: descriptorKey, ...keyOf(metadataKey), defaultValue, skipIfAbsent };
	}
	if (action.maskedRemoteAddress !== undefined) {
		const { v4PrefixMaskLen: v4Bits = 32, v6PrefixMaskLen: v6Bits = 128 } = action.maskedRemoteAddress;
		return { kind: "maskedRemoteAddress", v4Bits, v6Bits };
	}
	if (action.queryParameterValueMatch !== undefined) {
		const { descriptorKey, descriptorValue, expectMatch, queryParameters } = action.queryParameterValueMatch;
		const query = queryParameters.map((one, i) => decodeQueryMatch(under(at, `queryParameterValueMatch.queryParameters[${i}]`), one));
		return { kind: "queryValueMatch", key: descriptorKey || "query_match", value: descriptorValue, expect: expectMatch ?? true, query };
	}
	if (action.dynamicMetadata !== undefined) report(at, "dynamic_metadata is not implemented, and deprecated in Envoy: metadata is");
	else if (action.extension !== undefined) report(at, `rate limit action ${action.extension.name} is not implemented`);
	return undefined;
}

const keyOf = (key: MetadataKey | undefined) => ({ filter: key?.key ?? "", path: key?.path.map((segment) => segment.key ?? "") ?? [] });
