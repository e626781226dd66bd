import type { ConfigObject, Kind, MeshConfig } from "@weft/api";
import { byAge, compareText } from "./age.ts";
import { buildDestinationRuleIndex } from "./destination-rules.ts";
import { buildEndpointIndex, type ServiceEndpoints } from "./endpoint-index.ts";
import { kubernetesService } from "./kubernetes-service.ts";
import { type JwksIndex, noJwks } from "./jwks.ts";
import { resolveMesh } from "./mesh.ts";
import { buildPeerAuthenticationIndex } from "./peer-authentication.ts";
import { buildPolicyIndex, type PolicyIndex, type PolicyKind } from "./policies.ts";
import type {
	DestinationRule,
	DestinationRuleIndex,
	EndpointIndex,
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
import type { Service } from "./service.ts";
import { allotAddresses, serviceEntryServices } from "./service-entry.ts";
import type { ConfigSnapshot } from "./snapshot.ts";
import { buildVirtualServices } from "./virtual-services.ts";
import { buildWorkloadIndex, type NodePlaces, nodePlaces, workloadOf } from "./workloads.ts";

export interface PushInput {
	readonly snapshot: ConfigSnapshot;
	readonly meshConfig: MeshConfig;
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
	readonly pods: Reuse<Workload>;
	readonly places: Reuse<NodePlaces>;
	readonly workloads: Reuse<WorkloadIndex>;
	readonly entryServices: Reuse<readonly Service[]>;
	readonly endpoints: Reuse<ServiceEndpoints>;
	readonly endpointIndex: Reuse<EndpointIndex>;
	readonly virtualServices: Reuse<VirtualService>;
	readonly destinationRules: Reuse<DestinationRule>;
	readonly destinationRuleIndex: Reuse<DestinationRuleIndex>;
	readonly peerAuthentications: Reuse<PeerAuthenticationIndex>;
	readonly scopes: Reuse<Map<string, Scope>>;
	readonly policies: Reuse<PolicyIndex<PolicyKind>>;
	readonly policySets: Reuse<Policies>;
}

function createStages(): Stages {
	return {
		lists: createReuse(),
		shared: createReuse(),
		mesh: createReuse(),
		pods: createReuse(),
		places: createReuse(),
		workloads: createReuse(),
		entryServices: createReuse(),
		endpoints: createReuse(),
		endpointIndex: createReuse(),
		virtualServices: createReuse(),
		destinationRules: createReuse(),
		destinationRuleIndex: createReuse(),
		peerAuthentications: createReuse(),
		scopes: createReuse(),
		policies: createReuse(),
		policySets: createReuse(),
	};
}

const stagesOf = new WeakMap<PushSnapshot, Stages>();

/** The mesh as one immutable view. With the previous snapshot at hand, everything that did not change keeps its identity. */
export function buildPush({ snapshot, meshConfig: userConfig, clusterId, jwks = noJwks }: PushInput, previous?: PushSnapshot): PushSnapshot {
	const stages = (previous && stagesOf.get(previous)) ?? createStages();
	for (const step of [stages.lists, stages.shared, stages.mesh, stages.pods, stages.workloads, stages.entryServices, stages.virtualServices]) step.advance();
	const all: All = (kind) => stable(stages, `all ${kind}`, snapshot.all(kind));
	const { mesh, meshConfig } = stages.mesh.get("mesh", [JSON.stringify(userConfig), clusterId], () => ({
		meshConfig: userConfig,
		mesh: resolveMesh(userConfig, clusterId),
	}));
	const sidecars = stable(stages, "sidecars", [...all("Sidecar")].sort(byAge));
	const { services, ...registry } = buildRegistry(all, mesh, stages);
	const rules = { ...buildRules(all, mesh, stages), policies: buildPolicies(all, mesh, stages), jwks };
	const parts = { meshConfig, mesh, services, ...rules, sidecars, gateways: all("Gateway") };
	// Neither endpoints nor pods are read by a scope, nor by what is remembered of one.
	const scopes = stages.scopes.get("scopes", Object.values(parts), () => new Map());
	const push: PushSnapshot = { version: snapshot.version, ...parts, ...registry, caches: { scopes, lists: stages.lists, shared: stages.shared } };
	stagesOf.set(push, stages);
	return push;
}

/** All objects of a kind; the same list while none of them changes. */
type All = <K extends Kind>(kind: K) => readonly ConfigObject<K>[];

function stable<T>(stages: Stages, name: string, items: readonly T[]): readonly T[] {
	return stages.lists.get(name, items, () => items) as readonly T[];
}

function buildRegistry(all: All, mesh: Mesh, stages: Stages): Pick<PushSnapshot, "services" | "servicesByHost" | "endpoints" | "workloads"> {
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
	const workloads = stages.workloads.get("workloads", [pods, places], () => buildWorkloadIndex(pods, places));
	const built = buildServices(all("Service"), entries, mesh, stages);
	const services = stable(stages, "services", built.services);
	const index = stages.endpointIndex.get("endpoints", [services, entries, slices, endpoints, workloadEntries, workloads], () => {
		stages.endpoints.advance();
		return buildEndpointIndex({ services, entryOf: built.entryOf, slices, endpoints, workloadEntries, places, workloads }, stages.endpoints);
	});
	return { services, servicesByHost: groupByHost(services), endpoints: index, workloads };
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
		envoyFilters: index("EnvoyFilter"),
	};
	return stages.policySets.get("policies", Object.values(policies), () => policies);
}

