import type { ConfigObject } from "@weft/api";
import { addEntryEndpoints, type EntryEndpoints, workloadEntryEndpoint } from "./entry-endpoints.ts";
import { entryLabels } from "./entry-registration.ts";
import { addEndpointsObject, addSliceEndpoints, podsNamed, serviceNameLabel } from "./kubernetes-endpoints.ts";
import { isEmpty, labelsMatch } from "./labels.ts";
import type { EndpointIndex, Workload, WorkloadIndex } from "./push.ts";
import type { Reuse } from "./reuse.ts";
import type { Endpoint, Service } from "./service.ts";

export type ServiceEndpoints = ReadonlyMap<string, readonly Endpoint[]>;

export interface EndpointInputs {
	readonly services: readonly Service[];
	/** The ServiceEntry behind an External service. */
	readonly entryOf: (service: Service) => ConfigObject<"ServiceEntry"> | undefined;
	readonly slices: readonly ConfigObject<"EndpointSlice">[];
	readonly endpoints: readonly ConfigObject<"Endpoints">[];
	readonly workloadEntries: readonly ConfigObject<"WorkloadEntry">[];
	/** Its identity changes exactly when some node moves. */
	readonly places: object;
	readonly workloads: WorkloadIndex;
}

function groupBy<T>(items: readonly T[], key: (item: T) => string | undefined): ReadonlyMap<string, readonly T[]> {
	const groups = new Map<string, T[]>();
	for (const item of items) {
		const name = key(item);
		if (name === undefined) continue;
		const group = groups.get(name);
		if (group) group.push(item);
		else groups.set(name, [item]);
	}
	return groups;
}

/** Endpoints by service, derived when first asked for; a service whose inputs are those of the last snapshot keeps its map. */
export function buildEndpointIndex(inputs: EndpointInputs, reuse: Reuse<ServiceEndpoints>): EndpointIndex {
	const slices = groupBy(inputs.slices, ({ metadata }) => {
		const name = metadata.labels[serviceNameLabel];
		return name === undefined ? undefined : `${metadata.namespace}/${name}`;
	});
	const endpointsObjects = new Map(inputs.endpoints.map((object) => [`${object.metadata.namespace}/${object.metadata.name}`, object]));
	const entries = groupBy(inputs.workloadEntries, ({ metadata }) => metadata.namespace);
	const sharers = groupBy(inputs.services, keyOf);
	const known = new Map<string, ServiceEndpoints>();

	const selectedEntries = (namespace: string, selector: Readonly<Record<string, string>> | undefined) =>
		isEmpty(selector) ? [] : (entries.get(namespace) ?? []).filter((entry) => labelsMatch(selector, entryLabels(entry)));

	function kubernetesSource(service: Service): Source {
		const name = `${service.namespace}/${service.name}`;
		const own = slices.get(name) ?? [];
		const legacy = own.length === 0 ? endpointsObjects.get(name) : undefined;
		const joined = selectedEntries(service.namespace, service.selector);
		const pods = podsNamed(own).map((pod) => inputs.workloads.podByName.get(pod));
		return {
			inputs: [service, inputs.places, legacy, ...own, ...pods, ...joined, ...(legacy ? [inputs.workloads] : [])],
			add(sink) {
				for (const port of service.ports) for (const entry of joined) sink.add(workloadEntryEndpoint(entry, port));
				if (legacy) addEndpointsObject(service, legacy, inputs.workloads, sink);
				else addSliceEndpoints(service, own, inputs.workloads, sink);
			},
		};
	}

	function entrySource(service: Service): Source | undefined {
		const entry = inputs.entryOf(service);
		if (!entry) return undefined;
		const selector = entry.spec.workloadSelector?.labels;
		const { namespace } = entry.metadata;
		const workloadEntries = selectedEntries(namespace, selector);
		const pods: readonly Workload[] = isEmpty(selector)
			? []
			: (inputs.workloads.podsByNamespace.get(namespace) ?? []).filter((pod) => labelsMatch(selector, pod.labels));
		const parts: EntryEndpoints = { entry, service, workloadEntries, pods };
		return {
			inputs: [service, entry, ...workloadEntries, ...pods, ...(pods.length > 0 ? [inputs.places] : [])],
			add: (sink) => addEntryEndpoints(parts, inputs.workloads, sink),
		};
	}

	return {
		of(service) {
			const key = keyOf(service);
			let found = known.get(key);
			if (!found) {
				const sources = (sharers.get(key) ?? [service]).flatMap((s) => (s.registry === "Kubernetes" ? [kubernetesSource(s)] : (entrySource(s) ?? [])));
				found = reuse.get(
					key,
					sources.flatMap((source) => source.inputs),
					() => collect(sources),
				);
				known.set(key, found);
			}
			return found;
		},
	};
}

/** One object that contributes endpoints, and everything that they are derived from. */
interface Source {
	readonly inputs: readonly unknown[];
	add(sink: { add(endpoint: Endpoint): void }): void;
}

/** Kubernetes and ServiceEntry endpoints of one host in one namespace are one set, whoever declared the service. */
const keyOf = (service: Service): string => `${service.hostname} ${service.namespace}`;

function collect(sources: readonly Source[]): ServiceEndpoints {
	const byPort = new Map<string, Endpoint[]>();
	const sink = {
		add(endpoint: Endpoint) {
			const list = byPort.get(endpoint.portName);
			if (list) list.push(endpoint);
			else byPort.set(endpoint.portName, [endpoint]);
		},
	};
	for (const source of sources) source.add(sink);
	return byPort;
}
