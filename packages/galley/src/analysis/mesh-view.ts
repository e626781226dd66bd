import type { LabelSelector } from "@weft/api";
import { type ConfigObject, hostsOverlap, type Kind, type MeshConfig } from "@weft/api";
import type { StoreSnapshot } from "../store/snapshot.ts";

/** Labels of what runs, or would run: a Pod, or the Pods that a workload's template makes. */
export interface Workload {
	readonly name: string;
	readonly namespace: string;
	readonly labels: Readonly<Record<string, string>>;
}

/** A host that traffic can go to. */
export interface KnownService {
	readonly host: string;
	readonly namespace: string;
	readonly ports: readonly number[];
	/** Absent where the service chooses no workloads by labels. */
	readonly selector?: Readonly<Record<string, string>>;
	/** Labels of endpoints written in line. */
	readonly endpointLabels: readonly Readonly<Record<string, string>>[];
	readonly isKubernetes: boolean;
	readonly exportTo: readonly string[];
}

/** What the analyzers look up, indexed once a run. */
export interface MeshView {
	readonly snapshot: StoreSnapshot;
	/** Undefined where nobody has told: then nothing is said that depends on it alone. */
	readonly meshConfig: MeshConfig | undefined;
	/** The objects of a kind that findings are wanted of. */
	concerned<K extends Kind>(kind: K): readonly ConfigObject<K>[];
	readonly workloads: readonly Workload[];
	workloadsIn(namespace: string): readonly Workload[];
	/** The service that `host`, written in `namespace`, means; undefined where there is none that is visible from there. */
	resolveHost(host: string, namespace: string): KnownService | undefined;
}

const domainSuffix = "cluster.local";

/** A name without dots is short for a service of the writer's own namespace. */
export function qualifyHost(host: string, namespace: string): string {
	return host.includes(".") || host.startsWith("*") ? host : `${host}.${namespace}.svc.${domainSuffix}`;
}

export function matchesLabels(labels: Readonly<Record<string, string>>, selector: Readonly<Record<string, string>>): boolean {
	return Object.entries(selector).every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value);
}

/** https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/: no selector takes all. */
export function matchesSelector(selector: LabelSelector | undefined, labels: Readonly<Record<string, string>>): boolean {
	if (!matchesLabels(labels, selector?.matchLabels ?? {})) return false;
	return (selector?.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
		const value = labels[key];
		switch (operator) {
			case "In":
				return value !== undefined && values.includes(value);
			case "NotIn":
				return value === undefined || !values.includes(value);
			case "Exists":
				return value !== undefined;
			case "DoesNotExist":
				return value === undefined;
			default:
				return false;
		}
	});
}

/** As Kubernetes writes a selector. */
export function labelsText(labels: Readonly<Record<string, string>>): string {
	return Object.entries(labels)
		.map(([key, value]) => `${key}=${value}`)
		.sort()
		.join(",");
}

/** The last result, as long as its inputs are the same: an admission webhook asks again and again of a mesh that hardly changes. */
function remember<Inputs extends readonly object[], T>(build: (...inputs: Inputs) => T): (...inputs: Inputs) => T {
	let last: { readonly inputs: readonly WeakRef<object>[]; readonly value: T } | undefined;
	return (...inputs) => {
		if (!last || last.inputs.some((input, i) => input.deref() !== inputs[i])) {
			last = { inputs: inputs.map((input) => new WeakRef(input)), value: build(...inputs) };
		}
		return last.value;
	};
}

const indexServices = remember((kubernetes: readonly ConfigObject<"Service">[], entries: readonly ConfigObject<"ServiceEntry">[]) => {
	const services = [...kubernetes.map(fromKubernetes), ...entries.flatMap(fromServiceEntry)];
	const byHost = Map.groupBy(services, (service) => service.host);
	return { services, byHost, wildcards: services.filter((service) => service.host.startsWith("*")) };
});

