import type { ConfigObject, IstioEgressListener } from "@weft/api";
import { compareText } from "./age.ts";
import { selectRule, unselectedRule, visibleRules } from "./destination-rules.ts";
import { onceEach } from "./once-each.ts";
import type { ProxyNode } from "./proxy-node.ts";
import type { DestinationRule, EgressListener, PushSnapshot, Scope, VirtualService } from "./push.ts";
import { sameItems } from "./reuse.ts";
import type { Service } from "./service.ts";
import { destinationHosts, importServices, importVirtualServices, narrowToPorts, oneNamespaceEach, sidecarFor } from "./sidecar-hosts.ts";
import { sourceLabelsOf } from "./source-labels.ts";
import { isVisible, visibleVirtualServices } from "./visibility.ts";

/** The scope of each proxy, and the store that it was found in: valid as long as the snapshot has that very store. */
const found = new WeakMap<ProxyNode, { readonly scopes: ReadonlyMap<string, Scope>; readonly scope: Scope }>();

/** What a proxy's class may see. Proxies with equal keys share one scope, over snapshots too while endpoints alone change. */
export function scopeOf(push: PushSnapshot, node: ProxyNode): Scope {
	const { scopes } = push.caches;
	const known = found.get(node);
	if (known?.scopes === scopes) return known.scope;
	const scope = lookUpScope(push, node);
	found.set(node, { scopes, scope });
	return scope;
}

function lookUpScope(push: PushSnapshot, node: ProxyNode): Scope {
	const { key, sidecar } = identify(push, node);
	let scope = push.caches.scopes.get(key);
	if (!scope) {
		scope = buildScope(push, node, sidecar, key);
		push.caches.scopes.set(key, scope);
	}
	return scope;
}

/** What a proxy's scope is told apart by, and what that was worked out from. */
interface Identity {
	readonly sidecars: PushSnapshot["sidecars"];
	readonly rootNamespace: string;
	readonly labels: readonly string[];
	readonly sidecar: ConfigObject<"Sidecar"> | undefined;
	readonly key: string;
}

const identities = new WeakMap<ProxyNode, Identity>();

/** Most edits leave every proxy in the class that it was in. */
function identify(push: PushSnapshot, node: ProxyNode): Identity {
	const { sidecars, mesh } = push;
	const { rootNamespace } = mesh;
	const labels = selectingLabels(push);
	const known = identities.get(node);
	if (known?.labels === labels && known.sidecars === sidecars && known.rootNamespace === rootNamespace) return known;
	const sidecar = node.kind === "sidecar" ? sidecarFor(sidecars, node.namespace, node.labels, rootNamespace) : undefined;
	const identity = { sidecars, rootNamespace, labels, sidecar, key: scopeKey(labels, node, sidecar) };
	identities.set(node, identity);
	return identity;
}

/**
 * Exactly what the outbound half reads of a node: its kind, namespace and Sidecar, the labels that some DestinationRule or route
 * selects by, and how it treats DNS.
 */
function scopeKey(selecting: readonly string[], node: ProxyNode, sidecar: ConfigObject<"Sidecar"> | undefined): string {
	const labels = selecting.map((key) => [key, node.labels[key] ?? null]);
	const local = node.local === undefined ? null : node.id;
	return JSON.stringify([node.kind, node.namespace, sidecar ? `${sidecar.metadata.namespace}/${sidecar.metadata.name}` : null, labels, node.dnsCapture, local]);
}

/** Labels that tell clients of one namespace apart. The same list while it says the same. */
const selectingLabels = onceEach((push: PushSnapshot): readonly string[] => {
	const ofRoutes = push.virtualServices.flatMap(sourceLabelsOf);
	return stable(push, "selecting labels", [...new Set([...push.destinationRules.selectorKeys, ...ofRoutes])].sort());
});

