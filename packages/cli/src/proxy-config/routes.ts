import { at, type Json, listAt, managedBy, type ProxyDump, textAt } from "./dump.ts";
import { describePath } from "./listeners.ts";
import { compareNames, isWanted, type ProxyTable, type TableFilters } from "./table.ts";

export function routeTable({ routes }: ProxyDump, filters: TableFilters): ProxyTable {
	const tables = routes.filter((table) => isWanted(filters.name, textAt(table, "name"))).sort((a, b) => compareNames(textAt(a, "name"), textAt(b, "name")));
	return { head: ["NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"], rows: tables.flatMap(rowsOf), resources: tables };
}

function rowsOf(table: Json): string[][] {
	return listAt(table, "virtual_hosts").flatMap((host) => {
		const start = [textAt(table, "name"), textAt(host, "name"), describeDomains(listAt(host, "domains").map(String))];
		const routes = listAt(host, "routes");
		if (routes.length === 0) return [[...start, "/*", "404"]];
		return routes.filter((route) => !isFallback(route)).map((route) => [...start, describePath(at(route, "match")), managedBy(route)]);
	});
}

/** What traffic to unknown services does is no route that somebody wrote. */
function isFallback(route: Json): boolean {
	const cluster = textAt(route, "route", "cluster");
	return cluster === "PassthroughCluster" || cluster === "BlackHoleCluster";
}

const shownMax = 2;

/** The shortest names of a service, two at most; forms with a port and longer forms of a name that is there are left out. */
export function describeDomains(domains: readonly string[]): string {
	if (domains.length <= 1) return domains[0] ?? "";
	const bare = domains.filter((domain) => !/:\d+$/.test(domain) && !domain.endsWith("."));
	const names = new Set(bare.length > 0 ? bare : domains);
	const short = [...names].filter((name) => ![".svc.cluster.local", ".svc"].some((end) => name.endsWith(end) && names.has(name.slice(0, -end.length))));
	const shown = short.slice(0, shownMax).join(", ");
	return short.length > shownMax ? `${shown} + ${short.length - shownMax} more...` : shown;
}
