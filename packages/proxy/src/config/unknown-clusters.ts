import type { HttpConnectionManager } from "./http-connection-manager.ts";
import type { Listener } from "./listeners.ts";
import type { Route, RouteTable } from "./routes.ts";

/** Says which clusters a table's routes name that are not there, in Envoy's words; nothing where the table does not ask for that (`validate_clusters`). */
export function findUnknownClusters(table: RouteTable, isThere: (cluster: string) => boolean): readonly string[] {
	if (table.validatesClusters !== true) return [];
	// As in Envoy, routes that a tree leads to are not looked at.
	const listed = table.virtualHosts.flatMap(({ matcher, routes }) => (matcher === undefined ? routes : []));
	const found = listed.flatMap(({ action }) => (action.kind === "route" ? ofAction(action, isThere) : []));
	return [...new Set(found)];
}

/** Of all tables inside a listener. */
export function findUnknownClustersOfListener({ filterChains, defaultFilterChain }: Listener, isThere: (cluster: string) => boolean): readonly string[] {
	const chains = defaultFilterChain === undefined ? filterChains : [...filterChains, defaultFilterChain];
	return chains.flatMap(({ filters }) =>
		filters.flatMap((filter) => (filter.kind === "http" ? inlineTables(filter.routes).flatMap((table) => findUnknownClusters(table, isThere)) : [])),
	);
}

/** Those that did not come by themselves. */
export function inlineTables(routes: HttpConnectionManager["routes"]): readonly RouteTable[] {
	if (routes.kind === "inline") return [routes.table];
	return routes.kind === "rds" ? [] : (routes.scoped.scopes ?? []).flatMap((scope) => (scope.routes.kind === "inline" ? [scope.routes.table] : []));
}

function ofAction({ cluster, mirrors }: Extract<Route["action"], { kind: "route" }>, isThere: (cluster: string) => boolean): readonly string[] {
	const unknown = (what: string, names: readonly string[]) => names.filter((name) => !isThere(name)).map((name) => `route: unknown ${what} '${name}'`);
	return [
		...unknown("cluster", cluster.kind === "cluster" ? [cluster.name] : []),
		...unknown("weighted cluster", cluster.kind === "weighted" ? cluster.clusters.map(({ name }) => name) : []),
		...unknown(
			"shadow cluster",
			mirrors.map((mirror) => mirror.cluster),
		),
	];
}
