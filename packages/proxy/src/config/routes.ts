/** Route tables, and what a route does with a request. */

import type { HeaderOperations } from "./header-operations.ts";
import type { FilterOverrides } from "./http-filters.ts";
import type { InternalRedirectPolicy } from "./internal-redirect.ts";
import type { LbMetadata } from "./load-balancing.ts";
import type { MatcherTree } from "./matcher-tree.ts";
import type { FilterMetadata } from "./filter-metadata.ts";
import type { CookieMatch, FilterStateMatch, Fraction, HeaderMatch, MetadataMatch, PathMatch, QueryMatch } from "./matchers.ts";
import type { RateLimitAction } from "./rate-limits.ts";
import type { ResourceReference } from "./resource-source.ts";
import type { RetryPolicy } from "./retry-policy.ts";
import type { Decorator, RouteTracing } from "./telemetry.ts";

export interface RouteTable {
	/** Its key, where it comes from elsewhere than ADS, or is in line and has `vhds`. */
	readonly name: string;
	readonly virtualHosts: readonly VirtualHost[];
	readonly headers: HeaderOperations;
	readonly filters: FilterOverrides;
	readonly mostSpecificHeaderMutationsWins: boolean;
	readonly ignorePortInHostMatching: boolean;
	readonly maxDirectResponseBodyBytes: number;
	/** By what name and where from more virtual hosts come (VHDS). */
	readonly vhds: ResourceReference | false;
	/** A route to a cluster that is not there makes the table a bad one; else its requests are answered 503. */
	readonly validatesClusters?: boolean;
}

export interface VirtualHost {
	readonly name: string;
	readonly domains: readonly string[];
	readonly routes: readonly Route[];
	/** Which of `routes` are tried, by their positions; undefined: all. */
	readonly matcher?: MatcherTree<readonly number[]>;
	readonly metadata?: FilterMetadata | undefined;
	readonly requireTls: "none" | "externalOnly" | "all";
	readonly headers: HeaderOperations;
	readonly retry: RetryPolicy | undefined;
	/** `hedge_on_per_try_timeout`: an attempt that takes too long goes on, and another begins beside it. */
	readonly hedgesOnTryTimeout?: boolean | undefined;
	/** `typed_per_filter_config`, by the filter's name in the connection manager. */
	readonly filters: FilterOverrides;
	readonly rateLimits: readonly RateLimitAction[];
	readonly includeRequestAttemptCount: boolean;
	readonly includeAttemptCountInResponse: boolean;
	/** Requests that are counted by themselves: each as the first that takes it, or, where there are any, as `other`. */
	readonly virtualClusters?: readonly VirtualCluster[];
}

export interface VirtualCluster {
	readonly name: string;
	/** All must match. */
	readonly headers: readonly HeaderMatch[];
}

export interface Route {
	readonly name: string;
	readonly path: PathMatch;
	readonly headers: readonly HeaderMatch[];
	readonly query: readonly QueryMatch[];
	/** All must match what the filters so far wrote. */
	readonly dynamicMetadata: readonly MetadataMatch[];
	/** All must match what the filters so far made of the request, or its connection. */
	readonly filterState?: readonly FilterStateMatch[];
	readonly cookies?: readonly CookieMatch[];
	readonly grpcOnly: boolean;
	readonly runtimeFraction: Fraction | undefined;
	readonly action: RouteAction | RedirectAction | DirectResponseAction;
	readonly headerOperations: HeaderOperations;
	readonly filters: FilterOverrides;
	readonly metadata: FilterMetadata | undefined;
	readonly decorator: Decorator | undefined;
	/** undefined: as the connection manager says. */
	readonly tracing: RouteTracing | undefined;
	/** Of statistics of the route's own; undefined: it has none. */
	readonly statPrefix?: string;
}

export type ClusterSelector =
	| { readonly kind: "cluster"; readonly name: string }
	| { readonly kind: "header"; readonly name: string }
	/** Requests for which the tree has no cluster go nowhere. `clusters`: all that it names. */
	| { readonly kind: "matcher"; readonly tree: MatcherTree<string>; readonly clusters: readonly string[] }
	| {
			readonly kind: "weighted";
			readonly clusters: readonly WeightedCluster[];
			readonly totalWeight: number;
			/** With a cluster's name behind a dot, where the runtime may give it another weight; absent: nowhere. */
			readonly runtimeKeyPrefix?: string;
			/** Of the number to choose by; "": at random. */
			readonly header: string;
			/** The hash of the route's policies chooses; without one, chance. */
			readonly usesHashPolicy: boolean;
	  };

