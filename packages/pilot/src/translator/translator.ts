import { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import type { XdsType } from "@weft/xds";
import type { ProxyNode } from "../model/proxy-node.ts";
import type { PushSnapshot } from "../model/push.ts";
import type { Service } from "../model/service.ts";
import { scopeOf } from "../model/scope.ts";
import { buildInboundClusters, buildOutboundClusters, outboundClusterInputs, outboundClustersKey } from "./clusters/index.ts";
import { prepareTraits } from "./clusters/identities.ts";
import type { EncodedResource, ProxyContext, Resources } from "./context.ts";
import { encodeResource, stats } from "./encode.ts";
import { classPlaceKey, clusterLoadAssignments, prepareAssignments } from "./endpoints/assignments.ts";
import { buildListeners } from "./listeners/index.ts";
import { keptParts } from "./kept.ts";
import { createMemo, identityOf, none } from "./memo.ts";
import { MergedResources } from "./derived-resources.ts";
import { patchClusters } from "./envoy-filter/clusters.ts";
import { extensionPatches } from "./envoy-filter/extension-configs.ts";
import { patchListeners } from "./envoy-filter/listeners.ts";
import { patchSetFor } from "./envoy-filter/patch-set.ts";
import { patchRouteTable } from "./envoy-filter/routes.ts";
import { servicePortsOf } from "./envoy-filter/service-ports.ts";
import { clusterHeaderSettings, tableWithHeaderSettings } from "./header-settings.ts";
import { atOnce, type Pieces } from "./pieces.ts";
import { extensionsFor } from "./policy/workload-policies.ts";
import { passesByItself } from "./routes/gateway-servers.ts";
import { buildRouteTable } from "./routes/index.ts";

export { buildPush } from "../model/build-push.ts";
export { decodeNode } from "../model/node.ts";

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

export function contextOf(push: PushSnapshot, node: ProxyNode): ProxyContext {
	return { push, scope: scopeOf(push, node), node };
}

/** Everything that a proxy is sent. Parts are built when asked for, and shared with every proxy that they are the same for. */
export function translate(push: PushSnapshot, node: ProxyNode): Translation {
	const context = contextOf(push, node);
	return {
		get cds() {
			return { type: "cds" as const, resources: clustersOf(context) };
		},
		get lds() {
			return { type: "lds" as const, resources: listenersOf(context) };
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

export function clustersOf(context: ProxyContext): Resources {
	const parts = keptParts(context);
	return (parts.clusters ??= buildClusters(context));
}

function buildClusters(context: ProxyContext): Resources {
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
	const outbound = atOnce(outboundClusters(context));
	const inbound = buildInboundClusters(context);
	if (inbound.length === 0) return outbound;
	return merged.get([outbound, ...inbound], "", () => new MergedResources(outbound, byName(inbound)));
}

function* outboundClusters(context: ProxyContext): Pieces<Resources> {
	const { push, scope, node } = context;
	const { shared } = push.caches;
	const sni = passesByItself(context);
	const client = `${outboundClustersKey(node)} ${sni} ${placeKeyOf(context)}`;
	const classKey = `cds ${client} ${scope.key}`;
	const inputs = outboundClusterInputs(push, scope);
	const known = shared.find(classKey, inputs);
	if (known !== undefined) return known as Resources;
	// Classes that see the same services under the same rules have one list.
	const listKey = `cds list ${client} ${identityOf(scope.destinationRule)}`;
	const list = (shared.find(listKey, inputs) as readonly EncodedResource[] | undefined) ?? (yield* buildOutboundClusters(context, sni));
	shared.get(listKey, inputs, () => list);
	return shared.get(classKey, inputs, () => stableSet(push, classKey, list)) as Resources;
}

/** Works out most of what a proxy of this class will ask for, so that it is there by then: clusters and assignments, which a mesh has most of. */
export function* prepare(context: ProxyContext): Pieces<void> {
	yield* prepareTraits(context.push);
	yield;
	if (keptParts(context).clusters === undefined) yield* outboundClusters(context);
	yield* prepareAssignments(context);
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

export function listenersOf(context: ProxyContext): Resources {
	const parts = keptParts(context);
	return (parts.listeners ??= listenerSet(context));
}

function listenerSet(context: ProxyContext): Resources {
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

export function routeTableOf(context: ProxyContext, name: string): EncodedResource | undefined {
	const { push, node } = context;
	const built = buildRouteTable(context, name);
	const table = built && tableWithHeaderSettings(context, built);
	const patches = patchSetFor(push, node);
	if (table === undefined || patches === undefined) return table;
	if (node.kind === "router") return patchRouteTable(table, patches, "GATEWAY", servicePortsOf(context, name));
	return patchRouteTable(table, patches, "SIDECAR_OUTBOUND", []);
}

export const noResources: Resources = new Map();
const configs = createMemo<Resources>();

/** One object while the extensions are the same. */
export function extensionConfigs({ push, node }: ProxyContext): Resources {
	const extensions = extensionsFor(push, node);
	const patches = patchSetFor(push, node);
	if (extensions.length === 0 && patches === undefined) return noResources;
	return configs.get([extensions, patches ?? none], node.kind, () =>
		byName([...extensions.flatMap(({ resource }) => resource ?? []), ...(patches ? extensionPatches(patches, node.kind === "router") : [])]),
	);
}
