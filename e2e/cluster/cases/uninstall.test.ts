import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, kubectl } from "../kubectl.ts";
import { clusterMissing, deploy, freshNamespace, hasProxy, installMesh, pods, removeNamespace, systemNamespace, weft } from "../mesh.ts";

const namespace = "e2e-uninstall";

describe("uninstall", { skip: clusterMissing }, () => {
	before(async () => {
		await installMesh();
		await freshNamespace(namespace);
		await deploy(namespace, "sleep/sleep.yaml");
	});
	after(() => removeNamespace(namespace));

	test("leaves a cluster in which pods start normally", async () => {
		assert.match(await weft("uninstall", "-y"), /✔ weft removed\n✔ weft-base removed\n✔ Uninstall complete/);
		await kubectl("delete", "pods", "-n", namespace, "--all", "--wait=false", "--grace-period=1");
		const pod = await eventually("a pod without a proxy", async () => {
			const [found] = await pods(namespace);
			assert.ok(found && !hasProxy(found) && found.status.containerStatuses?.every(({ ready }) => ready));
			return found;
		});
		assert.equal(pod.spec.containers.length, 1);
		assert.match(await kubectl("get", "mutatingwebhookconfigurations,validatingwebhookconfigurations", "-o", "name"), /^(?!.*(istio|weft)).*$/s);
		assert.match(await kubectl("get", "crds", "-o", "name"), /virtualservices\.networking\.istio\.io/);
	});

	test("--purge takes the rest as well, and the mesh can be installed again", async () => {
		assert.match(await weft("uninstall", "-y", "--purge"), /CustomResourceDefinition virtualservices\.networking\.istio\.io removed/);
		assert.doesNotMatch(await kubectl("get", "crds", "-o", "name"), /istio\.io/);
		assert.match(
			await weft("install", "-y", "--set", "profile=minimal", "--set", "resources.requests.cpu=10m"),
			/✔ Base installed\n✔ Control plane installed\n✔ Installation complete/,
		);
		assert.equal((await pods(systemNamespace, "app=istiod")).length, 1);
		await weft("uninstall", "-y", "--purge");
	});
});
