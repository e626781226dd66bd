import type { ConfigObject, ObjectMeta } from "@weft/api";
import { podStatus } from "@weft/api";
import type { Workload, WorkloadIndex } from "./push.ts";
import type { Reuse } from "./reuse.ts";
import type { Locality } from "./service.ts";

/** Labels by which a pod overrules its node's place. https://istio.io/latest/docs/tasks/traffic-management/locality-load-balancing/ */
const localityLabel = "istio-locality";
const regionLabels = ["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"];
const zoneLabels = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];
const subZoneLabel = "topology.istio.io/subzone";

export const noLocality: Locality = { region: "", zone: "", subZone: "" };

/** `r1/z1/s1`; missing parts are empty. */
export function parseLocality(text: string): Locality {
	const [region = "", zone = "", subZone = ""] = text.split("/");
	return { region, zone, subZone };
}

/** An entry's own place. istiod goes by the text, so that `r1/z1` is another place than that of the pods of r1/z1. */
export function entryLocality(text: string): Locality {
	return { ...parseLocality(text), text };
}

function first(labels: Readonly<Record<string, string>>, keys: readonly string[]): string {
	for (const key of keys) {
		const value = labels[key];
		if (value !== undefined) return value;
	}
	return "";
}

export function localityOfNode(node: ConfigObject<"Node">): Locality {
	const { labels } = node.metadata;
	return { region: first(labels, regionLabels), zone: first(labels, zoneLabels), subZone: labels[subZoneLabel] ?? "" };
}

/** The label `istio-locality: r1.z1.s1`, where a pod has it. */
export function localityOfLabels(labels: Readonly<Record<string, string>>): Locality | undefined {
	const text = labels[localityLabel];
	if (text === undefined || text === "") return undefined;
	return parseLocality(text.includes("/") ? text : text.replaceAll(".", "/"));
}

/** The user's own name for a workload. */
export const workloadNameLabel = "service.istio.io/workload-name";

/**
 * What its label says, else what made the pod: the Deployment (or Rollout) behind a ReplicaSet, the CronJob behind a Job,
 * the DeploymentConfig behind a ReplicationController, else its controller, else the pod itself.
 */
export function workloadNameOf({ name, labels, ownerReferences }: ObjectMeta): string {
	const named = labels[workloadNameLabel];
	if (named !== undefined) return named;
	const controller = ownerReferences?.find((ref) => ref.controller === true);
	if (!controller) return name;
	if (controller.kind === "ReplicaSet") {
		const hashes = [labels["pod-template-hash"], labels["rollouts-pod-template-hash"]];
		const hash = hashes.find((text) => text !== undefined && controller.name.endsWith(`-${text}`));
		return hash === undefined ? controller.name : controller.name.slice(0, -hash.length - 1);
	}
	if (controller.kind === "ReplicationController") return labels["deploymentconfig"] || controller.name;
	return controller.kind === "Job" ? controller.name.replace(/-\d{8,10}$/, "") : controller.name;
}

/** A pod's status changes far more often than what is read of it: then the workload is the one of before. */
export function workloadOf(pod: ConfigObject<"Pod">, reuse: Reuse<Workload>): Workload {
	const decode = () => decodePod(pod);
	return reuse.getAlike(`${pod.metadata.namespace}/${pod.metadata.name}`, [pod], () => JSON.stringify(decode()), decode);
}

/** Where nodes stand, by name. */
export type NodePlaces = ReadonlyMap<string, Locality>;

export function nodePlaces(nodes: readonly ConfigObject<"Node">[]): NodePlaces {
	return new Map(nodes.map((node) => [node.metadata.name, localityOfNode(node)]));
}

function decodePod(pod: ConfigObject<"Pod">): Workload {
	const status = podStatus(pod);
	const ips = (status.podIPs ?? []).flatMap(({ ip }) => (ip === undefined ? [] : [ip]));
	if (ips.length === 0 && status.podIP !== undefined && status.podIP !== "") ips.push(status.podIP);
	const namedPorts: Record<string, number> = Object.create(null);
	for (const container of pod.spec.containers) {
		for (const port of container.ports ?? []) if (port.name !== undefined) namedPorts[port.name] = port.containerPort;
	}
	return {
		name: pod.metadata.name,
		namespace: pod.metadata.namespace,
		labels: pod.metadata.labels,
		ips,
		serviceAccount: pod.spec.serviceAccountName ?? pod.spec.serviceAccount ?? "default",
		nodeName: pod.spec.nodeName ?? "",
		hostname: pod.spec.subdomain ? pod.spec.hostname || pod.metadata.name : "",
		subdomain: pod.spec.subdomain ?? "",
		workloadName: workloadNameOf(pod.metadata),
		namedPorts,
		terminal: status.phase === "Succeeded" || status.phase === "Failed",
	};
}

export function buildWorkloadIndex(workloads: readonly Workload[], places: NodePlaces, registered: WorkloadIndex["registeredLabels"]): WorkloadIndex {
	const podByName = new Map<string, Workload>();
	const podByIp = new Map<string, Workload>();
	const podsByNamespace = new Map<string, Workload[]>();
	for (const workload of workloads) {
		podByName.set(`${workload.namespace}/${workload.name}`, workload);
		if (workload.terminal) continue;
		for (const ip of workload.ips) if (!podByIp.has(ip)) podByIp.set(ip, workload);
		const list = podsByNamespace.get(workload.namespace);
		if (list) list.push(workload);
		else podsByNamespace.set(workload.namespace, [workload]);
	}
	return { podByName, podByIp, podsByNamespace, registeredLabels: registered, localityOfNode: (name) => places.get(name) };
}
