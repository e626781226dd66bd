import { hasStatus, type KubeObject, resourceOf } from "@weft/kube";
import { type RegisteredWorkload, registeredWorkloads, type WorkloadEntry } from "@weft/pilot";
import { type Cluster, pods } from "../kube/cluster.ts";
import { CommandError } from "../output/errors.ts";
import { renderTable } from "../output/table.ts";
import { workloadTable } from "./workload-table.ts";

export interface ClusterStatus {
	readonly controlPlanes: readonly { readonly name: string; readonly namespace: string; readonly ready: boolean; readonly restarts: number }[];
	/** Those that registered themselves. */
	readonly workloads: readonly RegisteredWorkload[];
}

/** What the API server knows of a mesh. Rejects with a CommandError where no control plane is in the namespace. */
export async function clusterStatusOf(cluster: Cluster, namespace: string): Promise<ClusterStatus> {
	const { items } = await cluster.client.list(pods, { namespace, labelSelector: "app=istiod" });
	if (items.length === 0) throw new CommandError(`there is no control plane (label app=istiod) in namespace ${namespace}: weft install, or name it by -i`);
	const entries = (await entriesOf(cluster)).map(configOf);
	return { controlPlanes: items.map(controlPlaneOf), workloads: registeredWorkloads(entries) };
}

export function renderClusterStatus({ controlPlanes, workloads }: ClusterStatus): string {
	const rows = controlPlanes.map((one) => [one.namespace, one.name, one.ready ? "Ready" : "NOT READY", String(one.restarts)]);
	return [renderTable(["NAMESPACE", "CONTROL PLANE", "STATUS", "RESTARTS"], rows), ...workloadTable(workloads)].join("\n");
}

async function entriesOf({ client }: Cluster): Promise<readonly KubeObject[]> {
	try {
		return (await client.list(resourceOf("WorkloadEntry"))).items;
	} catch (error) {
		// Without the CRD there are none.
		if (hasStatus(error, 404)) return [];
		throw error;
	}
}

function configOf({ metadata, spec, status }: KubeObject): WorkloadEntry {
	const { name, namespace = "", labels = {}, annotations = {} } = metadata;
	return {
		apiVersion: "networking.istio.io/v1",
		kind: "WorkloadEntry",
		metadata: { name, namespace, labels, annotations },
		spec: spec ?? {},
		status,
	};
}

interface PodStatus {
	readonly conditions?: readonly { readonly type: string; readonly status: string }[];
	readonly containerStatuses?: readonly { readonly restartCount?: number }[];
}

function controlPlaneOf({ metadata, status }: KubeObject): ClusterStatus["controlPlanes"][number] {
	const { conditions = [], containerStatuses = [] } = (status ?? {}) as PodStatus;
	return {
		name: metadata.name,
		namespace: metadata.namespace ?? "",
		ready: conditions.some(({ type, status: value }) => type === "Ready" && value === "True"),
		restarts: containerStatuses.reduce((sum, { restartCount = 0 }) => sum + restartCount, 0),
	};
}
