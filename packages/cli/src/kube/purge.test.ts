import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeClient, KubeObject } from "@weft/kube";
import type { Cluster } from "./cluster.ts";
import { purge } from "./purge.ts";

test("what is removed is told of once the API server has it no more", async () => {
	const crd = "virtualservices.networking.istio.io";
	const asked: string[] = [];
	let going = 3;
	const client = {
		remove: async () => undefined,
		list: async () => ({ items: [], resourceVersion: "1" }),
		get: async (_type: unknown, _namespace: string, name: string): Promise<KubeObject | undefined> => {
			asked.push(name);
			return name === crd && --going > 0 ? { metadata: { name } } : undefined;
		},
	} as unknown as KubeClient;
	const removed = await purge({ client } as Cluster, "istio-system");
	assert.ok(removed.includes(`CustomResourceDefinition ${crd}`));
	assert.equal(asked.filter((name) => name === crd).length, 3);
	assert.equal(going, 0);
});