type Templated = ConfigObject<"Deployment"> | ConfigObject<"ReplicaSet"> | ConfigObject<"StatefulSet"> | ConfigObject<"Job">;

const indexWorkloads = remember((...tables: readonly (readonly object[])[]) => {
	const workloads = listWorkloads(tables.flat() as readonly (ConfigObject<"Pod"> | ConfigObject<"WorkloadEntry"> | Templated)[]);
	return { workloads, byNamespace: Map.groupBy(workloads, ({ namespace }) => namespace) };
});

export function createMeshView(
	snapshot: StoreSnapshot,
	{ concerns, meshConfig }: { readonly concerns?: (object: object) => boolean; readonly meshConfig?: MeshConfig } = {},
): MeshView {
	const { services, byHost, wildcards } = indexServices(snapshot.all("Service"), snapshot.all("ServiceEntry"));
	const { workloads, byNamespace } = indexWorkloads(...workloadKinds.map((kind) => snapshot.all(kind)));
	return {
		snapshot,
		meshConfig,
		concerned: (kind) => (concerns ? snapshot.all(kind).filter(concerns) : snapshot.all(kind)),
		workloads,
		workloadsIn: (namespace) => byNamespace.get(namespace) ?? [],
		resolveHost: (host, namespace) => {
			const visible = (service: KnownService) => isVisible(service, namespace);
			const names = [qualifyHost(host, namespace), host];
			for (const name of names) {
				const exact = byHost.get(name)?.find(visible);
				if (exact) return exact;
			}
			if (host.startsWith("*")) return services.find((service) => visible(service) && hostsOverlap(host, service.host));
			return wildcards.find((service) => visible(service) && hostsOverlap(service.host, host));
		},
	};
}

function isVisible(service: KnownService, namespace: string): boolean {
	if (service.exportTo.length === 0 || service.exportTo.includes("*")) return true;
	return service.exportTo.some((entry) => (entry === "." ? service.namespace : entry) === namespace);
}

function fromKubernetes(service: ConfigObject<"Service">): KnownService {
	const { name, namespace, annotations } = service.metadata;
	const exportTo = annotations["networking.istio.io/exportTo"];
	return {
		host: `${name}.${namespace}.svc.${domainSuffix}`,
		namespace,
		ports: (service.spec.ports ?? []).map((port) => port.port),
		...(service.spec.selector && Object.keys(service.spec.selector).length > 0 && { selector: service.spec.selector }),
		endpointLabels: [],
		isKubernetes: true,
		exportTo: exportTo ? exportTo.split(",").map((entry) => entry.trim()) : [],
	};
}

function fromServiceEntry(entry: ConfigObject<"ServiceEntry">): readonly KnownService[] {
	const { spec, metadata } = entry;
	return spec.hosts.map((host) => ({
		host,
		namespace: metadata.namespace,
		ports: (spec.ports ?? []).map((port) => port.number),
		...(spec.workloadSelector?.labels && { selector: spec.workloadSelector.labels }),
		endpointLabels: (spec.endpoints ?? []).map((endpoint) => endpoint.labels ?? {}),
		isKubernetes: false,
		exportTo: spec.exportTo ?? [],
	}));
}

const workloadKinds = ["Pod", "WorkloadEntry", "Deployment", "ReplicaSet", "StatefulSet", "Job"] as const;

function listWorkloads(objects: readonly (ConfigObject<"Pod"> | ConfigObject<"WorkloadEntry"> | Templated)[]): readonly Workload[] {
	return objects.map(({ kind, metadata, spec }) => {
		const { name, namespace } = metadata;
		if (kind === "Pod") return { name, namespace, labels: metadata.labels };
		if (kind === "WorkloadEntry") return { name, namespace, labels: "labels" in spec ? { ...metadata.labels, ...spec.labels } : metadata.labels };
		return { name, namespace, labels: "template" in spec ? (spec.template?.metadata?.labels ?? {}) : {} };
	});
}
