import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { eventually, kubectl, kubectlJson, run } from "../kubectl.ts";
import { clusterMissing, deploy, freshNamespace, helm, hasProxy, pods, removeNamespace, rolledOut, systemNamespace, weft } from "../mesh.ts";
import { findHelm } from "../../../scripts/peers-find.mjs";
import { moveToRevision, revisionsOf } from "../revisions.ts";
import { curlFrom } from "../traffic.ts";

// An Istio that is there already, as far as another release can see it: releases, CRDs, labels, webhooks and ConfigMaps under its
// names. What serves behind them is a control plane of our own.

const root = join(import.meta.dirname, "../../..");
const [base, controlPlane] = [join(root, "charts/base"), join(root, "charts/control-plane")];
const [stays, moves] = ["e2e-beside-stays", "e2e-beside-moves"];
const revision = "weft";
const install = (release: string, chart: string, ...sets: readonly string[]) =>
	helm("install", release, chart, "-n", systemNamespace, "--create-namespace", ...sets.flatMap((set) => ["--set", set]), "--wait", "--timeout", "180s");

async function removeAll(): Promise<void> {
	for (const release of ["weft", "weft-base", "istiod", "istio-base"])
		await run(findHelm() ?? "helm", ["uninstall", release, "-n", systemNamespace, "--ignore-not-found", "--wait"]);
	const crds = (await kubectl("get", "crds", "-o", "name")).split("\n").filter((name) => /\.(istio\.io|weft\.dev)$/.test(name));
	if (crds.length > 0) await kubectl("delete", ...crds);
}

interface Owned {
	readonly items: readonly {
		readonly kind: string;
		readonly metadata: { readonly name: string; readonly uid: string; readonly generation?: number; readonly annotations?: Readonly<Record<string, string>> };
	}[];
}

/** Every object of Istio's releases that another release could take or change, as it is now. */
async function ofIstio(): Promise<readonly string[]> {
	const kinds = "customresourcedefinitions,mutatingwebhookconfigurations,validatingwebhookconfigurations,clusterroles,clusterrolebindings";
	const everywhere = await kubectlJson<Owned>("get", kinds);
	const here = await kubectlJson<Owned>("get", "deployments,services,serviceaccounts,configmaps,roles,rolebindings", "-n", systemNamespace);
	return [...everywhere.items, ...here.items]
		.filter(({ metadata }) => metadata.annotations?.["meta.helm.sh/release-name"]?.startsWith("istio"))
		.map(({ kind, metadata }) => `${kind} ${metadata.name} ${metadata.uid} ${metadata.generation ?? ""}`)
		.sort();
}

describe("beside an Istio that is there already", { skip: clusterMissing }, () => {
	let atFirst: readonly string[];
	before(async () => {
		await removeAll();
		await install("istio-base", base, "base.enableWeftCRDs=false");
		await install("istiod", controlPlane, "profile=demo");
		for (const namespace of [stays, moves]) {
			await freshNamespace(namespace);
			await deploy(namespace, "httpbin/httpbin.yaml", "sleep/sleep.yaml");
		}
		atFirst = await ofIstio();
	});
	after(async () => {
		await removeNamespace(stays);
		await removeNamespace(moves);
		await removeAll();
	});

	test("installs as a revision, and takes and changes nothing of Istio's", async () => {
		assert.ok(atFirst.length > 20, atFirst.join("\n"));
		await install("weft-base", base, "base.enableCRDTemplates=false");
		await install("weft", controlPlane, "profile=demo", `revision=${revision}`);
		assert.deepEqual(await ofIstio(), atFirst);
		assert.match(await kubectl("logs", "-n", systemNamespace, `deployment/istiod-${revision}`), /the cluster has no such kind.*resource=ratelimits/);
	});

	test("a pod is injected by one of them alone", async () => {
		await kubectl("rollout", "restart", "-n", stays, "deployment/sleep");
		await rolledOut(stays);
		assert.deepEqual(await revisionsOf(stays), new Set(["default"]));
	});

	test("one namespace is moved by its label, and calls go across with mutual TLS", async () => {
		await moveToRevision(moves, revision, stays);
		assert.match(await weft("proxy-status"), new RegExp(`\\.${moves} +\\S+ +istiod-${revision}-`));
	});

	test("goes again, and leaves Istio as it was and serving", async () => {
		await helm("uninstall", "weft", "-n", systemNamespace, "--wait");
		await helm("uninstall", "weft-base", "-n", systemNamespace, "--wait");
		assert.deepEqual(await ofIstio(), atFirst);
		await kubectl("label", "namespace", moves, "istio.io/rev-", "istio-injection=enabled");
		await kubectl("rollout", "restart", "-n", moves, "deployment/httpbin", "deployment/sleep");
		await rolledOut(moves);
		for (const pod of await pods(moves)) assert.ok(hasProxy(pod), pod.metadata.name);
		await eventually("it serves", async () => assert.equal((await curlFrom(moves, "deploy/sleep", `http://httpbin.${stays}:8000/headers`)).status, 200));
	});
});
