import type { AnyConfig, ConfigObject, Container, Diagnostic, PodTemplate } from "@weft/api";
import { type ImageMap, type LocalProcess, resolveProcess, unmappedImage } from "./images.ts";

/** A pod that should run, made of a Deployment, StatefulSet or Pod as the cluster's controllers would. */
export interface DesiredPod {
	readonly name: string;
	readonly namespace: string;
	readonly generateName: string | undefined;
	readonly labels: Readonly<Record<string, string>>;
	readonly annotations: Readonly<Record<string, string>>;
	readonly serviceAccount: string;
	/** Name of the Deployment, StatefulSet or Pod: Istio's workload name. */
	readonly workload: string;
	readonly containers: readonly DesiredContainer[];
	/** false: `sidecar.istio.io/inject: "false"`. */
	readonly sidecar: boolean;
	/** Run a real Envoy as this pod's sidecar (annotation `weft.dev/proxy: envoy`). */
	readonly foreignEnvoy: boolean;
}

export interface DesiredContainer {
	readonly name: string;
	readonly image: string;
	readonly process: LocalProcess;
	readonly args: readonly string[];
	readonly env: Readonly<Record<string, string>>;
	readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
}

/** Most pods that one mesh on a laptop runs: each is at least two processes. */
export const podsMax = 200;

type WorkloadKind = "Deployment" | "StatefulSet" | "Pod";

/** Deterministic suffixes in place of the cluster's random ones, so that a restart brings back the same names. */
function suffix(seed: string, length: number): string {
	const alphabet = "bcdfghjklmnpqrstvwxz2456789";
	let hash = 2166136261;
	let out = "";
	for (let i = 0; i < length; i++) {
		for (const char of `${seed}/${i}`) hash = Math.imul(hash ^ char.charCodeAt(0), 16777619) >>> 0;
		out += alphabet[hash % alphabet.length];
	}
	return out;
}

export function desiredPods(
	objects: readonly AnyConfig[],
	images: ImageMap,
	folder: string,
): { readonly pods: readonly DesiredPod[]; readonly diagnostics: readonly Diagnostic[] } {
	const pods: DesiredPod[] = [];
	const diagnostics: Diagnostic[] = [];
	for (const object of objects) {
		if (object.kind === "Deployment") expand(object, object.spec.replicas ?? 1, object.spec.template, deploymentPodName);
		else if (object.kind === "StatefulSet") expand(object, object.spec.replicas ?? 1, object.spec.template, (name, i) => ({ name: `${name}-${i}` }));
		else if (object.kind === "Pod" && !object.metadata.labels["weft.dev/local"]) {
			expand(
				object,
				1,
				{ metadata: { labels: { ...object.metadata.labels }, annotations: { ...object.metadata.annotations } }, spec: object.spec },
				(name) => ({ name }),
			);
		}
	}
	if (pods.length > podsMax) diagnostics.push(tooMany(pods.length));
	return { pods, diagnostics };

	function expand(object: ConfigObject<WorkloadKind>, replicas: number, template: PodTemplate, nameOf: NameOf): void {
		const containers = containersOf(object, template, images, folder, diagnostics);
		if (!containers) return;
		for (let i = 0; i < replicas; i++) pods.push(podOf(object, template, containers, nameOf(object.metadata.name, i, object.metadata.namespace)));
	}
}

type NameOf = (workload: string, index: number, namespace: string) => { readonly name: string; readonly generateName?: string };

const deploymentPodName: NameOf = (workload, index, namespace) => {
	const replicaSet = `${workload}-${suffix(`${namespace}/${workload}`, 9)}`;
	return { name: `${replicaSet}-${suffix(`${replicaSet}/${index}`, 5)}`, generateName: `${replicaSet}-` };
};

function podOf(object: ConfigObject<WorkloadKind>, template: PodTemplate, containers: readonly DesiredContainer[], id: ReturnType<NameOf>): DesiredPod {
	const labels = template.metadata?.labels ?? {};
	const annotations = template.metadata?.annotations ?? {};
	const inject = labels["sidecar.istio.io/inject"] ?? annotations["sidecar.istio.io/inject"];
	const canonicalName = labels["service.istio.io/canonical-name"] ?? labels["app.kubernetes.io/name"] ?? labels["app"] ?? object.metadata.name;
	const canonicalRevision = labels["service.istio.io/canonical-revision"] ?? labels["app.kubernetes.io/version"] ?? labels["version"] ?? "latest";
	const sidecar = inject !== "false";
	// What the injector adds to a pod with a sidecar.
	const added: Record<string, string> = sidecar
		? { "security.istio.io/tlsMode": "istio", "service.istio.io/canonical-name": canonicalName, "service.istio.io/canonical-revision": canonicalRevision }
		: {};
	return {
		name: id.name,
		namespace: object.metadata.namespace,
		generateName: id.generateName,
		labels: { ...labels, ...added },
		annotations,
		serviceAccount: template.spec.serviceAccountName ?? template.spec.serviceAccount ?? "default",
		workload: object.metadata.name,
		containers,
		sidecar,
		foreignEnvoy: annotations["weft.dev/proxy"] === "envoy",
	};
}

function containersOf(
	object: ConfigObject<WorkloadKind>,
	template: PodTemplate,
	images: ImageMap,
	folder: string,
	diagnostics: Diagnostic[],
): readonly DesiredContainer[] | undefined {
	const out: DesiredContainer[] = [];
	for (const container of template.spec.containers) {
		if (container.name === "istio-proxy") continue;
		const process = resolveProcess(container, template.metadata?.annotations ?? {}, images, folder);
		if (process) out.push(containerOf(container, process));
		else {
			const { kind, metadata, origin } = object;
			diagnostics.push(
				unmappedImage(container, { kind, namespace: metadata.namespace, name: metadata.name, ...(origin ? { file: origin.file, line: origin.line } : {}) }),
			);
		}
	}
	return out.length > 0 && diagnostics.length === 0 ? out : undefined;
}

function containerOf(container: Container, process: LocalProcess): DesiredContainer {
	const env = (container.env ?? []).filter((v) => v.value !== undefined).map((v) => [v.name, v.value ?? ""] as const);
	return {
		name: container.name,
		image: container.image ?? "",
		process,
		args: container.args ?? [],
		env: Object.fromEntries(env),
		ports: (container.ports ?? []).map((p) => ({ name: p.name ?? "", containerPort: p.containerPort })),
	};
}

function tooMany(count: number): Diagnostic {
	return {
		severity: "error",
		code: "WEFT-L002",
		path: "",
		message: `${count} pods are more than the ${podsMax} that a mesh on one machine runs: lower the replicas`,
	};
}
