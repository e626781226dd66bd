import { readFileSync } from "node:fs";
import { type Cluster, type ClusterOptions, openCluster, resolvePod } from "../kube/cluster.ts";
import { readMesh, readStatus, type StatePaths } from "../local/state.ts";
import { CommandError } from "../output/errors.ts";
import { parseDump, type ProxyDump } from "../proxy-config/dump.ts";

const adminPort = 15_000;
const timeoutMs = 10_000;

export interface LiveOptions extends ClusterOptions {
	readonly namespace?: string;
	readonly file?: string;
}

/** Whether the mesh on this machine is meant: one runs, and no cluster is named. */
export function isLocal(paths: StatePaths, { kubeconfig, context }: ClusterOptions): boolean {
	return kubeconfig === undefined && context === undefined && readMesh(paths) !== undefined;
}

/** What the proxy of a pod runs now: from a config_dump in a file, the mesh on this machine, or a cluster. */
export async function readProxyDump(pod: string | undefined, paths: StatePaths, options: LiveOptions): Promise<ProxyDump> {
	const { file } = options;
	if (file !== undefined) return parseDump(readDumpFile(file), file);
	if (pod === undefined) throw new CommandError("name a pod (POD, POD.NAMESPACE or deployment/NAME), or a config_dump by --file");
	if (isLocal(paths, options)) return localDump(pod, paths, options.namespace);
	return clusterDump(await openCluster(options), pod, options.namespace);
}

/** `POD`, `POD.NAMESPACE` or `deployment/NAME[.NAMESPACE]` of a cluster. */
export async function clusterDump(cluster: Cluster, pod: string, namespace?: string): Promise<ProxyDump> {
	return parseDump(await cluster.get(await resolvePod(cluster, pod, namespace), adminPort, "/config_dump"), pod);
}

function readDumpFile(file: string): string {
	try {
		return readFileSync(file === "-" ? 0 : file, "utf8");
	} catch (error) {
		throw new CommandError(`${file}: ${error instanceof Error ? error.message : String(error)}`);
	}
}

/** `POD` or `POD.NAMESPACE` of the mesh on this machine; a pod is also found by its workload's name. */
export async function localDump(pod: string, paths: StatePaths, namespace = "default"): Promise<ProxyDump> {
	const pods = readStatus(paths)?.pods ?? [];
	const [name = "", home = namespace] = pod.replace(/^(?:deployments?|deploy|pods?|po)\//, "").split(".");
	const found = pods.find((each) => each.namespace === home && (each.name === name || each.workload === name));
	if (found === undefined)
		throw new CommandError(`there is no pod ${home}/${name}; pods: ${pods.map((each) => `${each.name}.${each.namespace}`).join(", ") || "none"}`);
	return parseDump(await adminPage(found.adminAddress, "/config_dump"), pod);
}

/** A page of a proxy's admin interface on this machine. */
export async function adminPage(address: string, path: string): Promise<string> {
	const url = `http://${address}${path}`;
	const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) }).catch((error: Error) => {
		throw new CommandError(`${url}: ${(error.cause as Error | undefined)?.message ?? error.message}`);
	});
	const body = await response.text();
	if (!response.ok) throw new CommandError(`${url} answers ${response.status}: ${body.slice(0, 200).trim()}`);
	return body;
}
