import type { DecodedCluster } from "../config/decode/index.ts";
import { type DiscoveryUse, type ExtensionConfig, extensionKey, type Extensions } from "../config/discovered-filters.ts";
import type { Cluster } from "../config/clusters.ts";
import type { ClusterHosts } from "../config/hosts.ts";
import type { Listener } from "../config/listeners.ts";
import { keyOf } from "../config/resource-source.ts";
import type { RouteScope } from "../config/route-scopes.ts";
import type { RouteTable } from "../config/routes.ts";
import { noRuntimeEntries, type RuntimeEntries } from "../config/runtime-values.ts";
import type { Secret } from "../config/tls.ts";
import { type HostsOfTable, tablesOf, withHosts } from "./discovered-hosts.ts";
import type { RuntimeState } from "./runtime/runtime-loader.ts";
import {
	type References,
	referencesOfCluster,
	referencesOfExtension,
	referencesOfListener,
	referencesOfRoutes,
	referencesOfScope,
	tableKeys,
} from "./references.ts";

/** What files and the control plane ask for. */
export interface Wanted {
	readonly listeners: ReadonlyMap<string, Listener>;
	readonly clusters: ReadonlyMap<string, DecodedCluster>;
	/** By the key of the assignment: those that come by name are told apart by their sources, too. */
	readonly assignments: ReadonlyMap<string, ClusterHosts>;
	/** Addresses of DNS clusters, by cluster. */
	readonly resolved: ReadonlyMap<string, ClusterHosts>;
	readonly routes: ReadonlyMap<string, RouteTable>;
	/** Those in line whose virtual hosts come by themselves, by their keys. */
	readonly inlineTables: ReadonlyMap<string, RouteTable>;
	/** Virtual hosts that came by themselves, by table; a table that is not here has not been answered. */
	readonly virtualHosts: ReadonlyMap<string, HostsOfTable>;
	/** Scopes that came by themselves (SRDS); undefined: nobody has told of them. */
	readonly scopes: ReadonlyMap<string, RouteScope> | undefined;
	readonly secrets: ReadonlyMap<string, Secret>;
	/** Configurations of filters that came by themselves. */
	readonly extensions: Extensions;
	readonly runtime: RuntimeState;
	/**
	 * Waits that are over (`eds:name`, `rds:name`, `vhds:table`, `srds:*`, `sds:name`, `ecds:name`): serve without. Without its secret a
	 * handshake is refused, without its filter a request.
	 */
	readonly expired: ReadonlySet<string>;
}

/** What the workers serve, as decoded values: identity is what tells a change. */
export interface InForce {
	readonly listeners: ReadonlyMap<string, Listener>;
	readonly clusters: ReadonlyMap<string, DecodedCluster>;
	/** By cluster. */
	readonly hosts: ReadonlyMap<string, ClusterHosts>;
	readonly routes: ReadonlyMap<string, RouteTable>;
	readonly scopes: ReadonlyMap<string, RouteScope>;
	readonly secrets: ReadonlyMap<string, Secret>;
	readonly extensions: Extensions;
	readonly runtime: RuntimeEntries;
}

export const nothingInForce: InForce = {
	listeners: new Map(),
	clusters: new Map(),
	hosts: new Map(),
	routes: new Map(),
	scopes: new Map(),
	secrets: new Map(),
	extensions: new Map(),
	runtime: noRuntimeEntries,
};

export interface Plan {
	readonly next: InForce;
	/** What is not in force yet, and what it waits for: `listener a` → `route table b`. */
	readonly waiting: ReadonlyMap<string, string>;
}

/**
 * Make before break (xDS "eventual consistency considerations"): a cluster comes into force with its endpoints and secrets,
 * a route table when none of its clusters is still warming (its hosts not looked at once by its health checks, too), a listener with its routes and secrets. Until then the old
 * version serves on. What is gone goes only when nothing in force points to it any more. Pure.
 */
export function planNext(wanted: Wanted, inForce: InForce, isUnchecked: (cluster: Cluster) => boolean = () => false): Plan {
	const waiting = new Map<string, string>();
	const { clusters, hosts } = planClusters(wanted, inForce, waiting);
	const warming = (name: string) => {
		const decoded = clusters.get(name);
		return decoded === undefined ? wanted.clusters.has(name) : isUnchecked(decoded.cluster);
	};
	for (const { cluster } of clusters.values()) if (isUnchecked(cluster)) waiting.set(`cluster ${cluster.name}`, "its first health checks");
	const tables = tablesOf(wanted);
	const routes = new Map(tables);
	for (const [name, shell] of tables) {
		const table = wholeTable(shell, wanted);
		const missing = table && first(referencesOfRoutes(table).clusters, warming);
		if (table !== undefined && missing === undefined) {
			routes.set(name, table);
			continue;
		}
		waiting.set(`route table ${name}`, missing === undefined ? "its virtual hosts" : `cluster ${missing}`);
		keepOld(routes, inForce.routes, name);
	}
	const scopes = planScopes(wanted, inForce, routes, warming, waiting);
	const extensions = planExtensions(wanted, inForce, { routes, scopes }, warming, waiting);
	const listeners = planListeners(wanted, inForce, { routes, scopes, extensions }, warming, waiting);
	keepReferenced(wanted, inForce, { clusters, hosts, routes, scopes, extensions, listeners });
	return { next: { listeners, clusters, hosts, routes, scopes, secrets: new Map(wanted.secrets), extensions, runtime: wanted.runtime.entries }, waiting };
}

