import { setTimeout as delay } from "node:timers/promises";
import { parseDurationMs } from "@weft/api";
import { CommandError } from "../output/errors.ts";
import { type Cluster, deployments } from "./cluster.ts";

interface DeploymentLike {
	readonly metadata: { readonly generation?: number };
	readonly spec?: { readonly replicas?: number };
	readonly status?: {
		readonly observedGeneration?: number;
		readonly updatedReplicas?: number;
		readonly availableReplicas?: number;
		readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
	};
}

const pollMs = 500;

/** Until every replica is of the present template and available, as `kubectl rollout status` sees it. A DaemonSet is not waited for. */
export async function waitForDeployment({ client }: Cluster, namespace: string, name: string, timeout: string): Promise<void> {
	const timeoutMs = parseDurationMs(timeout);
	if (timeoutMs === undefined) throw new CommandError(`--readiness-timeout ${timeout}: write a duration such as 300s or 5m`);
	const until = Date.now() + timeoutMs;
	for (;;) {
		const deployment = (await client.get(deployments, namespace, name)) as DeploymentLike | undefined;
		if (!deployment || isRolledOut(deployment)) return;
		if (Date.now() > until)
			throw new CommandError(
				`Deployment ${namespace}/${name} is not ready after ${timeout}${reasonOf(deployment)}: kubectl describe deployment -n ${namespace} ${name}`,
			);
		await delay(pollMs);
	}
}

function isRolledOut({ metadata, spec, status }: DeploymentLike): boolean {
	const replicas = spec?.replicas ?? 1;
	return (
		(status?.observedGeneration ?? 0) >= (metadata.generation ?? 0) &&
		(status?.updatedReplicas ?? 0) >= replicas &&
		(status?.availableReplicas ?? 0) >= replicas
	);
}

function reasonOf({ status }: DeploymentLike): string {
	const messages = (status?.conditions ?? [])
		.filter(({ status: holds, type }) => (type === "ReplicaFailure" ? holds === "True" : holds === "False"))
		.map(({ message }) => message);
	return messages.length > 0 ? ` (${messages.join("; ")})` : "";
}
