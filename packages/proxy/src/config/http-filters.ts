import type { CelNode } from "./cel-node.ts";
import type { ConfigDiscovery } from "./discovered-filters.ts";
import type { MatcherTree } from "./matcher-tree.ts";
import type { Fraction, HeaderMatch, HeaderMutation, IstioStats, MetadataMatch, QueryMatch, Route, StringMatch } from "./runtime-config.ts";

/** What HTTP filters are told: their own configuration, and what routes say to them (`typed_per_filter_config`). */

/** `disabled`: runs only where a route says something to it. */
export type HttpFilter = HttpFilterConfig & { readonly name: string; readonly disabled?: boolean };

export type HttpFilterConfig =
	| { readonly kind: "router"; readonly suppressEnvoyHeaders: boolean }
	| { readonly kind: "fault"; readonly policy: FaultPolicy }
	| { readonly kind: "cors" }
	| { readonly kind: "healthCheck"; readonly check: HealthCheck }
	/** istio.alpn: what a cluster offers for each upstream protocol. */
	| { readonly kind: "alpn"; readonly http10: readonly string[]; readonly http11: readonly string[]; readonly http2: readonly string[] }
	| { readonly kind: "istioStats"; readonly stats: IstioStats }
	| { readonly kind: "peerMetadata" }
	| { readonly kind: "rbac"; readonly rbac: Rbac }
	| { readonly kind: "jwtAuthn"; readonly jwt: JwtAuthentication }
	| { readonly kind: "localRateLimit"; readonly limit: LocalRateLimit }
	| { readonly kind: "headerMutation"; readonly mutations: Mutations; readonly mostSpecificWins: boolean }
	| { readonly kind: "csrf"; readonly policy: CsrfPolicy }
	| { readonly kind: "buffer"; readonly bytesMax: number }
	| { readonly kind: "grpcWeb" }
	| { readonly kind: "onDemand" }
	| { readonly kind: "dynamicForwardProxy" }
	| { readonly kind: "grpcHttp1Bridge" }
	| { readonly kind: "grpcStats"; readonly stats: GrpcStats }
	| { readonly kind: "statefulSession"; readonly session: StatefulSession | undefined }
	| { readonly kind: "extAuthz"; readonly authz: ExtAuthz }
	| { readonly kind: "rateLimit"; readonly limit: RateLimit }
	/** What it is comes by itself, under the filter's name. */
	| { readonly kind: "discovered"; readonly discovery: ConfigDiscovery<HttpFilterConfig> };

export type FilterOverride = {
	readonly disabled: boolean;
	/** undefined: the filter's own configuration. */
	readonly config: FilterOverrideConfig | undefined;
};

export type FilterOverrides = Readonly<Record<string, FilterOverride>>;

export type FilterOverrideConfig =
	| { readonly kind: "cors"; readonly policy: CorsPolicy }
	| { readonly kind: "fault"; readonly policy: FaultPolicy }
	| { readonly kind: "rbac"; readonly rbac: Rbac }
	| { readonly kind: "jwtAuthn"; readonly requirementName: string }
	| { readonly kind: "localRateLimit"; readonly limit: LocalRateLimit }
	| { readonly kind: "headerMutation"; readonly mutations: Mutations }
	| { readonly kind: "csrf"; readonly policy: CsrfPolicy }
	| { readonly kind: "buffer"; readonly bytesMax: number }
	| { readonly kind: "statefulSession"; readonly session: StatefulSession | undefined }
	| { readonly kind: "extAuthz"; readonly settings: ExtAuthzSettings }
	| { readonly kind: "rateLimit"; readonly settings: RateLimitSettings }
	| { readonly kind: "dynamicForwardProxy"; readonly rewrite: HostRewriteOverride };

/** Whom a route's requests are for, instead of whom they name. */
export type HostRewriteOverride = { readonly kind: "literal"; readonly value: string } | { readonly kind: "header"; readonly name: string };

export interface CorsPolicy {
	readonly allowOrigins: readonly StringMatch[];
	readonly allowMethods: string;
	readonly allowHeaders: string;
	readonly exposeHeaders: string;
	readonly maxAge: string;
	readonly allowCredentials: boolean | undefined;
	readonly enabled: Fraction;
	readonly forwardNotMatchingPreflights: boolean;
}

