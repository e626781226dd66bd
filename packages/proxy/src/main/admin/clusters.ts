import { RE2JS } from "re2js";
import type { Cluster } from "../../config/clusters.ts";
import type { Host } from "../../config/hosts.ts";
import { healthFlags } from "../../config/shared-state.ts";
import type { HostsOfClusters } from "../../config/worker-messages.ts";
import { createHostCounts } from "../../data/lb/host-entry.ts";
import { type CountedHost, mergeHostCounts } from "../host-counts.ts";
import { addressText } from "../slots.ts";
import type { AdminContext, AdminReply, AdminRequest } from "./routes.ts";

interface Row {
	readonly host: Host;
	readonly priority: number;
	readonly region: string;
	readonly zone: string;
	readonly subZone: string;
	readonly isEjected: boolean;
	/** Of active health checks. */
	readonly flags: number;
	readonly counts: CountedHost;
}

const notCounted: CountedHost = { rq_active: 0, ...createHostCounts() };
/** In Envoy's order. */
const shownCounts = ["cx_active", "cx_connect_fail", "cx_total", "rq_active", "rq_error", "rq_pending_active", "rq_success", "rq_timeout", "rq_total"] as const;
const gauges: ReadonlySet<string> = new Set(["cx_active", "rq_active", "rq_pending_active"]);

/** `/clusters`: Envoy's lines, or `envoy.admin.v3.Clusters` as JSON. */
export async function showClusters({ query }: AdminRequest, context: AdminContext): Promise<AdminReply> {
	const pattern = query.get("filter");
	let matches = (_name: string): boolean => true;
	if (pattern !== null) {
		try {
			const regex = RE2JS.compile(pattern);
			matches = (name) => regex.matcher(name).find();
		} catch (error) {
			return { status: 400, body: `Invalid re2 regex: ${(error as Error).message}\n` };
		}
	}
	const clusters = [...context.store.clusterNames()].filter(matches).flatMap((name) => context.store.clusterOf(name) ?? []);
	const counted = mergeHostCounts((await context.pool.countHosts()).map(({ hosts }) => hosts));
	if (query.get("format") === "json") {
		const cluster_statuses = clusters.map((cluster) => clusterJson(cluster, rowsOf(context, cluster.name, counted), context));
		return { type: "application/json", body: `${JSON.stringify({ cluster_statuses }, undefined, 1)}\n` };
	}
	return { body: clusters.map((cluster) => clusterText(cluster, rowsOf(context, cluster.name, counted), context)) };
}

function rowsOf({ health, outliers, store }: AdminContext, name: string, counted: HostsOfClusters): readonly Row[] {
	const hosts = store.hostsOf(name);
	return (hosts?.priorities ?? []).flatMap((localities, priority) =>
		localities.flatMap(({ region, zone, subZone, hosts: list }) =>
			list.map((host) => ({
				host,
				priority,
				region,
				zone,
				subZone,
				isEjected: outliers.isEjected(host.slot),
				flags: health.flagsOf(host.slot),
				counts: counted.get(name)?.get(addressText(host.address)) ?? notCounted,
			})),
		),
	);
}

const priorities = ["default", "high"] as const;

function addedViaApi({ records }: AdminContext, name: string): boolean {
	return !(records.get("cds", name)?.isStatic ?? true);
}

function clusterText(cluster: Cluster, rows: readonly Row[], context: AdminContext): string {
	const { name } = cluster;
	const lines = [`observability_name::${cluster.statName}`];
	for (const priority of priorities) {
		const limits = cluster.breakers[priority];
		lines.push(
			`${priority}_priority::max_connections::${limits.connectionsMax}`,
			`${priority}_priority::max_pending_requests::${limits.pendingRequestsMax}`,
			`${priority}_priority::max_requests::${limits.requestsMax}`,
			`${priority}_priority::max_retries::${limits.retriesMax}`,
		);
	}
	lines.push(`added_via_api::${addedViaApi(context, name)}`);
	for (const row of rows) {
		const address = addressText(row.host.address);
		lines.push(
			...shownCounts.map((stat) => `${address}::${stat}::${row.counts[stat]}`),
			`${address}::hostname::${row.host.hostname}`,
			`${address}::health_flags::${flagsText(row)}`,
			`${address}::weight::${row.host.weight}`,
			`${address}::region::${row.region}`,
			`${address}::zone::${row.zone}`,
			`${address}::sub_zone::${row.subZone}`,
			`${address}::canary::false`,
			`${address}::priority::${row.priority}`,
		);
	}
	return lines.map((line) => `${name}::${line}\n`).join("");
}

