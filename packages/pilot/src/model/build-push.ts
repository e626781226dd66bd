import type { ConfigObject, Kind, MeshConfig, MeshNetworks } from "@weft/api";
import { byAge, createdMsOf, oldestFirst } from "./age.ts";
import { createServiceDecoder } from "./decode-services.ts";
import { buildDestinationRuleIndex } from "./destination-rules.ts";
import { buildEndpointIndex, type ServiceEndpoints } from "./endpoint-index.ts";
import { registeredLabels } from "./entry-registration.ts";
import { type CompiledGatewayApi, compileGatewayApi } from "./gateway-api/compile.ts";
import { type HeldVirtualServices, holdVirtualServices } from "./held-virtual-services.ts";
import { type CompiledIngress, compileIngress } from "./ingress.ts";
import { type JwksIndex, noJwks } from "./jwks.ts";
import { resolveMesh } from "./mesh.ts";
import { discoveredNamespaces } from "./namespaces.ts";
import { buildNetworks, type GatewayAddresses, type Networks } from "./networks.ts";
import { buildPeerAuthenticationIndex } from "./peer-authentication.ts";
import { buildPolicyIndex, type PolicyIndex, type PolicyKind } from "./policies.ts";
import type {
	DestinationRule,
	DestinationRuleIndex,
	EndpointIndex,
	Gateway,
	Mesh,
	PeerAuthenticationIndex,
	Policies,
	PushSnapshot,
	Scope,
	VirtualService,
	Workload,
	WorkloadIndex,
} from "./push.ts";
import { createReuse, type Reuse } from "./reuse.ts";
import { buildCertificateStore, type CertificateStore } from "./secrets.ts";
import type { Service } from "./service.ts";
import type { ConfigSnapshot } from "./snapshot.ts";
import { buildVirtualServices } from "./virtual-services.ts";
import { namespaceDistributions } from "./traffic-distribution.ts";
import { buildWorkloadIndex, type NodePlaces, nodePlaces, workloadOf } from "./workloads.ts";

export interface PushInput {
	readonly snapshot: ConfigSnapshot;
	readonly meshConfig: MeshConfig;
	/** Networks that the user declares; the same value while they are the same. */
	readonly meshNetworks?: MeshNetworks;
	/** What names of gateways to other networks stand for, as far as they have been looked up; undefined: such gateways are left out. */
	readonly gatewayAddresses?: GatewayAddresses;
	/** Name of this cluster in workload metadata, e.g. `Kubernetes`. */
	readonly clusterId: string;
	/** Keys of token issuers by address, as far as they have been fetched; the same map while they are the same. */
	readonly jwks?: JwksIndex;
}

/** The steps of a build, each kept while its inputs are the very ones of the last snapshot. */
interface Stages {
	readonly lists: Reuse<readonly unknown[]>;
	readonly shared: Reuse<object>;
	readonly mesh: Reuse<{ readonly meshConfig: MeshConfig; readonly mesh: Mesh }>;
	readonly networks: Reuse<Networks | undefined>;
	readonly pods: Reuse<Workload>;
	readonly places: Reuse<NodePlaces>;
	readonly registered: Reuse<WorkloadIndex["registeredLabels"]>;
	readonly workloads: Reuse<WorkloadIndex>;
	readonly distributions: Reuse<ReturnType<typeof namespaceDistributions>>;
	readonly decodeServices: ReturnType<typeof createServiceDecoder>;
	readonly servicesByHost: Reuse<ReadonlyMap<string, readonly Service[]>>;
	readonly endpoints: Reuse<ServiceEndpoints>;
	readonly endpointIndex: Reuse<EndpointIndex>;
	readonly virtualServices: Reuse<VirtualService>;
	readonly routes: Reuse<readonly VirtualService[]>;
	readonly held: Reuse<HeldVirtualServices>;
	readonly destinationRules: Reuse<DestinationRule>;
	readonly destinationRuleIndex: Reuse<DestinationRuleIndex>;
	readonly peerAuthentications: Reuse<PeerAuthenticationIndex>;
	readonly scopes: Reuse<Map<string, Scope>>;
	readonly policies: Reuse<PolicyIndex<PolicyKind>>;
	readonly policySets: Reuse<Policies>;
	readonly gatewayApi: Reuse<CompiledGatewayApi>;
	readonly ingress: Reuse<CompiledIngress>;
	readonly certificates: Reuse<CertificateStore>;
	readonly compiledGatewayApi: Reuse<object>;
	readonly compiledRules: Reuse<ConfigObject<"DestinationRule">>;
	readonly compiledIngress: Reuse<object>;
}