export interface FaultPolicy {
	readonly delay: { readonly fraction: Fraction; readonly source: { readonly kind: "fixed"; readonly ms: number } | { readonly kind: "header" } } | undefined;
	readonly abort:
		| {
				readonly fraction: Fraction;
				readonly source: { readonly kind: "http"; readonly status: number } | { readonly kind: "grpc"; readonly status: number } | { readonly kind: "header" };
		  }
		| undefined;
	readonly headers: readonly HeaderMatch[];
	readonly upstreamCluster: string;
	readonly downstreamNodes: readonly string[];
}

// ---- health check

export interface HealthCheck {
	readonly passThrough: boolean;
	/** 0: nothing is remembered. */
	readonly cacheMs: number;
	/** Answered by the share of healthy hosts of these clusters. */
	readonly clusterMinHealthyPercentages: Readonly<Record<string, number>>;
	readonly headers: readonly HeaderMatch[];
}

// ---- role-based access control, for HTTP and for connections

export interface Rbac {
	readonly rules: RbacRules | undefined;
	readonly rulesStatPrefix: string;
	/** Judged and reported, not enforced. */
	readonly shadowRules: RbacRules | undefined;
	readonly shadowRulesStatPrefix: string;
	readonly trackPerRuleStats: boolean;
}

export type RbacRules = RbacPolicies | RbacMatcher;

export interface RbacPolicies {
	readonly kind: "policies";
	readonly action: RbacAction;
	/** Sorted by name, the order in which they are tried. */
	readonly policies: readonly RbacPolicy[];
}

/** `matcher`: what no action is for is denied. */
export interface RbacMatcher {
	readonly kind: "matcher";
	readonly tree: MatcherTree<{ readonly name: string; readonly action: RbacAction }>;
}

export type RbacAction = "allow" | "deny" | "log";

export interface RbacPolicy {
	readonly name: string;
	readonly permissions: readonly RbacRule[];
	readonly principals: readonly RbacRule[];
	/** Must hold, too; one that cannot be computed does not. */
	readonly condition?: CelNode;
}

/** A permission or a principal: both are conditions on a request and its connection. */
export type RbacRule =
	| { readonly kind: "any" }
	| { readonly kind: "and" | "or"; readonly rules: readonly RbacRule[] }
	| { readonly kind: "not"; readonly rule: RbacRule }
	| { readonly kind: "header"; readonly header: HeaderMatch }
	| { readonly kind: "urlPath"; readonly match: StringMatch }
	| { readonly kind: "uriTemplate"; readonly template: string }
	| { readonly kind: "destinationIp" | "sourceIp" | "directRemoteIp" | "remoteIp"; readonly cidr: string }
	/** `end` excluded. */
	| { readonly kind: "destinationPort"; readonly start: number; readonly end: number }
	| { readonly kind: "metadata"; readonly match: MetadataMatch }
	| { readonly kind: "requestedServerName"; readonly match: StringMatch }
	/** undefined: any certificate. */
	| { readonly kind: "authenticated"; readonly name: StringMatch | undefined }
	| { readonly kind: "filterState"; readonly key: string; readonly match: StringMatch };

// ---- JWT

export interface JwtAuthentication {
	readonly providers: Readonly<Record<string, JwtProvider>>;
	readonly rules: readonly { readonly match: RequestMatch; readonly requirement: JwtRequirement | undefined }[];
	readonly requirements: Readonly<Record<string, JwtRequirement>>;
	readonly filterStateRules: { readonly key: string; readonly requirements: Readonly<Record<string, JwtRequirement>> } | undefined;
	readonly bypassCorsPreflight: boolean;
	readonly stripFailureResponse: boolean;
}

/** The part of a route's match that a filter's own rules have. */
export type RequestMatch = Pick<Route, "path" | "headers" | "query" | "dynamicMetadata" | "grpcOnly" | "runtimeFraction">;

export interface JwtProvider {
	/** "" : any. */
	readonly issuer: string;
	/** Empty: any. */
	readonly audiences: readonly string[];
	readonly subjects: StringMatch | undefined;
	readonly requireExpiration: boolean;
	/** 0: no limit. */
	readonly maxLifetimeMs: number;
	readonly jwks: { readonly kind: "local"; readonly json: string } | { readonly kind: "remote"; readonly source: RemoteJwks };
	readonly forward: boolean;
	readonly fromHeaders: readonly { readonly name: string; readonly valuePrefix: string }[];
	readonly fromParams: readonly string[];
	readonly fromCookies: readonly string[];
	readonly forwardPayloadHeader: string;
	readonly padForwardPayloadHeader: boolean;
	readonly payloadInMetadata: string;
	readonly headerInMetadata: string;
	readonly failedStatusInMetadata: string;
	readonly spaceDelimitedClaims: readonly string[];
	readonly clockSkewSeconds: number;
	/** Verified tokens to remember; 0: none. */
	readonly cacheSize: number;
	readonly claimToHeaders: readonly { readonly header: string; readonly claim: string }[];
	readonly clearRouteCache: boolean;
}

