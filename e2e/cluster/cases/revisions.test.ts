import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, kubectl } from "../kubectl.ts";
import {
	clusterMissing,
	deploy,
	freshNamespace,
	installMesh,
	pods,
	removeNamespace,
	rolledOut,
	systemNamespace,
	uninstallControlPlane,
	weft,
} from "../mesh.ts";
import { curlFrom } from "../traffic.ts";

const [stays, moves] = ["e2e-revisions-stays", "e2e-revisions-moves"];
const revision = "canary";

/** The revision that injected each pod of a namespace. */
async function revisionsOf(namespace: string): Promise<readonly (string | undefined)[]> {
	return (await pods(namespace)).map(({ metadata }) => metadata.annotations?.["istio.io/rev"]);
}

describe("two revisions side by side", { skip: clusterMissing }, () => {
	before(async () => {
		await installMesh();
		await installMesh({ revision, set: ["revisionTags={next}"] });
		await freshNamespace(stays);
		await freshNamespace(moves);
		for (const namespace of [stays, moves]) await deploy(namespace, "httpbin/httpbin.yaml", "sleep/sleep.yaml");
	});
	after(async () => {
		await removeNamespace(stays);
		await removeNamespace(moves);
		await uninstallControlPlane(revision);
	});

	test("one namespace is moved by istio.io/rev, and calls go across", async () => {
		assert.deepEqual(new Set(await revisionsOf(moves)), new Set(["default"]));
		await kubectl("label", "namespace", moves, "istio-injection-", `istio.io/rev=${revision}`);
		await kubectl("rollout", "restart", "-n", moves, "deployment/httpbin", "deployment/sleep");
		await rolledOut(moves);
		await eventually("moved", async () => assert.deepEqual(new Set(await revisionsOf(moves)), new Set([revision])));
		assert.deepEqual(new Set(await revisionsOf(stays)), new Set(["default"]));
		for (const [from, to] of [
			[stays, moves],
			[moves, stays],
		] as const) {
			await eventually(`${from} to ${to}`, async () => {
				const { status, body } = await curlFrom(from, "deploy/sleep", `http://httpbin.${to}:8000/headers`);
				assert.equal(status, 200);
				assert.match(body, new RegExp(`spiffe://cluster\\.local/ns/${from}/sa/sleep`), "mutual TLS across revisions");
			});
		}
		assert.match(await weft("proxy-status"), new RegExp(`\\.${moves} +\\S+ +istiod-${revision}-`));
	});

	test("a tag stands for its revision", async () => {
		await kubectl("label", "namespace", moves, "istio.io/rev=next", "--overwrite");
		await kubectl("rollout", "restart", "-n", moves, "deployment/httpbin");
		await rolledOut(moves);
		const [pod] = await pods(moves, "app=httpbin");
		assert.equal(pod?.metadata.annotations?.["istio.io/rev"], revision);
		assert.equal((await pods(systemNamespace, `istio.io/rev=${revision}`)).length, 1);
	});
});
