import type { HeaderOperations } from "../../config/header-operations.ts";
import type { Route, RouteAction, RouteTable, VirtualHost } from "../../config/routes.ts";

/** Configuration values with everything off, for this package's tests. */

export const noHeaderOperations: HeaderOperations = { requestAdd: [], requestRemove: [], responseAdd: [], responseRemove: [] };

export function routeAction(parts: Partial<RouteAction> = {}): RouteAction {
	return {
		kind: "route",
		cluster: { kind: "cluster", name: "a" },
		clusterNotFoundStatus: 503,
		timeoutMs: 15_000,
		grpcTimeoutMaxMs: undefined,
		idleTimeoutMs: undefined,
		maxStreamDurationMs: undefined,
		grpcDeadline: undefined,
		prefixRewrite: undefined,
		regexRewrite: undefined,
		pathFormat: undefined,
		hostRewrite: undefined,
		appendXForwardedHost: false,
		retry: undefined,
		mirrors: [],
		hashPolicies: [],
		upgrades: {},
		terminatesConnect: false,
		priority: "default",
		rateLimits: [],
		includeVirtualHostRateLimits: false,
		...parts,
	};
}

export function route(parts: Partial<Route> = {}): Route {
	return {
		name: "",
		path: { kind: "prefix", value: "/", caseSensitive: true },
		headers: [],
		query: [],
		dynamicMetadata: [],
		grpcOnly: false,
		runtimeFraction: undefined,
		action: routeAction(),
		headerOperations: noHeaderOperations,
		filters: {},
		metadata: undefined,
		decorator: undefined,
		tracing: undefined,
		...parts,
	};
}

export function virtualHost(parts: Partial<VirtualHost> = {}): VirtualHost {
	return {
		name: "v",
		domains: ["*"],
		routes: [route()],
		requireTls: "none",
		headers: noHeaderOperations,
		retry: undefined,
		filters: {},
		rateLimits: [],
		includeRequestAttemptCount: false,
		includeAttemptCountInResponse: false,
		...parts,
	};
}

export function routeTable(virtualHosts: readonly VirtualHost[], parts: Partial<RouteTable> = {}): RouteTable {
	return {
		name: "t",
		virtualHosts,
		headers: noHeaderOperations,
		filters: {},
		mostSpecificHeaderMutationsWins: false,
		ignorePortInHostMatching: false,
		maxDirectResponseBodyBytes: 4096,
		vhds: false,
		...parts,
	};
}
