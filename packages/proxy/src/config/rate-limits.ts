/** Rate limits: of this process's own, and asked of a service. */

import type { GrpcService } from "./grpc-service.ts";
import type { HeaderMutation } from "./header-operations.ts";
import type { Fraction, HeaderMatch, QueryMatch } from "./matchers.ts";

export interface TokenBucket {
	readonly tokensMax: number;
	readonly tokensPerFill: number;
	readonly fillIntervalMs: number;
	/** Tells it from other buckets: the resource and where in it. */
	readonly key: string;
}

export interface LocalRateLimit {
	readonly statPrefix: string;
	readonly status: number;
	readonly bucket: TokenBucket | undefined;
	readonly enabled: Fraction;
	readonly enforced: Fraction;
	readonly requestHeadersWhenNotEnforced: readonly HeaderMutation[];
	readonly responseHeaders: readonly HeaderMutation[];
	readonly descriptors: readonly { readonly entries: readonly DescriptorEntry[]; readonly bucket: TokenBucket }[];
	readonly stage: number;
	readonly perConnection: boolean;
	readonly draft03Headers: boolean;
	readonly virtualHostLimits: "override" | "include" | "ignore";
	readonly alwaysConsumeDefault: boolean;
	readonly asResourceExhausted: boolean;
	/** Used instead of the route's. */
	readonly rateLimits: readonly RateLimitAction[];
	/** Values remembered for each wildcard descriptor. */
	readonly dynamicDescriptorsMax: number;
}

export interface DescriptorEntry {
	readonly key: string;
	/** "" : any, each value with a bucket of its own. */
	readonly value: string;
}

/** A route's `rate_limits`: what a request is described by. */
export interface RateLimitAction {
	readonly stage: number;
	readonly entries: readonly RateLimitEntry[];
	/** The runtime may take it away for some requests (`ratelimit.<key>.http_filter_enabled`); absent: it cannot. */
	readonly disableKey?: string;
}

export type RateLimitEntry =
	| { readonly kind: "sourceCluster" | "destinationCluster" | "remoteAddress" }
	| { readonly kind: "requestHeader"; readonly header: string; readonly key: string; readonly skipIfAbsent: boolean }
	/** The range of so many bits that the caller is in. */
	| { readonly kind: "maskedRemoteAddress"; readonly v4Bits: number; readonly v6Bits: number }
	| { readonly kind: "generic"; readonly key: string; readonly value: string }
	| { readonly kind: "queryValueMatch"; readonly key: string; readonly value: string; readonly expect: boolean; readonly query: readonly QueryMatch[] }
	| { readonly kind: "headerValueMatch"; readonly key: string; readonly value: string; readonly expect: boolean; readonly headers: readonly HeaderMatch[] }
	| {
			readonly kind: "metadata";
			readonly source: "request" | "route";
			readonly key: string;
			readonly filter: string;
			readonly path: readonly string[];
			readonly defaultValue: string;
			readonly skipIfAbsent: boolean;
	  };

/** Asked of a service. */
export interface RateLimit {
	readonly service: GrpcService;
	readonly domain: string;
	readonly stage: number;
	readonly requestType: "internal" | "external" | "both";
	readonly failureModeDeny: boolean;
	readonly asResourceExhausted: boolean;
	readonly draft03Headers: boolean;
	readonly hidesRateLimitedHeader: boolean;
	readonly status: number;
	/** Of refusals. */
	readonly responseHeaders: readonly HeaderMutation[];
	readonly statusOnError: number;
	readonly statPrefix: string;
	/** Of the filter itself, for routes that say nothing; empty: the route's are used. */
	readonly rateLimits: readonly RateLimitAction[];
}

export interface RateLimitSettings {
	readonly virtualHostLimits: "override" | "include" | "ignore";
	readonly rateLimits: readonly RateLimitAction[];
	/** "" : the filter's. */
	readonly domain: string;
}