/** In Envoy's order. */
function flagsOf({ host, isEjected, flags }: Row): readonly string[] {
	const has = (flag: keyof typeof healthFlags) => (flags & healthFlags[flag]) !== 0;
	const all: readonly (readonly [string, boolean])[] = [
		["failed_active_hc", has("failedActiveHc")],
		["failed_outlier_check", isEjected],
		["failed_eds_health", host.health === "unhealthy"],
		["degraded_active_hc", has("degradedActiveHc")],
		["degraded_eds_health", host.health === "degraded"],
		["pending_dynamic_removal", has("pendingDynamicRemoval")],
		["pending_active_hc", has("pendingActiveHc")],
		["excluded_via_immediate_hc_fail", has("excludedViaImmediateHcFail")],
		["active_hc_timeout", has("activeHcTimeout")],
		["eds_status_draining", host.health === "draining"],
	];
	return all.filter(([, isSet]) => isSet).map(([name]) => name);
}

function flagsText(row: Row): string {
	const flags = flagsOf(row);
	return flags.length === 0 ? "healthy" : flags.map((flag) => `/${flag}`).join("");
}

/** `envoy.admin.v3.HostHealthStatus`: its own names for some of them. */
const jsonNames: Readonly<Record<string, string>> = {
	failed_active_hc: "failed_active_health_check",
	degraded_active_hc: "failed_active_degraded_check",
	excluded_via_immediate_hc_fail: "excluded_via_immediate_hc_fail",
};
const jsonFlags: ReadonlySet<string> = new Set([
	"failed_active_hc",
	"failed_outlier_check",
	"degraded_active_hc",
	"pending_dynamic_removal",
	"pending_active_hc",
	"excluded_via_immediate_hc_fail",
	"active_hc_timeout",
]);

function flagsJson(row: Row): object {
	return Object.fromEntries(
		flagsOf(row)
			.filter((flag) => jsonFlags.has(flag))
			.map((flag) => [jsonNames[flag] ?? flag, true]),
	);
}

const edsHealth = { healthy: "HEALTHY", unhealthy: "UNHEALTHY", degraded: "DEGRADED", draining: "DRAINING" } as const;

function clusterJson(cluster: Cluster, rows: readonly Row[], context: AdminContext): object {
	const decoded = context.store.inForce.clusters.get(cluster.name);
	return {
		name: cluster.name,
		added_via_api: addedViaApi(context, cluster.name),
		observability_name: cluster.statName,
		...(decoded?.assignment === undefined ? {} : { eds_service_name: decoded.assignment.name }),
		circuit_breakers: {
			thresholds: priorities.map((priority) => {
				const limits = cluster.breakers[priority];
				return {
					priority: priority.toUpperCase(),
					max_connections: limits.connectionsMax,
					max_pending_requests: limits.pendingRequestsMax,
					max_requests: limits.requestsMax,
					max_retries: limits.retriesMax,
				};
			}),
		},
		host_statuses: rows.map((row) => ({
			address:
				row.host.address.kind === "pipe"
					? { pipe: { path: row.host.address.path } }
					: { socket_address: { address: row.host.address.address, port_value: row.host.address.port } },
			stats: shownCounts.map((name) => ({ name, ...(gauges.has(name) ? { type: "GAUGE" } : {}), value: String(row.counts[name]) })),
			health_status: { eds_health_status: edsHealth[row.host.health], ...flagsJson(row) },
			weight: row.host.weight,
			hostname: row.host.hostname,
			priority: row.priority,
			locality: { region: row.region, zone: row.zone, sub_zone: row.subZone },
		})),
	};
}