function buildScope(push: PushSnapshot, node: ProxyNode, sidecar: ConfigObject<"Sidecar"> | undefined, key: string): Scope {
	const { namespace } = node;
	const visible = visibleServices(push, node.kind, namespace);
	const meshRoutes = meshVirtualServices(push, namespace);
	const listeners = sidecar?.spec.egress ?? [];
	const egress =
		listeners.length === 0
			? [{ port: undefined, bind: "", captureMode: "DEFAULT" as const, services: visible, virtualServices: meshRoutes }]
			: listeners.map((listener) => egressListener(push, listener, visible, meshRoutes, `${key} ${listeners.indexOf(listener)}`, namespace));
	const importsLess = listeners.length > 0 || (node.kind === "sidecar" && hidesOwn(push, namespace));
	const pulled = importsLess ? egress.flatMap((listener) => pulledServices(push, listener, namespace)) : [];
	const listed = [...egress.flatMap((listener) => listener.services), ...pulled];
	const services = mergedServices(push, key, importsLess ? stable(push, `${key} listed`, listed) : visible);
	const lookups = push.caches.shared.get(`scope lookups ${key}`, [services, push.destinationRules, push.mesh], () =>
		scopeLookups(push, node, services),
	) as Lookups;
	return {
		key,
		namespace,
		sidecar,
		services,
		egress,
		outboundTrafficPolicy: trafficPolicy(push, sidecar),
		...lookups,
	};
}

type Lookups = Pick<Scope, "serviceByHost" | "destinationRule" | "inboundDestinationRule">;

/** By the services that they are about. */
const lookupsOf = new WeakMap<readonly Service[], { readonly rules: object; readonly all: KnownLookups[] }>();

interface KnownLookups {
	/** One of each a service. */
	readonly outbound: readonly (DestinationRule | undefined)[];
	readonly inbound: readonly (DestinationRule | undefined)[];
	readonly lookups: Lookups;
}

/**
 * Kept over snapshots while neither services nor rules change; then nothing has to be looked up again. One object for all classes that find the
 * same rules, so that what is made of services and rules alone is made once for all of them.
 */
function scopeLookups({ destinationRules, mesh }: PushSnapshot, { namespace, labels }: ProxyNode, services: readonly Service[]): Lookups {
	const visible = services.map((service) => visibleRules(destinationRules, service.hostname, namespace, service.namespace, mesh.rootNamespace));
	const outbound = visible.map((rules) => selectRule(rules, namespace, labels));
	const inbound = visible.map(unselectedRule);
	let known = lookupsOf.get(services);
	if (known?.rules !== destinationRules) {
		known = { rules: destinationRules, all: [] };
		lookupsOf.set(services, known);
	}
	const alike = known.all.find((each) => sameItems(each.outbound, outbound) && sameItems(each.inbound, inbound));
	if (alike) return alike.lookups;
	const serviceByHost = new Map(services.map((service) => [service.hostname, service]));
	const lookups = { serviceByHost, destinationRule: lookupIn(services, outbound), inboundDestinationRule: lookupIn(services, inbound) };
	known.all.push({ outbound, inbound, lookups });
	return lookups;
}

function lookupIn(services: readonly Service[], rules: readonly (DestinationRule | undefined)[]): (host: string) => DestinationRule | undefined {
	const byHost = new Map<string, DestinationRule>();
	for (const [i, rule] of rules.entries()) if (rule) byHost.set((services[i] as Service).hostname, rule);
	return (host) => byHost.get(host);
}

/** Gives back the previous list where the new one has the same members, so that what is memoised on it stays valid. */
function stable<T>(push: PushSnapshot, key: string, items: readonly T[]): readonly T[] {
	return push.caches.lists.get(key, items, () => items) as readonly T[];
}

/** By the list of all: most pushes leave services what they were, and every class asks. */
const visibleLists = new WeakMap<readonly Service[], Map<string, readonly Service[]>>();

