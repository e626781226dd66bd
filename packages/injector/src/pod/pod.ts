import { isJsonObject, isStringMap, type Json, type JsonObject, type StringMap } from "../json.ts";

// Types, not interfaces, so that they are JsonObjects; fields that injection does not read pass through it unseen.

export type EnvVar = { readonly name: string; readonly value?: string; readonly valueFrom?: JsonObject };
export type ContainerPort = {
	readonly name?: string;
	readonly containerPort: number;
	readonly protocol?: string;
	readonly hostPort?: number;
	readonly hostIP?: string;
};
export type HttpGetAction = {
	readonly path?: string;
	readonly port: string | number;
	readonly host?: string;
	readonly scheme?: string;
	readonly httpHeaders?: readonly Json[];
};
export type TcpSocketAction = { readonly port: string | number; readonly host?: string };
export type Handler = { readonly httpGet?: HttpGetAction; readonly tcpSocket?: TcpSocketAction };
export type Probe = Handler & { readonly grpc?: { readonly port: number; readonly service?: string }; readonly timeoutSeconds?: number };
export type SecurityContext = JsonObject & { readonly runAsUser?: number; readonly runAsGroup?: number };

export type Container = {
	readonly name: string;
	readonly image?: string;
	readonly args?: readonly string[];
	readonly env?: readonly EnvVar[];
	readonly ports?: readonly ContainerPort[];
	readonly resources?: JsonObject;
	readonly securityContext?: SecurityContext;
	readonly readinessProbe?: Probe;
	readonly livenessProbe?: Probe;
	readonly startupProbe?: Probe;
	readonly lifecycle?: { readonly preStop?: Handler; readonly postStart?: Handler };
};

export type OwnerReference = { readonly apiVersion: string; readonly kind: string; readonly name: string; readonly controller?: boolean };

export type PodMetadata = {
	readonly name?: string;
	readonly generateName?: string;
	readonly namespace?: string;
	readonly labels?: StringMap;
	readonly annotations?: StringMap;
	readonly ownerReferences?: readonly OwnerReference[];
};

export type PodSpec = {
	readonly containers: readonly Container[];
	readonly initContainers?: readonly Container[];
	readonly volumes?: readonly { readonly name: string }[];
	readonly imagePullSecrets?: readonly { readonly name?: string }[];
	readonly hostNetwork?: boolean;
	readonly dnsPolicy?: string;
};

/** A Pod, or the template of a workload: metadata and spec. */
export type Pod = { readonly metadata: PodMetadata; readonly spec: PodSpec };

export type DecodedPod = { readonly pod: Pod } | { readonly error: string };

/** Checks the shape of what injection reads. An API server has done so already; a file or a hostile caller has not. */
export function decodePod(value: unknown): DecodedPod {
	if (!isJsonObject(value)) return { error: "a pod is an object with metadata and spec" };
	const metadata = value["metadata"] ?? {};
	const { spec } = value;
	if (!isJsonObject(metadata)) return { error: "metadata: expected an object" };
	if (!isJsonObject(spec)) return { error: "spec: expected an object; a pod needs spec.containers" };
	const problem = metadataProblem(metadata) ?? specProblem(spec);
	if (problem !== undefined) return { error: problem };
	// The checks above cover every field that Pod names.
	return { pod: { ...value, metadata, spec } as unknown as Pod };
}

function metadataProblem(metadata: JsonObject): string | undefined {
	for (const field of ["name", "generateName", "namespace"]) if (!isOptional(metadata[field], "string")) return `metadata.${field}: expected a string`;
	for (const field of ["labels", "annotations"]) {
		const map = metadata[field];
		if (map !== undefined && map !== null && !isStringMap(map)) return `metadata.${field}: expected text values; quote numbers and booleans`;
	}
	const owners = metadata["ownerReferences"] ?? [];
	const isOwner = (owner: Json) => isJsonObject(owner) && ["apiVersion", "kind", "name"].every((field) => typeof owner[field] === "string");
	return Array.isArray(owners) && owners.every(isOwner) ? undefined : "metadata.ownerReferences: expected a list of references";
}

function specProblem(spec: JsonObject): string | undefined {
	const { containers } = spec;
	if (!Array.isArray(containers) || containers.length === 0) return "spec.containers: expected a list with at least one container";
	for (const field of ["containers", "initContainers"]) {
		const list = spec[field] ?? [];
		if (!Array.isArray(list)) return `spec.${field}: expected a list`;
		for (const [i, container] of list.entries()) {
			const problem = containerProblem(container);
			if (problem !== undefined) return `spec.${field}[${i}]${problem}`;
		}
	}
	for (const field of ["volumes", "imagePullSecrets"]) {
		const list = spec[field] ?? [];
		if (!Array.isArray(list) || !list.every((entry) => isJsonObject(entry) && typeof entry["name"] === "string"))
			return `spec.${field}: expected a list of named objects`;
	}
	return isOptional(spec["hostNetwork"], "boolean") ? undefined : "spec.hostNetwork: expected true or false";
}

