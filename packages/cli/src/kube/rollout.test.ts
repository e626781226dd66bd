import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeClient, KubeObject } from "@weft/kube";
import type { Cluster } from "./cluster.ts";
import { waitForDeployment } from "./rollout.ts";

/** A cluster whose Deployment is as each answer says, the last one for ever. */
function clusterOf(...answers: readonly (object | undefined)[]): Cluster & { asked: () => number } {
	let asked = 0;
	const get = () => Promise.resolve(answers[Math.min(asked++, answers.length - 1)] as KubeObject | undefined);
	// Of the client, only `get` is asked.
	return { client: { get } as unknown as KubeClient, namespace: "default", get: () => Promise.reject(new Error("not asked")), asked: () => asked };
}

const deployment = (available: number, observedGeneration = 2) => ({
	metadata: { name: "a", generation: 2 },
	spec: { replicas: 2 },
	status: {
		observedGeneration,
		updatedReplicas: 2,
		availableReplicas: available,
		conditions: [{ type: "Available", status: "False", message: "Deployment does not have minimum availability." }],
	},
});

test("a Deployment is waited for until every replica of the present template is available", async () => {
	const cluster = clusterOf(deployment(2, 1), deployment(1), deployment(2));
	await waitForDeployment(cluster, "ns", "a", "30s");
	assert.equal(cluster.asked(), 3);
});

test("a DaemonSet or nothing of that name is not waited for", async () => {
	await waitForDeployment(clusterOf(undefined), "ns", "a", "30s");
});

test("a Deployment that does not come up is told with its reason and the next command", async () => {
	await assert.rejects(
		waitForDeployment(clusterOf(deployment(0)), "ns", "a", "1ms"),
		/ns\/a is not ready after 1ms \(Deployment does not have minimum availability\.\): kubectl describe deployment -n ns a/,
	);
	await assert.rejects(waitForDeployment(clusterOf(deployment(2)), "ns", "a", "soon"), /--readiness-timeout soon/);
});