/** A scope comes into force with its route table, unless that is fetched on demand. */
function planScopes(
	wanted: Wanted,
	inForce: InForce,
	routes: ReadonlyMap<string, RouteTable>,
	warming: (cluster: string) => boolean,
	waiting: Map<string, string>,
): Map<string, RouteScope> {
	const scopes = new Map(wanted.scopes);
	for (const [name, scope] of scopes) {
		const references = referencesOfScope(scope);
		const table = first(references.routes.keys(), (table) => !scope.onDemand && !routes.has(table) && !wanted.expired.has(`rds:${table}`));
		const cluster = first(references.clusters, warming);
		const wait = firstWait({ "route table": table, cluster });
		if (wait === undefined) continue;
		waiting.set(`scope ${name}`, wait);
		keepOld(scopes, inForce.scopes, name);
	}
	return scopes;
}

/** Of the scopes, for whom they are of interest: one that waits, and of which there is no older version. */
function missingScope(references: References, wanted: Wanted, scopes: ReadonlyMap<string, RouteScope>): string | undefined {
	if (references.scopes.size === 0) return undefined;
	if (wanted.scopes === undefined) return wanted.expired.has("srds:*") ? undefined : "*";
	for (const name of wanted.scopes.keys()) if (!scopes.has(name)) return name;
	return undefined;
}

/** A network filter that came by itself may name clusters and a route table, as a listener does. */
function planExtensions(
	wanted: Wanted,
	inForce: InForce,
	{ routes, scopes }: Pick<InForce, "routes" | "scopes">,
	warming: (cluster: string) => boolean,
	waiting: Map<string, string>,
): Map<string, ExtensionConfig> {
	const extensions = new Map(wanted.extensions);
	for (const [name, extension] of wanted.extensions) {
		const references = referencesOfExtension(extension);
		const table = first(tableKeys(references), (table) => !routes.has(table) && !wanted.expired.has(`rds:${table}`));
		const cluster = first(references.clusters, warming);
		const scope = missingScope(references, wanted, scopes);
		const wait = firstWait({ "route table": table, cluster, scope });
		if (wait === undefined) continue;
		waiting.set(`filter ${name}`, wait);
		keepOld(extensions, inForce.extensions, name);
	}
	return extensions;
}

/** The first thing that is missing, with what it is. */
function firstWait(missing: Readonly<Record<string, string | undefined>>): string | undefined {
	for (const [what, name] of Object.entries(missing)) if (name !== undefined) return `${what} ${name}`;
	return undefined;
}

const noHostsYet: HostsOfTable = new Map();

function wholeTable(shell: RouteTable, { virtualHosts, expired }: Wanted): RouteTable | undefined {
	if (!shell.vhds) return shell;
	const key = keyOf(shell.vhds);
	const hosts = virtualHosts.get(key) ?? (expired.has(`vhds:${key}`) ? noHostsYet : undefined);
	return hosts && withHosts(shell, hosts);
}

function keepOld<T>(next: Map<string, T>, old: ReadonlyMap<string, T>, name: string): void {
	const before = old.get(name);
	if (before === undefined) next.delete(name);
	else next.set(name, before);
}

function first(names: Iterable<string>, is: (name: string) => boolean): string | undefined {
	for (const name of names) if (is(name)) return name;
	return undefined;
}

function planClusters(wanted: Wanted, inForce: InForce, waiting: Map<string, string>) {
	const clusters = new Map<string, DecodedCluster>();
	const hosts = new Map<string, ClusterHosts>();
	for (const [name, decoded] of wanted.clusters) {
		const own = hostsOf(decoded, wanted);
		const missing = first(referencesOfCluster(decoded.cluster).secrets.keys(), (secret) => !wanted.secrets.has(secret) && !wanted.expired.has(`sds:${secret}`));
		const wait = missing === undefined ? (own === undefined ? "its endpoints" : undefined) : `secret ${missing}`;
		if (wait === undefined && own !== undefined) {
			clusters.set(name, decoded);
			hosts.set(name, own);
			continue;
		}
		waiting.set(`cluster ${name}`, wait ?? "its endpoints");
		const before = inForce.clusters.get(name);
		const hostsBefore = inForce.hosts.get(name);
		if (before === undefined || hostsBefore === undefined) continue;
		clusters.set(name, before);
		// The old cluster still follows its endpoints, unless they now come from elsewhere.
		hosts.set(name, assignmentKey(before) === assignmentKey(decoded) && own !== undefined ? own : hostsBefore);
	}
	return { clusters, hosts };
}