/** What a class of proxies has is not asked for while endpoints alone change, which may be often between two edits. */
const translatorGenerations = 256;

function createStages(): Stages {
	return {
		lists: createReuse(translatorGenerations),
		shared: createReuse(translatorGenerations),
		mesh: createReuse(),
		networks: createReuse(),
		pods: createReuse(),
		places: createReuse(),
		registered: createReuse(),
		workloads: createReuse(),
		distributions: createReuse(),
		decodeServices: createServiceDecoder(),
		servicesByHost: createReuse(),
		endpoints: createReuse(),
		endpointIndex: createReuse(),
		virtualServices: createReuse(),
		routes: createReuse(),
		held: createReuse(),
		destinationRules: createReuse(),
		destinationRuleIndex: createReuse(),
		peerAuthentications: createReuse(),
		scopes: createReuse(),
		policies: createReuse(),
		policySets: createReuse(),
		gatewayApi: createReuse(),
		ingress: createReuse(),
		certificates: createReuse(),
		compiledGatewayApi: createReuse(),
		compiledRules: createReuse(),
		compiledIngress: createReuse(),
	};
}

const stagesOf = new WeakMap<PushSnapshot, Stages>();

/** The mesh as one immutable view. With the previous snapshot at hand, everything that did not change keeps its identity. */
export function buildPush(input: PushInput, previous?: PushSnapshot): PushSnapshot {
	const { snapshot, meshConfig: userConfig, jwks = noJwks } = input;
	const stages = (previous && stagesOf.get(previous)) ?? createStages();
	for (const step of [stages.lists, stages.shared, stages.mesh, stages.pods, stages.registered, stages.workloads]) step.advance();
	const discovered = discoveredNamespaces(userConfig.discoverySelectors ?? [], snapshot.all("Namespace"));
	const all: All = (kind) => stable(stages, `all ${kind}`, inNamespaces(snapshot.all(kind), discovered));
	const { mesh, meshConfig } = buildMesh(all, input, stages);
	const compiled = compileForeign(all, mesh, stages);
	const sidecars = stable(stages, "sidecars", [...all("Sidecar")].sort(byAge));
	const gateways = stable(stages, "gateways", buildGateways(all("Gateway"), compiled));
	const { services, ...registry } = buildRegistry(all, mesh, stages, previous?.endpoints);
	const { held, ...routing } = buildRules(all, mesh, compiled, stages, previous);
	const rules = { ...routing, policies: buildPolicies(all, mesh, stages), jwks };
	const parts = { meshConfig, mesh, services, ...rules, sidecars, gateways };
	// Neither endpoints nor pods are read by a scope, nor by what is remembered of one.
	const scopes = stages.scopes.get("scopes", Object.values(parts), () => new Map());
	const push: PushSnapshot = {
		version: snapshot.version,
		config: snapshot,
		...parts,
		...registry,
		heldVirtualServices: held,
		gatewayStatus: compiled.gatewayApi.status,
		certificates: stages.certificates.get("certificates", [all("Secret"), all("ConfigMap")], () => buildCertificateStore(all("Secret"), all("ConfigMap"))),
		caches: { scopes, lists: stages.lists, shared: stages.shared },
	};
	stagesOf.set(push, stages);
	return push;
}

/** Objects of no namespace belong to all. */
function inNamespaces<T extends ConfigObject>(objects: readonly T[], namespaces: ReadonlySet<string> | undefined): readonly T[] {
	return namespaces === undefined ? objects : objects.filter(({ metadata: { namespace } }) => namespace === "" || namespaces.has(namespace));
}

const noNetworks: MeshNetworks = {};

function buildMesh(all: All, push: PushInput, stages: Stages): { readonly meshConfig: MeshConfig; readonly mesh: Mesh } {
	const { meshConfig: userConfig, meshNetworks = noNetworks, clusterId, gatewayAddresses: addresses } = push;
	const key = [JSON.stringify(userConfig), clusterId];
	const plain = stages.mesh.get("mesh", key, () => ({ meshConfig: userConfig, mesh: resolveMesh(userConfig, clusterId) }));
	const { rootNamespace } = plain.mesh;
	const input = {
		services: all("Service"),
		gateways: all("KubernetesGateway"),
		namespaces: all("Namespace"),
		rootNamespace,
		meshNetworks,
		clusterId,
		addresses,
	};
	const networks = stages.networks.get("networks", Object.values(input), () => buildNetworks(input));
	if (networks === undefined) return plain;
	return stages.mesh.get("networks", [plain, JSON.stringify(networks)], () => ({ ...plain, mesh: { ...plain.mesh, networks } }));
}

