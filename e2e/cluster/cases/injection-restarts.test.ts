import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { run, kubectl, eventually } from "../kubectl.ts";
import { clusterMissing, freshNamespace, hasProxy, installMesh, pods, removeNamespace, systemNamespace } from "../mesh.ts";

const namespace = "e2e-injection-restarts";
const restarts = Number(process.env["WEFT_E2E_RESTARTS"] ?? 50);

describe("admission while the control plane restarts", { skip: clusterMissing }, () => {
	before(async () => {
		await installMesh();
		await freshNamespace(namespace);
	});
	after(() => removeNamespace(namespace));

	test(`sec/f57: 0 pods without a proxy over ${restarts} restarts under pod creation`, { timeout: 1_800_000 }, async () => {
		const pod = {
			apiVersion: "v1",
			kind: "Pod",
			metadata: { generateName: "p-" },
			spec: { terminationGracePeriodSeconds: 0, containers: [{ name: "app", image: "weft.dev/absent:1" }] },
		};
		let isOver = false;
		let [created, refused] = [0, 0];
		const creating = (async () => {
			while (!isOver) {
				// Made by the server and never scheduled: what matters is what admission made of it.
				const unscheduled = { ...pod, spec: { ...pod.spec, nodeName: undefined, schedulerName: "nobody" } };
				const { status, stdout } = await run("kubectl", ["create", "-n", namespace, "-f", "-", "-o", "json"], { input: JSON.stringify(unscheduled) });
				if (status !== 0) {
					refused++;
					continue;
				}
				created++;
				const made = JSON.parse(stdout) as Awaited<ReturnType<typeof pods>>[number];
				assert.ok(hasProxy(made), `${made.metadata.name} came back without a proxy`);
				await run("kubectl", ["delete", "pod", "-n", namespace, made.metadata.name, "--wait=false", "--grace-period=0", "--force"]);
			}
		})();
		try {
			for (let i = 0; i < restarts; i++) {
				const [istiod] = await pods(systemNamespace, "app=istiod");
				if (istiod) await kubectl("delete", "pod", "-n", systemNamespace, istiod.metadata.name, "--grace-period=1");
				await eventually("the control plane is back", async () => {
					const [next] = await pods(systemNamespace, "app=istiod");
					assert.ok(next && next.metadata.name !== istiod?.metadata.name && next.status.containerStatuses?.every(({ ready }) => ready));
				});
			}
		} finally {
			isOver = true;
			await creating;
		}
		assert.ok(created >= restarts, `${created} pods were created and ${refused} refused`);
	});
});
