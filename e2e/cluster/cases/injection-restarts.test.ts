import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { run, kubectl, eventually } from "../kubectl.ts";
import { clusterMissing, freshNamespace, hasProxy, installMesh, pods, removeNamespace, systemNamespace } from "../mesh.ts";

const namespace = "e2e-injection-restarts";
const restarts = Number(process.env["WEFT_E2E_RESTARTS"] ?? 50);

interface Tally {
	created: number;
	/** Nobody was there to be asked, so nothing was made. */
	refused: number;
	/** Names. */
	readonly withoutProxy: string[];
}

/** Made by the server and never scheduled: what matters is what admission makes of it. */
const pod = {
	apiVersion: "v1",
	kind: "Pod",
	metadata: { generateName: "p-" },
	spec: { schedulerName: "nobody", terminationGracePeriodSeconds: 0, containers: [{ name: "app", image: "weft.dev/absent:1" }] },
};

/** One pod after the other, as fast as they can be made. */
async function createPods(tally: Tally, signal: AbortSignal): Promise<void> {
	while (!signal.aborted) {
		const { status, stdout } = await run("kubectl", ["create", "-n", namespace, "-f", "-", "-o", "json"], { input: JSON.stringify(pod) });
		if (status !== 0) {
			tally.refused++;
			continue;
		}
		tally.created++;
		const made = JSON.parse(stdout) as Awaited<ReturnType<typeof pods>>[number];
		if (!hasProxy(made)) tally.withoutProxy.push(made.metadata.name);
		await run("kubectl", ["delete", "pod", "-n", namespace, made.metadata.name, "--wait=false", "--grace-period=0", "--force"]);
	}
}

async function restart(): Promise<void> {
	const [istiod] = await pods(systemNamespace, "app=istiod");
	if (istiod) await kubectl("delete", "pod", "-n", systemNamespace, istiod.metadata.name, "--grace-period=1");
	await eventually("the control plane is back", async () => {
		const [next] = await pods(systemNamespace, "app=istiod");
		assert.ok(next && next.metadata.name !== istiod?.metadata.name && next.status.containerStatuses?.every(({ ready }) => ready));
	});
}

describe("admission while the control plane restarts", { skip: clusterMissing }, () => {
	before(async () => {
		await installMesh();
		await freshNamespace(namespace);
	});
	after(() => removeNamespace(namespace));

	test(`sec/f57: 0 pods without a proxy over ${restarts} restarts under pod creation`, { timeout: 1_800_000 }, async () => {
		const tally: Tally = { created: 0, refused: 0, withoutProxy: [] };
		const over = new AbortController();
		const creating = createPods(tally, over.signal);
		try {
			for (let i = 1; i <= restarts && tally.withoutProxy.length === 0; i++) {
				await restart();
				console.log(`restart ${i} of ${restarts}: ${tally.created} pods created, ${tally.refused} refused, ${tally.withoutProxy.length} without a proxy`);
			}
		} finally {
			over.abort();
			await creating;
		}
		assert.deepEqual(tally.withoutProxy, []);
		assert.ok(tally.created >= restarts, `${tally.created} pods were created and ${tally.refused} refused`);
	});
});
