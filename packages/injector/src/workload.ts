import { labelsOf, type Pod } from "./pod/pod.ts";

/** What runs a pod: names its telemetry and its node metadata. */
export interface Workload {
	readonly name: string;
	readonly namespace: string;
	readonly apiVersion: string;
	readonly kind: string;
}

/** The workload of a pod that an API server shows, by its controller; the names of ReplicaSets and scheduled Jobs tell whose they are. */
export function workloadOfPod(pod: Pod, namespace: string): Workload {
	const { metadata } = pod;
	const itself = { name: metadata.name ?? "", namespace: metadata.namespace || namespace, apiVersion: "v1", kind: "Pod" };
	const controller = metadata.generateName ? metadata.ownerReferences?.find((owner) => owner.controller === true) : undefined;
	if (!controller) return itself;
	const named = { ...itself, name: controller.name, apiVersion: controller.apiVersion, kind: controller.kind };
	const labels = labelsOf(pod);
	switch (controller.kind) {
		case "ReplicaSet":
			return withoutHash(named, labels["pod-template-hash"], "Deployment") ?? withoutHash(named, labels["rollouts-pod-template-hash"], "Rollout") ?? named;
		case "ReplicationController": {
			const config = labels["deploymentconfig"];
			return config ? { ...named, name: config, kind: "DeploymentConfig" } : named;
		}
		case "Job": {
			const cron = /^(.+)-\d{8,10}$/.exec(controller.name)?.[1];
			return cron === undefined ? named : { ...named, name: cron, kind: "CronJob", apiVersion: "batch/v1" };
		}
		default:
			return named;
	}
}

function withoutHash(workload: Workload, hash: string | undefined, kind: string): Workload | undefined {
	if (!hash || !workload.name.endsWith(`-${hash}`)) return undefined;
	return { ...workload, name: workload.name.slice(0, -hash.length - 1), kind };
}