/** All objects of a kind; the same list while none of them changes. */
type All = <K extends Kind>(kind: K) => readonly ConfigObject<K>[];

function stable<T>(stages: Stages, name: string, items: readonly T[]): readonly T[] {
	return stages.lists.get(name, items, () => items) as readonly T[];
}

type Registry = Pick<PushSnapshot, "services" | "servicesByHost" | "endpoints" | "workloads">;

function buildRegistry(all: All, mesh: Mesh, stages: Stages, lastEndpoints: EndpointIndex | undefined): Registry {
	const nodes = all("Node");
	const pods = stable(
		stages,
		"workloads",
		all("Pod").map((pod) => workloadOf(pod, stages.pods)),
	);
	const places = stages.places.getAlike(
		"places",
		nodes,
		() => JSON.stringify([...nodePlaces(nodes)]),
		() => nodePlaces(nodes),
	);
	const entries = all("ServiceEntry");
	const slices = all("EndpointSlice");
	const endpoints = all("Endpoints");
	const workloadEntries = all("WorkloadEntry");
	const registered = stages.registered.getAlike(
		"registered",
		[workloadEntries],
		() => JSON.stringify([...registeredLabels(workloadEntries)]),
		() => registeredLabels(workloadEntries),
	);
	const workloads = stages.workloads.get("workloads", [pods, places, registered], () => buildWorkloadIndex(pods, places, registered));
	const namespaces = all("Namespace");
	const distributions = stages.distributions.getAlike(
		"distributions",
		[namespaces],
		() => JSON.stringify([...namespaceDistributions(namespaces)]),
		() => namespaceDistributions(namespaces),
	);
	const { services, entryOf } = stages.decodeServices({ objects: all("Service"), entries, distributions }, mesh);
	const index = stages.endpointIndex.get("endpoints", [services, entries, slices, endpoints, workloadEntries, workloads], () =>
		buildEndpointIndex({ services, entries, entryOf, slices, endpoints, workloadEntries, places, workloads }, stages.endpoints, lastEndpoints),
	);
	const servicesByHost = stages.servicesByHost.get("services", [services], () => groupByHost(services));
	return { services, servicesByHost, endpoints: index, workloads };
}

function buildPolicies(all: All, { rootNamespace }: Mesh, stages: Stages): Policies {
	// The index has the kind of the objects that it was made of.
	const index = <K extends PolicyKind>(kind: K) => {
		const objects = all(kind);
		return stages.policies.get(kind, [objects, rootNamespace], () => buildPolicyIndex<PolicyKind>(objects, rootNamespace)) as PolicyIndex<K>;
	};
	const policies: Policies = {
		authorization: index("AuthorizationPolicy"),
		requestAuthentication: index("RequestAuthentication"),
		telemetry: index("Telemetry"),
		wasmPlugins: index("WasmPlugin"),
		trafficExtensions: index("TrafficExtension"),
		rateLimits: index("RateLimit"),
		envoyFilters: index("EnvoyFilter"),
	};
	return stages.policySets.get("policies", Object.values(policies), () => policies);
}

/** What was written in other APIs than Istio's own. */
interface Compiled {
	readonly gatewayApi: CompiledGatewayApi;
	readonly ingress: CompiledIngress;
}

function compileForeign(all: All, mesh: Mesh, stages: Stages): Compiled {
	const { domain, rootNamespace } = mesh;
	const services = all("Service");
	const gatewayApi = {
		classes: all("GatewayClass"),
		gateways: all("KubernetesGateway"),
		listenerSets: all("ListenerSet"),
		httpRoutes: all("HTTPRoute"),
		grpcRoutes: all("GRPCRoute"),
		tlsRoutes: all("TLSRoute"),
		tcpRoutes: all("TCPRoute"),
		grants: all("ReferenceGrant"),
		backendTlsPolicies: all("BackendTLSPolicy"),
		namespaces: all("Namespace"),
		services,
		serviceEntries: all("ServiceEntry"),
		secrets: all("Secret"),
		configMaps: all("ConfigMap"),
		domain,
	};
	const ingress = { ingresses: all("Ingress"), classes: all("IngressClass"), services, mesh: mesh.config, rootNamespace, domain };
	return {
		gatewayApi: stages.gatewayApi.get("gateway api", Object.values(gatewayApi), () => {
			const compiled = compileGatewayApi(gatewayApi);
			const rules = sameRules(stages.compiledRules, compiled.destinationRules);
			return { ...compiled, ...sameContent(stages, "gateway api", stages.compiledGatewayApi, compiled), destinationRules: rules };
		}),
		ingress: stages.ingress.get("ingress", Object.values(ingress), () => sameContent(stages, "ingress", stages.compiledIngress, compileIngress(ingress))),
	};
}