/** What is wrong with a container, as ending of its path; undefined if nothing is. */
export function containerProblem(container: Json): string | undefined {
	if (!isJsonObject(container)) return ": expected an object";
	if (typeof container["name"] !== "string") return ".name: expected a string";
	if (!isOptional(container["image"], "string")) return ".image: expected a string";
	for (const field of ["env", "ports", "args", "volumeMounts"]) {
		const list = container[field] ?? [];
		if (!Array.isArray(list)) return `.${field}: expected a list`;
		if (field === "env" && !list.every((entry) => isJsonObject(entry) && typeof entry["name"] === "string")) return ".env: expected a list of named variables";
		if (field === "ports" && !list.every((entry) => isJsonObject(entry) && typeof entry["containerPort"] === "number"))
			return ".ports: each needs a containerPort";
	}
	for (const field of ["resources", "securityContext", "readinessProbe", "livenessProbe", "startupProbe"]) {
		if (!isOptionalObject(container[field])) return `.${field}: expected an object`;
	}
	for (const field of ["readinessProbe", "livenessProbe", "startupProbe"]) {
		const problem = handlerProblem(container[field]);
		if (problem !== undefined) return `.${field}${problem}`;
	}
	const { lifecycle } = container;
	if (!isOptionalObject(lifecycle)) return ".lifecycle: expected an object";
	for (const hook of ["preStop", "postStart"]) {
		const handler = isJsonObject(lifecycle) ? lifecycle[hook] : undefined;
		const problem = isOptionalObject(handler) ? handlerProblem(handler) : ": expected an object";
		if (problem !== undefined) return `.lifecycle.${hook}${problem}`;
	}
	return undefined;
}

function handlerProblem(handler: Json | undefined): string | undefined {
	if (!isJsonObject(handler)) return undefined;
	for (const action of ["httpGet", "tcpSocket", "grpc"]) {
		const value = handler[action];
		if (!isOptionalObject(value)) return `.${action}: expected an object`;
		if (isJsonObject(value) && typeof value["port"] !== "number" && typeof value["port"] !== "string") return `.${action}.port: expected a port`;
	}
	return undefined;
}

const isOptional = (value: Json | undefined, type: "string" | "boolean"): boolean => value === undefined || value === null || typeof value === type;
const isOptionalObject = (value: Json | undefined): boolean => value === undefined || value === null || isJsonObject(value);

export const proxyContainerName = "istio-proxy";
export const initContainerName = "istio-init";
/** In its place where a CNI plugin captures: fails, and with it the pod, when the plugin has not done so. */
export const validationContainerName = "istio-validation";

export function findContainer(name: string, containers: readonly Container[] | undefined): Container | undefined {
	return containers?.find((container) => container.name === name);
}

/** The proxy of an injected pod: a container, or with native sidecars an init container. */
export function findProxy({ spec }: Pod): Container | undefined {
	return findContainer(proxyContainerName, spec.containers) ?? findContainer(proxyContainerName, spec.initContainers);
}

/** The pod with `change` made to its proxy. */
export function mapProxy(pod: Pod, change: (proxy: Container) => Container): Pod {
	const isContainer = findContainer(proxyContainerName, pod.spec.containers) !== undefined;
	return mapContainers(pod, (container, field) =>
		container.name === proxyContainerName && isContainer === (field === "containers") ? change(container) : container,
	);
}

export function mapContainers(pod: Pod, change: (container: Container, field: "containers" | "initContainers") => Container): Pod {
	const { containers, initContainers } = pod.spec;
	const changed = {
		containers: containers.map((container) => change(container, "containers")),
		...(initContainers && { initContainers: initContainers.map((container) => change(container, "initContainers")) }),
	};
	return { ...pod, spec: { ...pod.spec, ...changed } };
}

export const annotationsOf = ({ metadata }: Pod): StringMap => metadata.annotations ?? {};
export const labelsOf = ({ metadata }: Pod): StringMap => metadata.labels ?? {};

export function withAnnotations(pod: Pod, annotations: StringMap): Pod {
	return { ...pod, metadata: { ...pod.metadata, annotations } };
}
