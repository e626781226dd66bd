import { keyOf } from "../config/resource-source.ts";
import type { RouteTable, VirtualHost } from "../config/routes.ts";
import type { Wanted } from "./config-plan.ts";

/** A virtual host that came by itself (VHDS), named `table/host`, with the table's name as the key of its virtual hosts has it. */
export interface DiscoveredHost {
	readonly name: string;
	readonly host: VirtualHost;
}

/** Virtual hosts of one table by their keys, `table/host`. The map is replaced when one of them changes. */
export type HostsOfTable = ReadonlyMap<string, VirtualHost>;

/** What may have virtual hosts that come by themselves, by its key. */
export function tablesOf({ inlineTables, routes }: Pick<Wanted, "inlineTables" | "routes">): ReadonlyMap<string, RouteTable> {
	return inlineTables.size === 0 ? routes : new Map([...routes, ...inlineTables]);
}

/** Of keys of virtual hosts, what the workers may have asked for: by the keys of the tables that have these hosts. */
export function namesInTables(keys: readonly string[], routes: ReadonlyMap<string, RouteTable>): readonly string[] {
	const tables = Map.groupBy(
		[...routes.values()].filter(({ vhds }) => vhds),
		({ vhds }) => (vhds ? keyOf(vhds) : ""),
	);
	return keys.flatMap((key) => {
		const table = tableOfHost(key);
		// Over ADS they are the same, and a table may be gone by now.
		return [...new Set([key, ...(tables.get(table) ?? []).map(({ name }) => `${name}${key.slice(table.length)}`)])];
	});
}

/** No table's name has a slash: Envoy asks for the virtual hosts of a table by what comes before it. */
export function tableOfHost(name: string): string {
	return name.slice(0, Math.max(0, name.indexOf("/")));
}

/** What of one table changed on its way to the workers. */
export interface HostChanges {
	readonly upsert: readonly VirtualHost[];
	readonly remove: readonly string[];
}

interface Made {
	/** The table as it came, with the virtual hosts that stand in it. */
	readonly shell: RouteTable;
	readonly hosts: HostsOfTable;
	readonly table: RouteTable;
}

const lastOfShell = new WeakMap<RouteTable, Made>();
const madeOf = new WeakMap<RouteTable, Made>();

/** The table with its discovered virtual hosts; one object while neither changes. */
export function withHosts(shell: RouteTable, hosts: HostsOfTable): RouteTable {
	const last = lastOfShell.get(shell);
	if (last?.hosts === hosts) return last.table;
	const made = { shell, hosts, table: { ...shell, virtualHosts: [...hosts.values(), ...shell.virtualHosts] } };
	lastOfShell.set(shell, made);
	madeOf.set(made.table, made);
	return made.table;
}

/** The virtual hosts in which two versions of a table differ; undefined where more of it differs. */
export function hostChanges(before: RouteTable | undefined, next: RouteTable): HostChanges | undefined {
	const old = before && madeOf.get(before);
	const now = madeOf.get(next);
	if (old === undefined || now === undefined || old.shell !== now.shell) return undefined;
	const upsert = [...now.hosts].filter(([name, host]) => old.hosts.get(name) !== host).map(([, host]) => host);
	const remove = [...old.hosts].filter(([name]) => !now.hosts.has(name)).map(([, { name }]) => name);
	return { upsert, remove };
}

/**
 * Those whose domains no other virtual host of the table has; the others are reported. Envoy refuses a table in which a domain
 * stands twice. What is removed or replaced by the same response frees its domains first.
 */
export function withoutTakenDomains(
	hosts: readonly DiscoveredHost[],
	removed: readonly string[],
	wanted: Pick<Wanted, "inlineTables" | "routes" | "virtualHosts">,
	rejected: { readonly name: string; readonly message: string }[],
): readonly DiscoveredHost[] {
	const leaving = new Set([...removed, ...hosts.map(({ name }) => name)]);
	const owners = new Map<string, Map<string, string>>();
	return hosts.filter(({ name, host: { domains } }) => {
		const table = tableOfHost(name);
		const taken = owners.get(table) ?? domainOwners(tablesWith(table, tablesOf(wanted)), wanted.virtualHosts.get(table), leaving);
		owners.set(table, taken);
		const domain = domains.find((candidate) => taken.has(candidate));
		if (domain !== undefined) rejected.push({ name, message: `domain ${JSON.stringify(domain)} is already taken by virtual host ${taken.get(domain)}` });
		else for (const own of domains) taken.set(own, name);
		return domain === undefined;
	});
}

const hasHosts = (table: RouteTable, key: string) => table.vhds !== false && keyOf(table.vhds) === key;

function tablesWith(key: string, routes: ReadonlyMap<string, RouteTable>): readonly RouteTable[] {
	return [...routes.values()].filter((table) => hasHosts(table, key));
}

/** A table whose virtual hosts have this key; over ADS it has the same. */
export function tableWith(key: string, routes: ReadonlyMap<string, RouteTable>): RouteTable | undefined {
	const same = routes.get(key);
	return same !== undefined && hasHosts(same, key) ? same : tablesWith(key, routes)[0];
}

/** Domain → the virtual host that has it. */
function domainOwners(shells: readonly RouteTable[], hosts: HostsOfTable | undefined, leaving: ReadonlySet<string>): Map<string, string> {
	const owners = new Map<string, string>();
	for (const { name, domains } of shells.flatMap(({ virtualHosts }) => virtualHosts)) for (const domain of domains) owners.set(domain, name);
	for (const [name, { domains }] of hosts ?? []) if (!leaving.has(name)) for (const domain of domains) owners.set(domain, name);
	return owners;
}