/** What is exported to a namespace: what is not for all before what is. A sidecar sees each hostname in one namespace. */
function visibleServices(push: PushSnapshot, kind: ProxyNode["kind"], namespace: string): readonly Service[] {
	const lists = visibleLists.get(push.services) ?? new Map<string, readonly Service[]>();
	visibleLists.set(push.services, lists);
	const key = `${kind} ${namespace}`;
	const visible = lists.get(key) ?? findVisibleServices(push, kind, namespace);
	lists.set(key, visible);
	return visible;
}

function findVisibleServices(push: PushSnapshot, kind: ProxyNode["kind"], namespace: string): readonly Service[] {
	const isPublic = ({ exportTo }: Service): boolean => exportTo.includes("*");
	const all = push.services.every(isPublic) ? push.services : push.services.filter((service) => isVisible(service.exportTo, service.namespace, namespace));
	const ordered = all === push.services ? all : all.toSorted((a, b) => Number(isPublic(a)) - Number(isPublic(b)));
	const visible = kind === "sidecar" ? oneNamespaceEach(ordered, namespace) : ordered;
	return visible === push.services ? visible : stable(push, `${kind} ${namespace} visible services`, visible);
}

/** One list for all namespaces that see the same, so that what is worked out from it is worked out once. */
function meshVirtualServices(push: PushSnapshot, namespace: string): readonly VirtualService[] {
	let common = commonRoutes.get(push);
	if (!common) {
		common = stable(push, "mesh virtual services", visibleInMesh(push, noNamespace));
		commonRoutes.set(push, common);
	}
	const visible = visibleInMesh(push, namespace);
	return sameItems(visible, common) ? common : stable(push, `${namespace} mesh virtual services`, visible);
}

const commonRoutes = new WeakMap<PushSnapshot, readonly VirtualService[]>();

/** What such a one sees is for everybody. */
const noNamespace = "";

const visibleInMesh = (push: PushSnapshot, namespace: string): readonly VirtualService[] =>
	visibleVirtualServices(push, "mesh", namespace).filter((vs) => vs.semantics !== "gateway" || isProducerOrConsumer(push, vs, namespace));

/**
 * A route of the mesh holds for all clients only where it stands in the namespace of the service; another namespace's is for its own clients.
 * https://gateway-api.sigs.k8s.io/mesh/mesh-overview/#how-the-gateway-api-works-for-service-mesh
 */
function isProducerOrConsumer(push: PushSnapshot, { namespace, hosts }: VirtualService, client: string): boolean {
	return namespace === client || hosts.some((host) => (push.servicesByHost.get(host) ?? []).some((service) => service.namespace === namespace));
}

function egressListener(
	push: PushSnapshot,
	listener: IstioEgressListener,
	services: readonly Service[],
	routes: readonly VirtualService[],
	key: string,
	namespace: string,
): EgressListener {
	const { port } = listener;
	return {
		// Port 0 is that of a Unix socket.
		port: port && { number: port.number ?? 0, protocol: port.protocol ?? "", name: port.name ?? "" },
		bind: listener.bind ?? "",
		captureMode: listener.captureMode ?? "DEFAULT",
		services: stable(push, `${key} listener services`, importServices(services, listener, namespace)),
		virtualServices: stable(push, `${key} listener routes`, importVirtualServices(routes, listener, namespace)),
	};
}

const hidingNamespaces = new WeakMap<readonly Service[], ReadonlySet<string>>();

/** Is some service of the namespace exported to others alone? */
function hidesOwn({ services }: PushSnapshot, namespace: string): boolean {
	let hiding = hidingNamespaces.get(services);
	if (!hiding) {
		hiding = new Set(services.filter((service) => !isVisible(service.exportTo, service.namespace, service.namespace)).map((service) => service.namespace));
		hidingNamespaces.set(services, hiding);
	}
	return hiding.has(namespace);
}

