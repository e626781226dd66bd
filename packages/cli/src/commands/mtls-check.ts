import { setTimeout as sleep } from "node:timers/promises";
import { parseDurationMs } from "@weft/api";
import { type ClientTraffic, mergeTraffic, parseClients, trafficSince } from "../authz/clients.ts";
import { adminPage, isLocal } from "../authz/live-dump.ts";
import { type Cluster, type ClusterOptions, openCluster, runningPods } from "../kube/cluster.ts";
import { readStatus } from "../local/state.ts";
import { CommandError } from "../output/errors.ts";
import { type OutputFormat, renderValue } from "../output/format.ts";
import { renderTable } from "../output/table.ts";
import { pathsOf, type StateOptions } from "./state-options.ts";

export interface MtlsCheckOptions extends ClusterOptions, StateOptions {
	/** How long to watch; unset: all that the proxies have counted since they started. */
	readonly for?: string;
	readonly output: OutputFormat;
}

/** A proxy's metrics, by the pod's name. */
export type ReadMetrics = () => Promise<ReadonlyMap<string, string>>;

/** The label that the injector sets: the pod's proxy takes mutual TLS. */
const hasProxy = "security.istio.io/tlsMode=istio";
const adminPort = 15_000;

/** Names the clients that STRICT would refuse, by what the proxies of a namespace have counted. Status 1: there are some. */
export async function mtlsCheckCommand(namespace: string, options: MtlsCheckOptions): Promise<void> {
	const durationMs = options.for === undefined ? undefined : parseDurationMs(options.for);
	if (options.for !== undefined && durationMs === undefined) throw new CommandError(`--for ${options.for}: write a duration, such as 30s or 5m`, 2);
	const traffic = await watchTraffic(await metricsOf(namespace, options), durationMs);
	process.stdout.write(options.output === "table" ? renderMtlsCheck(namespace, traffic) : renderValue(traffic, options.output));
	if (traffic.some(({ mutualTls }) => !mutualTls)) throw new CommandError("", 1);
}

async function watchTraffic(read: ReadMetrics, durationMs: number | undefined): Promise<readonly ClientTraffic[]> {
	const first = await read();
	const parsed = (metrics: ReadonlyMap<string, string>) => new Map([...metrics].map(([pod, text]) => [pod, parseClients(text)]));
	if (durationMs === undefined) return mergeTraffic([...parsed(first).values()].flat());
	await sleep(durationMs);
	const before = parsed(first);
	return mergeTraffic([...parsed(await read())].flatMap(([pod, now]) => trafficSince(before.get(pod) ?? [], now)));
}

async function metricsOf(namespace: string, options: MtlsCheckOptions): Promise<ReadMetrics> {
	const paths = pathsOf(options);
	if (isLocal(paths, options)) {
		return async () => {
			const pods = (readStatus(paths)?.pods ?? []).filter((pod) => pod.namespace === namespace && pod.adminAddress !== "");
			if (pods.length === 0) throw new CommandError(`no pod of namespace ${namespace} has a proxy`);
			return new Map(await Promise.all(pods.map(async ({ name, adminAddress }) => [name, await adminPage(adminAddress, "/stats/prometheus")] as const)));
		};
	}
	return clusterMetrics(await openCluster(options), namespace);
}

/** Of the running pods of a namespace that have a proxy. */
export function clusterMetrics(cluster: Cluster, namespace: string): ReadMetrics {
	return async () => {
		const pods = await runningPods(cluster, namespace, hasProxy);
		if (pods.length === 0) throw new CommandError(`no running pod of namespace ${namespace} has a proxy (label ${hasProxy})`);
		const found = new Map<string, string>();
		// One after the other: each is a port-forward of its own.
		for (const pod of pods) found.set(pod.name, await cluster.get(pod, adminPort, "/stats/prometheus"));
		return found;
	};
}

export function renderMtlsCheck(namespace: string, traffic: readonly ClientTraffic[]): string {
	if (traffic.length === 0) return `nothing has called a workload of namespace ${namespace}: there is nothing to tell\n`;
	const rows = traffic.map(({ destination, source, principal, mutualTls, count }) => [
		destination,
		source,
		principal === "unknown" ? "-" : principal,
		mutualTls ? "mutual TLS" : "plain text",
		String(count),
		mutualTls ? "served" : "REFUSED",
	]);
	const table = renderTable(["WORKLOAD", "CLIENT", "PRINCIPAL", "CONNECTION", "REQUESTS", "UNDER STRICT"], rows);
	const breaking = [...new Set(traffic.filter(({ mutualTls }) => !mutualTls).map(({ source }) => source))];
	if (breaking.length === 0) return `${table}\nAll clients use mutual TLS: STRICT would refuse none of them.\n`;
	const unnamed = breaking.includes("unknown") ? ' "unknown" has no sidecar that tells its name.' : "";
	return `${table}\nSTRICT would refuse ${breaking.join(", ")}.${unnamed}\n`;
}