/** What a recompilation makes anew keeps its identity where its content is the same, and so do the lists. */
function sameContent(stages: Stages, api: string, reuse: Reuse<object>, { gateways, virtualServices }: CompiledIngress): CompiledIngress {
	reuse.advance();
	const same = <T extends Pick<Gateway, "namespace" | "name">>(name: string, items: readonly T[]): readonly T[] =>
		stable(
			stages,
			`${api} ${name}`,
			items.map((item) => reuse.get(`${name} ${item.namespace}/${item.name}`, [JSON.stringify(item)], () => item) as T),
		);
	return { gateways: same("gateway", gateways), virtualServices: same("virtual service", virtualServices) };
}

function sameRules(
	reuse: Reuse<ConfigObject<"DestinationRule">>,
	rules: readonly ConfigObject<"DestinationRule">[],
): readonly ConfigObject<"DestinationRule">[] {
	reuse.advance();
	return rules.map((rule) => reuse.get(`${rule.metadata.namespace}/${rule.metadata.name}`, [JSON.stringify(rule)], () => rule));
}

function buildGateways(objects: readonly ConfigObject<"Gateway">[], { gatewayApi, ingress }: Compiled): readonly Gateway[] {
	const own = objects.map(gatewayOf);
	return [...own, ...gatewayApi.gateways, ...ingress.gateways].sort(oldestFirst);
}

const decodedGateways = new WeakMap<ConfigObject<"Gateway">, Gateway>();

function gatewayOf(object: ConfigObject<"Gateway">): Gateway {
	const { metadata, spec } = object;
	const known = decodedGateways.get(object);
	if (known) return known;
	const { name, namespace } = metadata;
	const gateway: Gateway = { name, namespace, servers: spec.servers ?? [], selector: spec.selector, services: undefined, createdMs: createdMsOf(metadata) };
	decodedGateways.set(object, gateway);
	return gateway;
}

function buildRules(
	all: All,
	mesh: Mesh,
	{ gatewayApi, ingress }: Compiled,
	stages: Stages,
	previous: PushSnapshot | undefined,
): Pick<PushSnapshot, "virtualServices" | "destinationRules" | "peerAuthentications"> & Pick<HeldVirtualServices, "held"> {
	const { domain, rootNamespace } = mesh;
	const rules = stable(stages, "rules", [...all("DestinationRule"), ...gatewayApi.destinationRules]);
	const policies = all("PeerAuthentication");
	const routeOptions = { domain, defaultExportTo: mesh.config.defaultVirtualServiceExportTo };
	const objects = all("VirtualService");
	const own = stages.routes.get("own", [objects, domain, routeOptions.defaultExportTo.join()], () => {
		stages.virtualServices.advance();
		return buildVirtualServices(objects, routeOptions, stages.virtualServices);
	});
	const ruleOptions = { domain, defaultExportTo: mesh.config.defaultDestinationRuleExportTo };
	const destinationRules = stages.destinationRuleIndex.get("rules", [rules, mesh], () => {
		stages.destinationRules.advance();
		return buildDestinationRuleIndex(rules, ruleOptions, stages.destinationRules);
	});
	const sources = [own, gatewayApi.virtualServices, ingress.virtualServices];
	const written = stages.routes.get("written", sources, () => sources.flat().sort(oldestFirst));
	const before = previous?.virtualServices;
	const { virtualServices, held } = stages.held.get("held", [written, destinationRules, before], () => holdVirtualServices(written, destinationRules, before));
	return {
		virtualServices: stable(stages, "virtual services", virtualServices),
		destinationRules,
		held,
		peerAuthentications: stages.peerAuthentications.get("policies", [policies, mesh], () => buildPeerAuthenticationIndex(policies, rootNamespace)),
	};
}

function groupByHost(services: readonly Service[]): ReadonlyMap<string, readonly Service[]> {
	const byHost = new Map<string, Service[]>();
	for (const service of services) {
		const list = byHost.get(service.hostname);
		if (list) list.push(service);
		else byHost.set(service.hostname, [service]);
	}
	return byHost;
}