/** Services that a listener does not import, but one of its VirtualServices sends to: their clusters are needed. */
function pulledServices(push: PushSnapshot, listener: EgressListener, namespace: string): readonly Service[] {
	return listener.virtualServices.flatMap((vs) =>
		[...destinationHosts(vs)].flatMap(([host, ports]) => {
			const candidates = push.servicesByHost.get(host) ?? [];
			// A service of one's own namespace counts even where it is exported to others alone.
			const own = candidates.find((candidate) => candidate.namespace === namespace);
			const visible = candidates.filter((candidate) => isVisible(candidate.exportTo, candidate.namespace, namespace));
			const service = own ?? visible.toSorted(byPrecedence)[0];
			if (!service) return [];
			const listenerPort = listenerPortOf(listener);
			if (listenerPort !== undefined) return narrowToPorts(service, (port) => port === listenerPort);
			return ports.has(0) ? [service] : narrowToPorts(service, (port) => ports.has(port));
		}),
	);
}

/** Of services of one name in other namespaces: Kubernetes' own, then the oldest. */
function byPrecedence(a: Service, b: Service): number {
	const foreign = ({ registry }: Service) => (registry === "Kubernetes" ? 0 : 1);
	return foreign(a) - foreign(b) || a.createdMs - b.createdMs || compareText(a.namespace, b.namespace);
}

/** The one port that a listener is for; undefined: all. */
function listenerPortOf({ port }: EgressListener): number | undefined {
	return port === undefined || port.number === 0 || port.protocol === "HTTP_PROXY" ? undefined : port.number;
}

const mergedLists = new WeakMap<readonly Service[], readonly Service[]>();

function mergedServices(push: PushSnapshot, key: string, listed: readonly Service[]): readonly Service[] {
	let merged = mergedLists.get(listed);
	if (!merged) {
		merged = stable(push, `${key} services`, mergeServices(listed));
		mergedLists.set(listed, merged);
	}
	return merged;
}

/**
 * One service a hostname. Kubernetes beats ServiceEntries, otherwise the first (oldest) stays; ServiceEntries of one namespace
 * lend it the ports that it lacks.
 */
function mergeServices(services: readonly Service[]): readonly Service[] {
	const byHost = new Map<string, Service>();
	for (const service of services) {
		const found = byHost.get(service.hostname);
		if (!found || (found.registry !== "Kubernetes" && service.registry === "Kubernetes")) byHost.set(service.hostname, service);
		else if (found !== service && mergeable(found, service)) byHost.set(service.hostname, joinPorts(found, service));
	}
	return [...byHost.values()].sort((a, b) => compareText(a.hostname, b.hostname));
}

function mergeable(a: Service, b: Service): boolean {
	return a.namespace === b.namespace && a.registry === b.registry && a.resolution === b.resolution;
}

const joinedPorts = new WeakMap<Service, WeakMap<Service, Service>>();

function joinPorts(a: Service, b: Service): Service {
	const missing = b.ports.filter(({ port }) => !a.ports.some((own) => own.port === port));
	if (missing.length === 0) return a;
	const known = joinedPorts.get(a) ?? new WeakMap<Service, Service>();
	joinedPorts.set(a, known);
	const joined = known.get(b) ?? { ...a, ports: [...a.ports, ...missing] };
	known.set(b, joined);
	return joined;
}

function trafficPolicy(push: PushSnapshot, sidecar: ConfigObject<"Sidecar"> | undefined): Scope["outboundTrafficPolicy"] {
	const policy = sidecar?.spec.outboundTrafficPolicy;
	const proxy = policy?.egressProxy;
	return {
		mode: policy ? (policy.mode ?? "REGISTRY_ONLY") : push.mesh.outboundTrafficPolicy,
		egressProxy: proxy ? { host: proxy.host, subset: proxy.subset ?? "", port: proxy.port?.number ?? 0 } : undefined,
	};
}