const assignmentKey = ({ assignment }: DecodedCluster) => assignment && keyOf(assignment);

const noHosts = new Map<string, ClusterHosts>();

function hostsOf(decoded: DecodedCluster, wanted: Wanted): ClusterHosts | undefined {
	const { name } = decoded.cluster;
	if (decoded.dns !== undefined) return wanted.resolved.get(name);
	const key = assignmentKey(decoded);
	if (key === undefined) return decoded.hosts;
	const assigned = wanted.assignments.get(key);
	if (assigned !== undefined) return forCluster(assigned, name);
	if (!wanted.expired.has(`eds:${key}`)) return undefined;
	let none = noHosts.get(name);
	if (!none) {
		none = { cluster: name, overprovisioningFactor: undefined, priorities: [] };
		noHosts.set(name, none);
	}
	return none;
}

// One assignment may serve several clusters; each pairing is one value, so that identity still tells a change.
const renamed = new WeakMap<ClusterHosts, Map<string, ClusterHosts>>();

function forCluster(hosts: ClusterHosts, cluster: string): ClusterHosts {
	if (hosts.cluster === cluster) return hosts;
	let byCluster = renamed.get(hosts);
	if (!byCluster) renamed.set(hosts, (byCluster = new Map()));
	let own = byCluster.get(cluster);
	if (!own) byCluster.set(cluster, (own = { ...hosts, cluster }));
	return own;
}

function planListeners(
	wanted: Wanted,
	inForce: InForce,
	{ routes, scopes, extensions }: Pick<InForce, "routes" | "scopes" | "extensions">,
	warming: (cluster: string) => boolean,
	waiting: Map<string, string>,
): Map<string, Listener> {
	const listeners = new Map(wanted.listeners);
	for (const [name, listener] of wanted.listeners) {
		const references = referencesOfListener(listener);
		const secret = first(references.secrets.keys(), (secret) => !wanted.secrets.has(secret) && !wanted.expired.has(`sds:${secret}`));
		const table = first(tableKeys(references), (table) => !routes.has(table) && !wanted.expired.has(`rds:${table}`));
		const cluster = first(references.clusters, warming);
		const isMissing = (use: DiscoveryUse) => use.discovery.isAwaited && !extensions.has(extensionKey(use)) && !wanted.expired.has(`ecds:${extensionKey(use)}`);
		const filter = references.discovered.find(isMissing)?.name;
		const scope = missingScope(references, wanted, scopes);
		const wait = firstWait({ secret, "route table": table, cluster, scope, "configuration of filter": filter, "runtime layer": wanted.runtime.awaited });
		if (wait === undefined) continue;
		waiting.set(`listener ${name}`, wait);
		keepOld(listeners, inForce.listeners, name);
	}
	return listeners;
}

interface Next {
	readonly clusters: Map<string, DecodedCluster>;
	readonly hosts: Map<string, ClusterHosts>;
	readonly routes: Map<string, RouteTable>;
	readonly scopes: Map<string, RouteScope>;
	readonly extensions: Map<string, ExtensionConfig>;
	readonly listeners: ReadonlyMap<string, Listener>;
}

function keepReferenced(wanted: Wanted, inForce: InForce, next: Next): void {
	const clusters = new Set<string>();
	const discovered = new Set<string>();
	for (const listener of next.listeners.values()) for (const use of referencesOfListener(listener).discovered) discovered.add(extensionKey(use));
	for (const name of discovered) {
		const old = inForce.extensions.get(name);
		// One that the control plane took back is gone at once; one that nothing new asks for stays with what still has it.
		if (!next.extensions.has(name) && old !== undefined && !wanted.expired.has(`ecds:${name}`)) next.extensions.set(name, old);
	}
	const users = [...[...next.listeners.values()].map(referencesOfListener), ...[...next.extensions.values()].map(referencesOfExtension)];
	// Nobody asks for them any more, but what still has them.
	if (wanted.scopes === undefined && users.some(({ scopes }) => scopes.size > 0)) for (const [name, scope] of inForce.scopes) next.scopes.set(name, scope);
	const all = [...users, ...[...next.scopes.values()].map(referencesOfScope)];
	for (const references of all) {
		for (const name of references.clusters) clusters.add(name);
		for (const name of tableKeys(references)) {
			const old = inForce.routes.get(name);
			if (!next.routes.has(name) && old !== undefined && !wanted.routes.has(name) && !wanted.inlineTables.has(name)) next.routes.set(name, old);
		}
	}
	for (const table of next.routes.values()) for (const name of referencesOfRoutes(table).clusters) clusters.add(name);
	for (const name of clusters) {
		const cluster = inForce.clusters.get(name);
		const hosts = inForce.hosts.get(name);
		if (next.clusters.has(name) || cluster === undefined || hosts === undefined) continue;
		next.clusters.set(name, cluster);
		next.hosts.set(name, hosts);
	}
}
