import type { ClusterStats, UpstreamEndpointStats, UpstreamLocalityStats } from "@weft/xds/generated/envoy/config/endpoint/v3/load_report.ts";
import type { ClusterHosts, Host, LocalityHosts } from "../config/hosts.ts";
import type { CountedHost } from "./host-counts.ts";
import type { CountedLoad, DropCounts } from "../config/worker-messages.ts";
import { addressText } from "./slots.ts";

type Latched = Pick<CountedHost, "rq_total" | "rq_success" | "rq_error" | "cx_total" | "cx_connect_fail">;
/** What was counted of a cluster, and what had been when it was last reported. */
export interface ClusterLoad {
	readonly hosts: ReadonlyMap<string, CountedHost>;
	readonly drops: DropCounts;
}

export interface ClusterReportInputs {
	readonly name: string;
	readonly serviceName: string;
	readonly assignment: ClusterHosts | undefined;
	readonly counted: ClusterLoad;
	readonly latched: ClusterLoad;
	readonly intervalMs: number;
	/** Each host by itself as well. */
	readonly namesEndpoints: boolean;
}

export const noLoad: ClusterLoad = { hosts: new Map(), drops: { total: 0, overload: 0 } };

export function loadOf(cluster: string, { hosts, drops }: CountedLoad): ClusterLoad {
	return { hosts: hosts.get(cluster) ?? noLoad.hosts, drops: drops.get(cluster) ?? noLoad.drops };
}

/** Localities in which something happened, or is under way. */
export function reportCluster(inputs: ClusterReportInputs): ClusterStats {
	const { name, serviceName, assignment, counted, intervalMs, latched } = inputs;
	const dropped = (kind: keyof DropCounts) => sinceLast(counted.drops[kind], latched.drops[kind]);
	const overload = dropped("overload");
	const localities = (assignment?.priorities ?? []).flatMap((list, priority) => list.map((locality) => reportLocality(locality, priority, inputs)));
	return {
		clusterName: name,
		clusterServiceName: serviceName,
		upstreamLocalityStats: localities.filter((stats) => stats !== undefined),
		totalDroppedRequests: BigInt(dropped("total")),
		droppedRequests: overload === 0 ? [] : [{ category: assignment?.dropOverload?.category ?? "", droppedCount: BigInt(overload) }],
		loadReportInterval: { seconds: BigInt(Math.floor(intervalMs / 1000)), nanos: Math.floor((intervalMs % 1000) * 1e6) },
	};
}

/** A smaller count began anew: the host or the cluster was away, or a worker was replaced. */
function sinceLast(now: number, before: number): number {
	return now < before ? now : now - before;
}

function reportLocality({ region, zone, subZone, hosts }: LocalityHosts, priority: number, inputs: ClusterReportInputs): UpstreamLocalityStats | undefined {
	const reported = hosts.map((host) => ({ host, since: countsSince(host, inputs) }));
	const sum = (read: (counts: CountedHost) => number) => BigInt(reported.reduce((total, { since }) => total + read(since), 0));
	const stats: UpstreamLocalityStats = {
		locality: { region, zone, subZone },
		priority,
		totalSuccessfulRequests: sum(({ rq_success }) => rq_success),
		totalErrorRequests: sum(({ rq_error }) => rq_error),
		totalRequestsInProgress: sum(({ rq_active }) => rq_active),
		totalIssuedRequests: sum(({ rq_total }) => rq_total),
		totalActiveConnections: 0n,
		totalNewConnections: 0n,
		totalFailConnections: 0n,
		cpuUtilization: undefined,
		memUtilization: undefined,
		applicationUtilization: undefined,
		loadMetricStats: [],
		upstreamEndpointStats: inputs.namesEndpoints ? reported.filter(({ since }) => hasRequests(since)).map(({ host, since }) => endpointStats(host, since)) : [],
	};
	return reported.some(({ since }) => hasRequests(since)) ? stats : undefined;
}

const hasRequests = ({ rq_active, rq_error, rq_success, rq_total }: CountedHost): boolean => rq_active + rq_error + rq_success + rq_total > 0;

const nothing: CountedHost = {
	rq_total: 0,
	rq_success: 0,
	rq_error: 0,
	rq_timeout: 0,
	rq_pending_active: 0,
	rq_active: 0,
	cx_total: 0,
	cx_active: 0,
	cx_connect_fail: 0,
};

/** Counts since the last report; what is under way as it is. */
function countsSince({ address }: Host, { counted, latched }: ClusterReportInputs): CountedHost {
	const key = addressText(address);
	const now = counted.hosts.get(key);
	if (now === undefined) return nothing;
	const before = latched.hosts.get(key);
	const since = (name: keyof Latched) => sinceLast(now[name], before?.[name] ?? 0);
	return {
		...now,
		rq_total: since("rq_total"),
		rq_success: since("rq_success"),
		rq_error: since("rq_error"),
		cx_total: since("cx_total"),
		cx_connect_fail: since("cx_connect_fail"),
	};
}

function endpointStats({ address }: Host, { rq_active, rq_error, rq_success, rq_total }: CountedHost): UpstreamEndpointStats {
	const wire =
		address.kind === "pipe"
			? { pipe: { path: address.path, mode: 0 } }
			: { socketAddress: { address: address.address, portValue: address.port, protocol: 0, resolverName: "", ipv4Compat: false } as const };
	return {
		address: wire,
		metadata: undefined,
		totalSuccessfulRequests: BigInt(rq_success),
		totalErrorRequests: BigInt(rq_error),
		totalRequestsInProgress: BigInt(rq_active),
		totalIssuedRequests: BigInt(rq_total),
		loadMetricStats: [],
	};
}
