import { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import type { XdsType } from "@weft/xds";
import type { ResourceView } from "@weft/xds/server";
import type { ProxyNode } from "../model/proxy-node.ts";
import type { EndpointIndex, PushSnapshot } from "../model/push.ts";
import type { Service } from "../model/service.ts";
import { scopeOf } from "../model/scope.ts";
import { buildInboundClusters, buildOutboundClusters, outboundClusterInputs, outboundClustersKey } from "./clusters/index.ts";
import type { EncodedResource, ProxyContext } from "./context.ts";
import { encodeResource, stats } from "./encode.ts";
import {
	assignmentInputs,
	assignmentNamesOf,
	changedHosts as hostsWithOtherEndpoints,
	classPlaceKey,
	clusterLoadAssignments,
} from "./endpoints/assignments.ts";
import { buildListeners } from "./listeners/index.ts";
import { createKept } from "./kept.ts";
import { createMemo, none } from "./memo.ts";
import { nameTable } from "./name-table.ts";
import { patchClusters } from "./envoy-filter/clusters.ts";
import { extensionPatches } from "./envoy-filter/extension-configs.ts";
import { patchListeners } from "./envoy-filter/listeners.ts";
import { type PatchSet, patchSetFor } from "./envoy-filter/patch-set.ts";
import { patchRouteTable } from "./envoy-filter/routes.ts";
import { servicePortsOf } from "./envoy-filter/service-ports.ts";
import { clusterHeaderSettings, tableWithHeaderSettings } from "./header-settings.ts";
import { extensionsFor } from "./policy/workload-policies.ts";
import { passesByItself } from "./routes/gateway-servers.ts";
import { clientKey } from "./routes/client-key.ts";
import { buildRouteTable, differentHosts, type SplitTable, splitTable } from "./routes/index.ts";
import { buildSecret, noSecrets, type SecretRights } from "./secrets.ts";

export { buildPush } from "../model/build-push.ts";
export { decodeNode } from "../model/node.ts";

/** Resources by name, sorted. */
export type Resources = ReadonlyMap<string, EncodedResource>;

export interface ResourceSet {
	readonly type: XdsType;
	readonly resources: Resources;
}

export interface Translation {
	readonly cds: ResourceSet;
	readonly lds: ResourceSet;
	/** On demand by name; undefined when there is no such resource for this proxy. */
	eds(name: string): EncodedResource | undefined;
	rds(name: string): EncodedResource | undefined;
	/** Configurations of filters that are discovered by themselves. */
	ecds(name: string): EncodedResource | undefined;
}

function contextOf(push: PushSnapshot, node: ProxyNode): ProxyContext {
	return { push, scope: scopeOf(push, node), node };
}

const keptClusters = createKept<Resources>();
const keptListeners = createKept<Resources>();

/** Everything that a proxy is sent. Parts are built when asked for, and shared with every proxy that they are the same for. */
export function translate(push: PushSnapshot, node: ProxyNode): Translation {
	const context = contextOf(push, node);
	return {
		get cds() {
			return { type: "cds" as const, resources: keptClusters(context, () => clustersOf(context)) };
		},
		get lds() {
			return { type: "lds" as const, resources: keptListeners(context, () => listenersOf(context)) };
		},
		eds: clusterLoadAssignments(context),
		rds: (name) => routeTableOf(context, name),
		ecds: (name) => extensionConfigs(context).get(name),
	};
}

function byName(resources: readonly EncodedResource[]): Resources {
	return new Map(resources.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map((resource) => [resource.name, resource]));
}

/** Sets that hold the same resources are one object, over snapshots too: then nothing has to be compared further on. */
function stableSet(push: PushSnapshot, key: string, resources: readonly EncodedResource[]): Resources {
	const stable = push.caches.lists.get(key, resources, () => resources);
	return sets.get([stable], "", () => byName(resources));
}

const sets = createMemo<Resources>();
const merged = createMemo<Resources>();

const patchedSets = createMemo<Resources>();
const withCase = createMemo<Resources>();

function clustersOf(context: ProxyContext): Resources {
	const { push, node } = context;
	const settings = clusterHeaderSettings(context);
	const shared = builtClusters(context);
	const built = settings ? withCase.get([shared], "", () => byName([...shared.values()].map(settings))) : shared;
	const patches = patchSetFor(push, node);
	if (patches === undefined) return built;
	return patchedSets.get([built, patches], node.kind, () => byName(patchClusters(built.values(), patches, node.kind === "router")));
}

/** The outbound half is one for the whole class; the inbound half is the workload's own. */
function builtClusters(context: ProxyContext): Resources {
	const { push, scope, node } = context;
	const sni = passesByItself(context);
	const classKey = `cds ${outboundClustersKey(node)} ${sni} ${placeKeyOf(context)} ${scope.key}`;
	const build = () => stableSet(push, classKey, buildOutboundClusters(context, sni));
	const outbound = push.caches.shared.get(classKey, outboundClusterInputs(push, scope), build) as Resources;
	const inbound = buildInboundClusters(context);
	if (inbound.length === 0) return outbound;
	return merged.get([outbound, ...inbound], "", () => insertSorted(outbound, inbound));
}

/** Two sorted lists as one sorted map; the first is far longer than the second. */
function insertSorted(many: Resources, few: readonly EncodedResource[]): Resources {
	const rest = few.toSorted((a, b) => (a.name < b.name ? -1 : 1));
	const all = new Map<string, EncodedResource>();
	for (const [name, resource] of many) {
		for (let next = rest[0]; next && next.name < name; next = rest[0]) {
			all.set(next.name, next);
			rest.shift();
		}
		all.set(name, resource);
	}
	for (const resource of rest) all.set(resource.name, resource);
	return all;
}

const hasDnsClusters = new WeakMap<readonly Service[], boolean>();

/** DNS clusters carry their endpoints, arranged for the client's place; without such clusters all places share one set. */
function placeKeyOf({ push, scope, node }: ProxyContext): string {
	let placed = hasDnsClusters.get(scope.services);
	if (placed === undefined) {
		placed = scope.services.some(({ resolution }) => resolution === "DNS" || resolution === "DNSRoundRobin");
		hasDnsClusters.set(scope.services, placed);
	}
	return placed ? classPlaceKey(scope, push.mesh, node) : "";
}

const encodedListeners = new WeakMap<Listener, EncodedResource>();

function listenersOf(context: ProxyContext): Resources {
	const { push, node } = context;
	const patches = patchSetFor(push, node);
	const built = buildListeners(context);
	const listeners = (patches ? patchListeners(built, patches, node.kind === "router") : built).map((listener) => {
		let resource = encodedListeners.get(listener);
		if (!resource) {
			stats.builds.lds++;
			resource = encodeResource("lds", listener.name, Listener, listener);
			encodedListeners.set(listener, resource);
		}
		return resource;
	});
	return stableSet(push, `lds ${node.id}`, listeners);
}

function routeTableOf(context: ProxyContext, name: string): EncodedResource | undefined {
	const { push, node } = context;
	const built = buildRouteTable(context, name);
	const table = built && tableWithHeaderSettings(context, built);
	const patches = patchSetFor(push, node);
	if (table === undefined || patches === undefined) return table;
	if (node.kind === "router") return patchRouteTable(table, patches, "GATEWAY", servicePortsOf(context, name));
	return patchRouteTable(table, patches, "SIDECAR_OUTBOUND", []);
}

const empty: Resources = new Map();
const configs = createMemo<Resources>();

/** One object while the extensions are the same. */
function extensionConfigs({ push, node }: ProxyContext): Resources {
	const extensions = extensionsFor(push, node);
	const patches = patchSetFor(push, node);
	if (extensions.length === 0 && patches === undefined) return empty;
	return configs.get([extensions, patches ?? none], node.kind, () =>
		byName([...extensions.flatMap(({ resource }) => resource ?? []), ...(patches ? extensionPatches(patches, node.kind === "router") : [])]),
	);
}

export interface ViewOptions {
	/** Default: nobody was authenticated, and secrets are for nobody. */
	readonly rights: SecretRights;
	/** Told why a proxy is not given a secret that it asks for. */
	readonly onMissingSecret?: (name: string, problem: string) => void;
}

/** The proxy's resources as the xDS server serves them. */
export function resourceView(push: PushSnapshot, node: ProxyNode, { rights, onMissingSecret }: ViewOptions = { rights: noSecrets }): ResourceView {
	const translation = translate(push, node);
	let clusters: Resources | undefined;
	let listeners: Resources | undefined;
	const cds = () => (clusters ??= translation.cds.resources);
	const lds = () => (listeners ??= translation.lds.resources);
	const revisions: Partial<Record<XdsType, object>> = {};
	const revisionOf = (type: XdsType): object => {
		switch (type) {
			case "cds":
				return cds();
			case "lds":
				return lds();
			case "nds":
				return nameTable(push, node);
			case "eds":
				return assignmentsRevision(push, node);
			case "rds":
			case "vhds":
				return tablesRevision(push, node);
			case "ecds":
				return extensionConfigs(contextOf(push, node));
			case "sds":
				return secretsRevision(push, node, rights);
			default:
				return empty;
		}
	};
	return {
		version: String(push.version),
		all(type) {
			if (type === "cds") return cds();
			if (type === "nds") return nameTable(push, node);
			return type === "lds" ? lds() : empty;
		},
		get(type, name) {
			switch (type) {
				case "cds":
					return cds().get(name);
				case "lds":
					return lds().get(name);
				case "eds":
					return translation.eds(name);
				case "rds":
					return node.vhds ? splitOf(push, node, name)?.shell : translation.rds(name);
				case "vhds":
					return node.vhds ? hostsOf(push, node, collectionOf(name))?.get(name) : undefined;
				case "ecds":
					return translation.ecds(name);
				case "sds": {
					const outcome = buildSecret(contextOf(push, node), rights, name);
					if ("value" in outcome) return outcome.value;
					onMissingSecret?.(name, outcome.problem);
					return undefined;
				}
				default:
					return undefined;
			}
		},
		members: (type, collection) => (type === "vhds" && node.vhds ? hostsOf(push, node, collection) : undefined),
		revision(type) {
			return (revisions[type] ??= revisionOf(type));
		},
		changes(type, since) {
			if (type === "eds") return changedAssignments(push, node, since as AssignmentsRevision);
			return type === "vhds" ? changedHosts(push, node, since as TablesRevision) : undefined;
		},
	};
}

/** One object for equal inputs: everything that assignments are derived from. */
interface AssignmentsRevision {
	readonly classKey: string;
	readonly inputs: readonly object[];
	readonly endpoints: EndpointIndex;
}

function assignmentsRevision(push: PushSnapshot, node: ProxyNode): AssignmentsRevision {
	const scope = scopeOf(push, node);
	const inputs = assignmentInputs(push, scope);
	const classKey = `${scope.key} ${classPlaceKey(scope, push.mesh, node)}`;
	return push.caches.shared.get(`eds revision ${classKey}`, inputs, () => ({ classKey, inputs, endpoints: push.endpoints })) as AssignmentsRevision;
}

const changedNames = createMemo<readonly string[]>();

/** Assignments that can differ from those of an earlier revision: where endpoints alone changed, those of the services they belong to. */
function changedAssignments(push: PushSnapshot, node: ProxyNode, since: AssignmentsRevision): readonly string[] | undefined {
	const now = assignmentsRevision(push, node);
	const alike = now.classKey === since.classKey && now.inputs.every((input, i) => input === since.inputs[i] || input === now.endpoints);
	if (!alike) return undefined;
	return changedNames.get([now, since], "", () =>
		[...hostsWithOtherEndpoints(push, since.endpoints)].flatMap((host) => assignmentNamesOf(scopeOf(push, node), host, node.kind === "router")),
	);
}

/** One object for equal inputs of route tables; what was split for clients of this revision is kept with it. */
interface TablesRevision {
	readonly splits: Map<string, SplitTable | undefined>;
}

const newTables = (): TablesRevision => ({ splits: new Map() });

const patchedRevisions = createMemo<TablesRevision>();

/** Secrets depend on what is in them, on who may read them, and on the Gateways that name them. */
function secretsRevision(
	{ certificates, gateways, workloads, caches }: PushSnapshot,
	node: ProxyNode,
	{ isAuthenticated, mayReadSecrets }: SecretRights,
): object {
	const key = `sds revision ${node.id} ${isAuthenticated} ${mayReadSecrets()}`;
	return caches.shared.get(key, [certificates, gateways, workloads], () => ({}));
}

function tablesRevision(push: PushSnapshot, node: ProxyNode): TablesRevision {
	const built = builtTablesRevision(push, node);
	const patches: PatchSet | undefined = patchSetFor(push, node);
	return patches === undefined ? built : patchedRevisions.get([built, patches], "", newTables);
}

/** A gateway's also depend on the Gateways that select it, and on its own pod. */
function builtTablesRevision(push: PushSnapshot, node: ProxyNode): TablesRevision {
	const { services, virtualServices, destinationRules, sidecars, mesh, gateways, workloads } = push;
	const context = contextOf(push, node);
	const inputs = [services, virtualServices, destinationRules, sidecars, mesh];
	const shared = (key: string, all: readonly object[]) => push.caches.shared.get(`rds revision ${key}`, all, newTables) as TablesRevision;
	if (node.kind === "sidecar") return shared(`${context.scope.key} ${clientKey(context)}`, inputs);
	return shared(node.id, [...inputs, gateways, workloads]);
}

/** `table/host`: no table's name has a slash. */
const collectionOf = (name: string): string => name.slice(0, Math.max(0, name.indexOf("/")));

function splitOf(push: PushSnapshot, node: ProxyNode, name: string): SplitTable | undefined {
	const { splits } = tablesRevision(push, node);
	if (!splits.has(name)) {
		const table = routeTableOf(contextOf(push, node), name);
		splits.set(name, table && splitTable(table));
	}
	return splits.get(name);
}

/** Undefined: no such table. What a client has of one that is gone serves on until the listener goes, too. */
function hostsOf(push: PushSnapshot, node: ProxyNode, table: string): Resources | undefined {
	return table === "" || table.includes("/") ? undefined : splitOf(push, node, table)?.hosts;
}

const hostChanges = createMemo<readonly string[]>();

/** Virtual hosts that differ from an earlier revision's, in the tables that clients of that revision have asked for. */
function changedHosts(push: PushSnapshot, node: ProxyNode, since: TablesRevision): readonly string[] | undefined {
	const tables = [...since.splits];
	// Nobody has asked this revision for anything: it may have been made anew for an older view.
	if (tables.length === 0) return undefined;
	// A table that was gone and is back may have lost hosts meanwhile.
	if (tables.some(([table, before]) => before === undefined && hostsOf(push, node, table) !== undefined)) return undefined;
	return hostChanges.get([tablesRevision(push, node), since], String(tables.length), () =>
		tables.flatMap(([table, before]) => {
			const now = splitOf(push, node, table);
			return now === undefined || before === undefined ? [] : differentHosts(before, now);
		}),
	);
}