function buildRules(all: All, mesh: Mesh, stages: Stages): Pick<PushSnapshot, "virtualServices" | "destinationRules" | "peerAuthentications"> {
	const { domain, rootNamespace } = mesh;
	const rules = all("DestinationRule");
	const policies = all("PeerAuthentication");
	const routeOptions = { domain, defaultExportTo: mesh.config.defaultVirtualServiceExportTo };
	const ruleOptions = { domain, defaultExportTo: mesh.config.defaultDestinationRuleExportTo };
	return {
		virtualServices: stable(stages, "virtual services", buildVirtualServices(all("VirtualService"), routeOptions, stages.virtualServices)),
		destinationRules: stages.destinationRuleIndex.get("rules", [rules, mesh], () => {
			stages.destinationRules.advance();
			return buildDestinationRuleIndex(rules, ruleOptions, stages.destinationRules);
		}),
		peerAuthentications: stages.peerAuthentications.get("policies", [policies, mesh], () => buildPeerAuthenticationIndex(policies, rootNamespace)),
	};
}

interface Services {
	readonly services: readonly Service[];
	readonly entryOf: (service: Service) => ConfigObject<"ServiceEntry"> | undefined;
}

function buildServices(objects: readonly ConfigObject<"Service">[], entries: readonly ConfigObject<"ServiceEntry">[], mesh: Mesh, stages: Stages): Services {
	const exportTo = mesh.config.defaultServiceExportTo;
	const addresses = allotAddresses(entries);
	const entryByService = new Map<Service, ConfigObject<"ServiceEntry">>();
	const external = entries.flatMap((entry) => {
		const { name, namespace } = entry.metadata;
		const allotted = entry.spec.hosts.map((host) => addresses.get(`${namespace}/${host}`));
		const key = `${namespace}/${name}`;
		// An edit of endpoints alone leaves the services what they were.
		const signature = () => {
			const { endpoints: _, workloadSelector: __, ...rest } = entry.spec;
			return JSON.stringify([rest, entry.metadata.labels, entry.metadata.creationTimestamp, exportTo, allotted]);
		};
		const services = stages.entryServices.getAlike(key, [entry, exportTo.join(), ...allotted], signature, () =>
			serviceEntryServices(entry, exportTo, (host) => addresses.get(`${namespace}/${host}`)),
		);
		for (const service of services) entryByService.set(service, entry);
		return services;
	});
	const kubernetes = objects.map((object) => kubernetesService(object, mesh.domain, exportTo));
	return { services: [...kubernetes, ...external].sort(oldestFirst), entryOf: (service) => entryByService.get(service) };
}

function oldestFirst(a: Service, b: Service): number {
	return a.createdMs - b.createdMs || compareText(a.name, b.name) || compareText(a.namespace, b.namespace);
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
