import type { ConfigObject } from "@weft/api";
import { addEntryEndpoints, type EntryEndpoints, workloadEntryEndpoint } from "./entry-endpoints.ts";
import { entryLabels } from "./entry-registration.ts";
import { addEndpointsObject, addSliceEndpoints, podsBehind, serviceNameLabel } from "./kubernetes-endpoints.ts";
import { KnownEndpoints } from "./known-endpoints.ts";
import { isEmpty, labelsMatch } from "./labels.ts";
import { onceEach } from "./once-each.ts";
import type { EndpointIndex, Workload, WorkloadIndex } from "./push.ts";
import type { Reuse } from "./reuse.ts";
import type { Endpoint, Service } from "./service.ts";

export type ServiceEndpoints = ReadonlyMap<string, readonly Endpoint[]>;

export interface EndpointInputs {
	/** The same list while none of them changes. */
	readonly services: readonly Service[];
	readonly entries: readonly ConfigObject<"ServiceEntry">[];
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

/** What an index was made of, for the next one. */
interface Made {
	readonly inputs: EndpointInputs;
	readonly known: KnownEndpoints;
	/** Services by key. */
	readonly sharers: ReadonlyMap<string, readonly Service[]>;
}

const madeOf = new WeakMap<EndpointIndex, Made>();

/**
 * Endpoints by service, derived when first asked for; a service whose inputs are those of the last snapshot keeps its map.
 * Where only slices, Endpoints or ServiceEntries differ from those of `last`, the services that they do not name are not looked at.
 */
export function buildEndpointIndex(inputs: EndpointInputs, reuse: Reuse<ServiceEndpoints>, last?: EndpointIndex): EndpointIndex {
	const before = last && madeOf.get(last);
	const touched = before && touchedKeys(inputs, before.inputs);
	if (touched === undefined) reuse.advance();
	const slices = slicesByService(inputs.slices);
	const endpointsObjects = endpointsByName(inputs.endpoints);
	const entries = entriesByNamespace(inputs.workloadEntries);
	const sharers = before?.inputs.services === inputs.services ? before.sharers : groupBy(inputs.services, keyOf);
	const known = (touched && before?.known.without(touched)) ?? new KnownEndpoints();

	const selectedEntries = (namespace: string, selector: Readonly<Record<string, string>> | undefined) =>
		isEmpty(selector) ? [] : (entries.get(namespace) ?? []).filter((entry) => labelsMatch(selector, entryLabels(entry)));

	function kubernetesSource(service: Service): Source {
		const name = `${service.namespace}/${service.name}`;
		const own = slices.get(name) ?? [];
		const legacy = own.length === 0 ? endpointsObjects.get(name) : undefined;
		const joined = selectedEntries(service.namespace, service.selector);
		const pods = podsBehind(own, inputs.workloads);
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

	const predecessor = touched === undefined ? undefined : last && new WeakRef(last);
	const touchedServices = touched && [...touched].flatMap((key) => sharers.get(key) ?? []);
	const index: EndpointIndex = {
		touched: touchedServices,
		changedSince: (earlier) => (predecessor?.deref() === earlier ? touchedServices : undefined),
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
	madeOf.set(index, { inputs, known, sharers });
	return index;
}

const slicesByService = onceEach((slices: EndpointInputs["slices"]) => groupBy(slices, sliceService));
const entriesByNamespace = onceEach((entries: EndpointInputs["workloadEntries"]) => groupBy(entries, ({ metadata }) => metadata.namespace));
const endpointsByName = onceEach(
	(endpoints: EndpointInputs["endpoints"]) => new Map(endpoints.map((object) => [`${object.metadata.namespace}/${object.metadata.name}`, object])),
);

function sliceService({ metadata }: ConfigObject<"EndpointSlice">): string | undefined {
	const name = metadata.labels[serviceNameLabel];
	return name === undefined ? undefined : `${metadata.namespace}/${name}`;
}

/** Keys of the services whose endpoints can differ; undefined: it may be every one. */
function touchedKeys(now: EndpointInputs, before: EndpointInputs): ReadonlySet<string> | undefined {
	const same = (["services", "places", "workloads", "workloadEntries"] as const).every((part) => now[part] === before[part]);
	if (!same) return undefined;
	const keys = new Set<string>();
	for (const { metadata, spec } of differentItems(now.entries, before.entries)) for (const host of spec.hosts) keys.add(`${host} ${metadata.namespace}`);
	const named = new Set(differentItems(now.slices, before.slices).map(sliceService));
	for (const { metadata } of differentItems(now.endpoints, before.endpoints)) named.add(`${metadata.namespace}/${metadata.name}`);
	if (named.size === 0) return keys;
	for (const service of now.services) {
		if (service.registry === "Kubernetes" && named.has(`${service.namespace}/${service.name}`)) keys.add(keyOf(service));
	}
	return keys;
}

/** What one list has and the other has not. Most changes are of one place in a long list. */
function differentItems<T>(a: readonly T[], b: readonly T[]): readonly T[] {
	if (a === b) return [];
	let head = 0;
	while (head < a.length && head < b.length && a[head] === b[head]) head++;
	let tail = 0;
	while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
	const [fromA, fromB] = [new Set(a.slice(head, a.length - tail)), new Set(b.slice(head, b.length - tail))];
	return [...[...fromA].filter((item) => !fromB.has(item)), ...[...fromB].filter((item) => !fromA.has(item))];
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
