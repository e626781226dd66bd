import type { DiscoveryUse, ExtensionConfig } from "../config/discovered-filters.ts";
import type { Cluster, UpstreamTransport } from "../config/clusters.ts";
import type { FilterChain, Listener } from "../config/listeners.ts";
import type { NetworkFilter } from "../config/network-filters.ts";
import type { RouteScope } from "../config/route-scopes.ts";
import type { ClusterSelector, RouteTable } from "../config/routes.ts";
import { keyOf, type ResourceReference } from "../config/resource-source.ts";
import type { DownstreamTls, PeerValidation } from "../config/tls.ts";
import { inlineTables } from "../config/unknown-clusters.ts";

/** What a resource cannot do without: computed once a value, since every plan asks for it. */
export interface References {
	readonly clusters: ReadonlySet<string>;
	/** By their keys, as those that follow. */
	readonly secrets: ReadonlyMap<string, ResourceReference>;
	readonly routes: ReadonlyMap<string, ResourceReference>;
	/** In line, while their virtual hosts come by themselves. */
	readonly inlineTables: ReadonlyMap<string, RouteTable>;
	/** Filters whose configuration comes by itself. */
	readonly discovered: readonly DiscoveryUse[];
	/** Its routes are scoped, and the scopes come by themselves (SRDS): what they are called in which connection managers' statistics. */
	readonly scopes: ReadonlySet<string>;
}

const known = new WeakMap<object, References>();

function remembered(value: object, compute: (into: Collector) => void): References {
	let found = known.get(value);
	if (!found) {
		const into: Collector = { secrets: new Map(), clusters: new Set(), routes: new Map(), inlineTables: new Map(), discovered: [], scopes: new Set() };
		compute(into);
		found = into;
		known.set(value, found);
	}
	return found;
}

interface Collector {
	readonly secrets: Map<string, ResourceReference>;
	readonly clusters: Set<string>;
	readonly routes: Map<string, ResourceReference>;
	readonly inlineTables: Map<string, RouteTable>;
	readonly discovered: DiscoveryUse[];
	readonly scopes: Set<string>;
}

export function referencesOfCluster(cluster: Cluster): References {
	return remembered(cluster, (into) => {
		addTransport(into, cluster.transport);
		for (const { transport } of cluster.transportMatches) addTransport(into, transport);
	});
}

export function referencesOfRoutes(table: RouteTable): References {
	return remembered(table, (into) => addTable(into, table));
}

export function referencesOfScope(scope: RouteScope): References {
	return remembered(scope, (into) => {
		if (scope.routes.kind === "rds") into.routes.set(scope.routes.name, { name: scope.routes.name });
		else addTable(into, scope.routes.table);
	});
}

export function referencesOfListener(listener: Listener): References {
	return remembered(listener, (into) => {
		for (const { filter } of listener.discoverableFilters ?? []) {
			if (filter.kind === "discovered") into.discovered.push({ kind: "listener", name: filter.name, discovery: filter.discovery });
		}
		for (const chain of listener.filterChains) addChain(into, chain);
		if (listener.defaultFilterChain) addChain(into, listener.defaultFilterChain);
	});
}

/** Of a configuration that came by itself. */
export function referencesOfExtension(extension: ExtensionConfig): References {
	return remembered(extension, (into) => {
		if (extension.network) addFilter(into, extension.network);
	});
}

/** Keys of what must be in force before it: tables that come by themselves, and those whose virtual hosts do. */
export function tableKeys({ inlineTables, routes }: References): readonly string[] {
	return [...routes.keys(), ...inlineTables.keys()];
}

function addTransport(into: Collector, transport: UpstreamTransport): void {
	if (transport.kind === "tls") addTls(into, transport.tls);
}

function addTls(into: Collector, tls: Pick<DownstreamTls, "certificates"> & { readonly validation: PeerValidation | undefined }): void {
	for (const certificate of tls.certificates) if (certificate.kind === "secret") into.secrets.set(keyOf(certificate), certificate);
	const trust = tls.validation?.trust;
	if (trust?.kind === "secret") into.secrets.set(keyOf(trust), trust);
}

function addChain(into: Collector, chain: FilterChain): void {
	if (chain.tls) addTls(into, chain.tls);
	for (const filter of chain.filters) addFilter(into, filter);
}

function addFilter(into: Collector, filter: NetworkFilter): void {
	if (filter.kind === "tcpProxy") return addSelector(into, filter.cluster);
	if (filter.kind === "discovered") {
		into.discovered.push({ kind: "network", name: filter.name, discovery: filter.discovery });
		if (filter.discovery.fallback) addFilter(into, filter.discovery.fallback);
	}
	if (filter.kind !== "http") return;
	for (const one of filter.filters) if (one.kind === "discovered") into.discovered.push({ kind: "http", name: one.name, discovery: one.discovery });
	if (filter.routes.kind === "rds") into.routes.set(keyOf(filter.routes), filter.routes);
	if (filter.routes.kind === "scoped" && filter.routes.scoped.scopes === undefined)
		into.scopes.add(`http.${filter.statPrefix}.scoped_rds.${filter.routes.scoped.name}.`);
	for (const table of inlineTables(filter.routes)) {
		addTable(into, table);
		if (table.vhds) into.inlineTables.set(table.name, table);
	}
}

function addTable(into: Collector, table: RouteTable): void {
	for (const host of table.virtualHosts) {
		for (const { action } of host.routes) {
			if (action.kind !== "route") continue;
			addSelector(into, action.cluster);
			for (const mirror of action.mirrors) into.clusters.add(mirror.cluster);
		}
	}
}

function addSelector(into: Collector, selector: ClusterSelector): void {
	if (selector.kind === "cluster") into.clusters.add(selector.name);
	if (selector.kind === "matcher") for (const name of selector.clusters) into.clusters.add(name);
	if (selector.kind === "weighted") for (const { name } of selector.clusters) into.clusters.add(name);
}
