import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { kubectl } from "../kubectl.ts";
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
import { moveToRevision, revisionsOf } from "../revisions.ts";

const [stays, moves] = ["e2e-revisions-stays", "e2e-revisions-moves"];
const revision = "canary";

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
		assert.deepEqual(await revisionsOf(moves), new Set(["default"]));
		await moveToRevision(moves, revision, stays);
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