export interface RemoteJwks {
	readonly uri: string;
	readonly cluster: string;
	readonly timeoutMs: number;
	readonly cacheMs: number;
	/** Fetched before it is asked for, and again before it is too old. */
	readonly isAsync: boolean;
	readonly failedRefetchMs: number;
	readonly retries: number;
}

export type JwtRequirement =
	| { readonly kind: "provider"; readonly name: string; readonly audiences: readonly string[] | undefined }
	| { readonly kind: "any" | "all"; readonly requirements: readonly JwtRequirement[] }
	| { readonly kind: "allowMissing" }
	| { readonly kind: "allowMissingOrFailed" };

// ---- local rate limit

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

// ---- the rest

export type Mutation = { readonly kind: "remove"; readonly name: string } | ({ readonly kind: "add" } & HeaderMutation);

export interface Mutations {
	readonly request: readonly Mutation[];
	readonly response: readonly Mutation[];
}

export interface CsrfPolicy {
	readonly enabled: Fraction;
	readonly shadow: Fraction;
	readonly additionalOrigins: readonly StringMatch[];
}

export interface GrpcStats {
	readonly emitFilterState: boolean;
	/** `all`: a series for each method; or for those listed, as `service/method`, and one for the rest. */
	readonly methods: "all" | readonly string[];
	readonly upstreamStats: boolean;
	readonly replaceDots: boolean;
}

export type StatefulSession = { readonly strict: boolean } & (
	| { readonly kind: "cookie"; readonly name: string; readonly path: string; readonly ttlSeconds: number }
	| { readonly kind: "header"; readonly name: string }
);

export interface ExtAuthz {
	readonly service: ExtAuthzHttp | ExtAuthzGrpc;
	readonly failureModeAllow: boolean;
	readonly failureModeAllowHeaderAdd: boolean;
	readonly body: ExtAuthzBody | undefined;
	readonly clearRouteCache: boolean;
	readonly statusOnError: number;
	readonly enabled: Fraction;
	readonly enabledMetadata: MetadataMatch | undefined;
	readonly denyAtDisable: boolean;
	readonly statPrefix: string;
	readonly allowedHeaders: readonly StringMatch[];
	readonly disallowedHeaders: readonly StringMatch[];
}

export interface ExtAuthzHttp {
	readonly kind: "http";
	readonly cluster: string;
	/** Of the server's URI. */
	readonly authority: string;
	readonly pathPrefix: string;
	readonly timeoutMs: number;
	readonly headersToAdd: readonly { readonly name: string; readonly value: string }[];
	readonly allowedUpstreamHeaders: readonly StringMatch[];
	readonly allowedUpstreamHeadersToAppend: readonly StringMatch[];
	/** Empty: all but the authority's. */
	readonly allowedClientHeaders: readonly StringMatch[];
	readonly allowedClientHeadersOnSuccess: readonly StringMatch[];
	readonly metadataFromHeaders: readonly StringMatch[];
}

export interface ExtAuthzGrpc {
	readonly kind: "grpc";
	readonly service: GrpcService;
	/** Of the request's dynamic metadata, what the service is told. */
	readonly metadataNamespaces: readonly string[];
	readonly sendsPeerCertificate: boolean;
	readonly sendsServerName: boolean;
	/** Header fields as they came, rather than a map with values joined. */
	readonly sendsRawHeaders: boolean;
}

/** A gRPC service that the data path calls. */
export interface GrpcService {
	readonly cluster: string;
	readonly authority: string;
	readonly timeoutMs: number;
	/** Goes with every call; names in lower case. */
	readonly metadata: readonly (readonly [name: string, value: string])[];
}

export interface ExtAuthzBody {
	readonly bytesMax: number;
	readonly allowPartial: boolean;
	/** gRPC: as bytes, whatever they are; otherwise as text. */
	readonly asBytes: boolean;
}

export interface ExtAuthzSettings {
	/** gRPC: told to the service with every check. */
	readonly contextExtensions: Readonly<Record<string, string>>;
	readonly disableBody: boolean;
	readonly body: ExtAuthzBody | undefined;
}
