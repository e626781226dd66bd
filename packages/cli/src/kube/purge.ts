import { setTimeout as delay } from "node:timers/promises";
import { crdKinds, kindInfo } from "@weft/api";
import { hasStatus, type KubeClient, type ResourceType, resources } from "@weft/kube";
import { CommandError } from "../output/errors.ts";
import type { Cluster } from "./cluster.ts";

const customResourceDefinitions: ResourceType = {
	group: "apiextensions.k8s.io",
	version: "v1",
	plural: "customresourcedefinitions",
	kind: "CustomResourceDefinition",
	namespaced: false,
};

const pollMs = 200;
const goneTimeoutMs = 60_000;

/**
 * Removes what uninstalling the charts leaves: the CRDs, the certificate authority's Secret, and its root in every namespace. Gives the names of what
 * was there, once it is gone: the API server removes a CRD's objects first, and until then the mesh cannot be installed again.
 * @throws CommandError naming a CRD that stays
 */
export async function purge({ client }: Cluster, namespace: string): Promise<readonly string[]> {
	const removed: string[] = [];
	const remove = async (type: ResourceType, home: string, name: string) => {
		if (await removeIfThere(client, type, home, name)) removed.push(`${type.kind} ${home === "" ? "" : `${home}/`}${name}`);
	};
	const crds = crdKinds.map((kind) => `${kindInfo(kind).plural}.${kindInfo(kind).group}`);
	for (const name of crds) await remove(customResourceDefinitions, "", name);
	await remove(resources.secrets, namespace, "istio-ca-secret");
	const { items } = await client.list(resources.namespaces);
	for (const { metadata } of items) await remove(resources.configMaps, metadata.name, "istio-ca-root-cert");
	for (const name of crds) await waitUntilGone(client, name);
	return removed;
}

async function waitUntilGone(client: KubeClient, crd: string): Promise<void> {
	for (const until = Date.now() + goneTimeoutMs; (await client.get(customResourceDefinitions, "", crd)) !== undefined; await delay(pollMs)) {
		if (Date.now() > until)
			throw new CommandError(`CustomResourceDefinition ${crd} is still being removed: kubectl describe crd ${crd} says what its objects wait for`);
	}
}

async function removeIfThere(client: KubeClient, type: ResourceType, namespace: string, name: string): Promise<boolean> {
	try {
		await client.remove(type, namespace, name);
		return true;
	} catch (error) {
		if (hasStatus(error, 404)) return false;
		throw error;
	}
}