export interface WeightedCluster {
	readonly name: string;
	readonly weight: number;
	readonly headers: HeaderOperations;
	readonly hostRewrite: string | undefined;
	readonly filters: FilterOverrides;
	/** Of `envoy.lb`; over the route's. */
	readonly metadataMatch?: LbMetadata | undefined;
}

export interface RouteAction {
	readonly kind: "route";
	/** Which subset of the cluster's hosts; `envoy.lb` of `metadata_match`. */
	readonly metadataMatch?: LbMetadata | undefined;
	readonly cluster: ClusterSelector;
	readonly clusterNotFoundStatus: 404 | 500 | 503;
	/** 0: no timeout. */
	readonly timeoutMs: number;
	/** Set: a gRPC request's `grpc-timeout` is its timeout instead, up to this; 0: uncapped. */
	readonly grpcTimeoutMaxMs: number | undefined;
	/** undefined: the connection manager's; 0: none. */
	readonly idleTimeoutMs: number | undefined;
	/** 0: none; undefined: not set. */
	readonly maxStreamDurationMs: number | undefined;
	/** The stream lasts as long as the request's `grpc-timeout` says instead: at most `maxMs` (0: uncapped), less `offsetMs`. */
	readonly grpcDeadline: { readonly maxMs: number; readonly offsetMs: number } | undefined;
	readonly prefixRewrite: string | undefined;
	readonly regexRewrite: { readonly pattern: string; readonly substitution: string } | undefined;
	/** A substitution format; what it gives takes the place of the path without its query, unless it is "". */
	readonly pathFormat: string | undefined;
	readonly hostRewrite:
		| { readonly kind: "literal"; readonly value: string }
		| { readonly kind: "header"; readonly name: string }
		| { readonly kind: "auto" }
		| { readonly kind: "pathRegex"; readonly pattern: string; readonly substitution: string }
		/** A substitution format. */
		| { readonly kind: "format"; readonly value: string }
		| undefined;
	readonly appendXForwardedHost: boolean;
	readonly retry: RetryPolicy | undefined;
	/** undefined: as the virtual host says. */
	readonly hedgesOnTryTimeout?: boolean | undefined;
	readonly mirrors: readonly { readonly cluster: string; readonly fraction: Fraction; readonly shadowSuffix: boolean }[];
	readonly hashPolicies: readonly HashPolicy[];
	/** Upgrade types allowed on this route beyond or instead of the connection manager's, lower case. */
	readonly upgrades: Readonly<Record<string, boolean>>;
	/** CONNECT requests end here: what comes inside them goes to the cluster's hosts as it is. */
	readonly terminatesConnect: boolean;
	readonly priority: "default" | "high";
	readonly rateLimits: readonly RateLimitAction[];
	readonly includeVirtualHostRateLimits: boolean;
	/** undefined: redirects are for the client to follow. */
	readonly internalRedirect?: InternalRedirectPolicy | undefined;
}

export interface RedirectAction {
	readonly kind: "redirect";
	readonly status: 301 | 302 | 303 | 307 | 308;
	readonly scheme: string | undefined;
	readonly host: string | undefined;
	readonly port: number | undefined;
	readonly path: /** `format`: a substitution format; what it gives is a full path. */
		| { readonly kind: "full" | "prefix" | "format"; readonly value: string }
		| { readonly kind: "regex"; readonly pattern: string; readonly substitution: string }
		| undefined;
	readonly stripQuery: boolean;
}

export interface DirectResponseAction {
	readonly kind: "direct";
	readonly status: number;
	readonly body: Uint8Array;
}

export type HashPolicy =
	| {
			readonly kind: "header";
			readonly name: string;
			readonly regexRewrite: { readonly pattern: string; readonly substitution: string } | undefined;
			readonly terminal: boolean;
	  }
	| {
			readonly kind: "cookie";
			readonly name: string;
			readonly ttlMs: number | undefined;
			readonly path: string;
			readonly attributes: readonly { readonly name: string; readonly value: string }[];
			readonly terminal: boolean;
	  }
	| { readonly kind: "sourceIp"; readonly terminal: boolean }
	| { readonly kind: "query"; readonly name: string; readonly terminal: boolean }
	/** Of an object that can be hashed. */
	| { readonly kind: "filterState"; readonly key: string; readonly terminal: boolean };
