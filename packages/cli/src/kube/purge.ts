import { crdKinds, kindInfo } from "@weft/api";
import { hasStatus, type KubeClient, type ResourceType, resources } from "@weft/kube";
import type { Cluster } from "./cluster.ts";

const customResourceDefinitions: ResourceType = {
	group: "apiextensions.k8s.io",
	version: "v1",
	plural: "customresourcedefinitions",
	kind: "CustomResourceDefinition",
	namespaced: false,
};

/** Removes what uninstalling the charts leaves: the CRDs, the certificate authority's Secret, and its root in every namespace. Gives the names of what was there. */
export async function purge({ client }: Cluster, namespace: string): Promise<readonly string[]> {
	const removed: string[] = [];
	const remove = async (type: ResourceType, home: string, name: string) => {
		if (await removeIfThere(client, type, home, name)) removed.push(`${type.kind} ${home === "" ? "" : `${home}/`}${name}`);
	};
	for (const kind of crdKinds) await remove(customResourceDefinitions, "", `${kindInfo(kind).plural}.${kindInfo(kind).group}`);
	await remove(resources.secrets, namespace, "istio-ca-secret");
	const { items } = await client.list(resources.namespaces);
	for (const { metadata } of items) await remove(resources.configMaps, metadata.name, "istio-ca-root-cert");
	return removed;
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
