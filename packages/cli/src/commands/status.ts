import type { Diagnostic } from "@weft/api";
import type { RegisteredWorkload } from "@weft/pilot";
import { type ClusterOptions, openCluster } from "../kube/cluster.ts";
import type { LocalMesh } from "../local/launcher.ts";
import { connectMesh } from "../local/mesh-client.ts";
import type { PodStatus } from "../local/pod-status.ts";
import { readMesh, readStatus } from "../local/state.ts";
import { CommandError, printDiagnostics } from "../output/errors.ts";
import { type OutputFormat, renderValue } from "../output/format.ts";
import { renderTable } from "../output/table.ts";
import { pathsOf, type StateOptions } from "./state-options.ts";
import { workloadTable } from "./workload-table.ts";

export interface MeshStatus {
	readonly controlPlane: { readonly http: string; readonly pid: number | undefined };
	/** For HTTP_PROXY: every HTTP Service of the mesh by its name. */
	readonly httpProxy: string;
	readonly services: readonly { readonly service: string; readonly address: string }[];
	readonly pods: readonly (PodStatus & { readonly synced: boolean; readonly refusals: number })[];
	/** Those that registered themselves. */
	readonly workloads: readonly RegisteredWorkload[];
	/** Objects that are not in force, since another source of configuration defines them, too. */
	readonly conflicts: readonly Diagnostic[];
}

interface ProxyState {
	readonly proxy: string;
	readonly synced: boolean;
	readonly nacks: readonly unknown[];
}

export async function statusOf(
	mesh: Pick<LocalMesh, "client" | "httpAddress" | "controlPlanePid" | "pods" | "addresses" | "proxyAddress">,
): Promise<MeshStatus> {
	const proxies = new Map(((await mesh.client.get("proxies")) as readonly ProxyState[]).map((p) => [p.proxy, p]));
	const workloads = (await mesh.client.get("workloads")) as readonly RegisteredWorkload[];
	const conflicts = (await mesh.client.get("conflicts")) as readonly Diagnostic[];
	return {
		workloads,
		conflicts,
		controlPlane: { http: mesh.httpAddress, pid: mesh.controlPlanePid() },
		httpProxy: mesh.proxyAddress,
		services: Object.entries(mesh.addresses()).map(([service, address]) => ({ service, address })),
		pods: mesh.pods().map((pod) => {
			const proxy = proxies.get(`${pod.name}.${pod.namespace}`);
			return { ...pod, synced: proxy?.synced ?? false, refusals: proxy?.nacks.length ?? 0 };
		}),
	};
}

export function renderStatus(status: MeshStatus): string {
	const pods = status.pods.map((p) => [
		p.namespace,
		p.name,
		p.ready ? "Running" : "Starting",
		p.refusals > 0 ? "REFUSED" : p.synced ? "SYNCED" : "STALE",
		String(p.restarts),
		p.ip,
		p.adminAddress,
	]);
	const services = status.services.map((s) => [s.service, `http://${s.address}`]);
	return [
		renderTable(["NAMESPACE", "POD", "STATUS", "PROXY", "RESTARTS", "IP", "ADMIN"], pods),
		...workloadTable(status.workloads),
		renderTable(["SERVICE", "FROM THIS MACHINE"], services),
		`HTTP_PROXY      http://${status.httpProxy}   (any HTTP service by its name)\ncontrol plane   http://${status.controlPlane.http}\n`,
	].join("\n");
}

export interface StatusOptions extends ClusterOptions, StateOptions {
	readonly output: OutputFormat;
	readonly istioNamespace: string;
}

/** Of a cluster where one is named; else of the mesh on this machine. */
export async function statusCommand(options: StatusOptions): Promise<void> {
	if (options.kubeconfig !== undefined || options.context !== undefined) return clusterStatusCommand(options);
	const paths = pathsOf(options);
	const mesh = readMesh(paths);
	const client = connectMesh(paths);
	const saved = readStatus(paths);
	if (!mesh || !saved) throw new CommandError("the mesh is still starting: try again in a moment");
	const status = await statusOf({
		client,
		httpAddress: mesh.httpAddress,
		controlPlanePid: () => saved.controlPlanePid,
		pods: () => saved.pods,
		addresses: () => saved.addresses,
		proxyAddress: saved.proxyAddress,
	});
	if (options.output === "table") printDiagnostics(status.conflicts);
	process.stdout.write(options.output === "table" ? renderStatus(status) : renderValue(status, options.output));
}

async function clusterStatusCommand(options: StatusOptions): Promise<void> {
	const { clusterStatusOf, renderClusterStatus } = await import("./cluster-status.ts");
	const status = await clusterStatusOf(await openCluster(options), options.istioNamespace);
	process.stdout.write(options.output === "table" ? renderClusterStatus(status) : renderValue(status, options.output));
}
