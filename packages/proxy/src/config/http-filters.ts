import type { CelNode } from "./cel-node.ts";
import type { ConfigDiscovery } from "./discovered-filters.ts";
import type { ExtAuthz, ExtAuthzSettings } from "./external-authorization.ts";
import type { HeaderMutation } from "./header-operations.ts";
import type { JwtAuthentication } from "./jwt-authentication.ts";
import type { MatcherTree } from "./matcher-tree.ts";
import type { Fraction, HeaderMatch, MetadataMatch, StringMatch } from "./matchers.ts";
import type { OnDemandClusters } from "./on-demand-clusters.ts";
import type { LocalRateLimit, RateLimit, RateLimitSettings } from "./rate-limits.ts";
import type { RuntimeFlag } from "./runtime-values.ts";
import type { FilterStateWrite, HeaderToMetadata, MetadataEntry } from "./stream-data.ts";
import type { IstioStats } from "./telemetry.ts";

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
	| { readonly kind: "headerToMetadata"; readonly rules: HeaderToMetadata }
	| { readonly kind: "setMetadata"; readonly entries: readonly MetadataEntry[] }
	| { readonly kind: "setFilterState"; readonly values: readonly FilterStateWrite[]; readonly clearsRoute: boolean }
	| { readonly kind: "csrf"; readonly policy: CsrfPolicy }
	| { readonly kind: "buffer"; readonly bytesMax: number }
	| { readonly kind: "bandwidthLimit"; readonly limit: BandwidthLimit }
	| { readonly kind: "grpcWeb" }
	/** Virtual hosts that no route table has yet are asked for; clusters, too, unless undefined. */
	| { readonly kind: "onDemand"; readonly clusters: OnDemandClusters | undefined }
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
	| { readonly kind: "headerToMetadata"; readonly rules: HeaderToMetadata }
	| { readonly kind: "setFilterState"; readonly values: readonly FilterStateWrite[] }
	| { readonly kind: "csrf"; readonly policy: CsrfPolicy }
	| { readonly kind: "buffer"; readonly bytesMax: number }
	| { readonly kind: "bandwidthLimit"; readonly limit: BandwidthLimit }
	| { readonly kind: "statefulSession"; readonly session: StatefulSession | undefined }
	| { readonly kind: "extAuthz"; readonly settings: ExtAuthzSettings }
	| { readonly kind: "rateLimit"; readonly settings: RateLimitSettings }
	| { readonly kind: "onDemand"; readonly clusters: OnDemandClusters | undefined }
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
	/** How fast a response's body goes to the client, each response by itself. */
	readonly responseRate:
		| { readonly fraction: Fraction; readonly source: { readonly kind: "fixed"; readonly kibPerSecond: number } | { readonly kind: "header" } }
		| undefined;
	readonly headers: readonly HeaderMatch[];
	readonly upstreamCluster: string;
	readonly downstreamNodes: readonly string[];
	/** Requests that may be at fault at a time under one statistics prefix; undefined: any number. */
	readonly maxActive: number | undefined;
	readonly keys: FaultKeys;
}

/** Where the runtime may say otherwise. */
export interface FaultKeys {
	readonly delayPercent: string;
	readonly delayMs: string;
	readonly abortPercent: string;
	readonly abortHttpStatus: string;
	readonly abortGrpcStatus: string;
	readonly responseRatePercent: string;
	readonly maxActive: string;
}

export const defaultFaultKeys: FaultKeys = {
	delayPercent: "fault.http.delay.fixed_delay_percent",
	delayMs: "fault.http.delay.fixed_duration_ms",
	abortPercent: "fault.http.abort.abort_percent",
	abortHttpStatus: "fault.http.abort.http_status",
	abortGrpcStatus: "fault.http.abort.grpc_status",
	responseRatePercent: "fault.http.rate_limit.response_percent",
	maxActive: "fault.http.max_active_faults",
};

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

/** Bodies of requests, of responses, or of both draw from one bucket. */
export interface BandwidthLimit {
	readonly statPrefix: string;
	readonly enabled: RuntimeFlag;
	readonly limitsRequests: boolean;
	readonly limitsResponses: boolean;
	/** Also what the bucket holds at most: the bytes of one second. */
	readonly kibPerSecond: number;
	/** How long bytes wait that found no tokens. */
	readonly fillIntervalMs: number;
	/** Names of the trailers that tell how long bodies took; undefined: none are added. */
	readonly trailers: BandwidthTrailers | undefined;
	/** What tells its bucket from those of others. */
	readonly key: string;
}

export interface BandwidthTrailers {
	readonly requestDelay: string;
	readonly requestFilterDelay: string;
	readonly responseDelay: string;
	readonly responseFilterDelay: string;
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
