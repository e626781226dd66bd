import type { CompiledManager } from "../http/connection-manager.ts";
import type { ConnectionInfo } from "../log/stream-info.ts";
import { type CompiledRouteTable, matchVirtualHost } from "../match/route-table.ts";
import { TcpSession } from "../tcp/tcp-proxy.ts";
import type { Connection } from "../transport/connection.ts";
import { httpStat } from "../http/http-stats.ts";

const idleTimeoutMs = 3_600_000;

/**
 * HTTP/2 on a connection manager, until its frames are spoken here: the connection goes as a whole to the one cluster
 * that its requests would go to, so that gRPC works, without per-request routing. Where requests could go to different
 * clusters it is refused with a clear line instead of being sent to the wrong one.
 */
export function passHttp2(
	manager: CompiledManager,
	connection: Connection,
	info: ConnectionInfo,
	bytes: Buffer | undefined,
	onOver: () => void,
	track: (state: "open" | "closed") => void,
): void {
	const { context, config } = manager;
	const cluster = soleCluster(manager.table(context.snapshot), info.localAddress);
	if (cluster === undefined) {
		context.log("warn", "HTTP/2 connection closed: its requests could go to several clusters, and HTTP/2 is not parsed", {
			statPrefix: config.statPrefix,
			destination: info.localAddress,
			client: info.remoteAddress,
		});
		connection.destroy();
		return onOver();
	}
	manager.count(httpStat.downstream_cx_http2_total);
	const proxy = {
		config: {
			kind: "tcpProxy",
			statPrefix: config.statPrefix,
			cluster: { kind: "cluster", name: cluster },
			idleTimeoutMs: config.idleTimeoutMs || idleTimeoutMs,
			connectAttemptsMax: 1,
			maxDownstreamConnectionDurationMs: config.maxConnectionDurationMs,
			hashPolicies: [],
			accessLogs: [],
		},
		context,
		hash: undefined,
		accessLogs: manager.accessLogs,
		istio: undefined,
		count() {},
	} as const;
	track("open");
	new TcpSession(proxy, connection, info, () => {
		track("closed");
		onOver();
	}).start({ cluster, bytes });
}

/** The table's only cluster, or that of the virtual host for the original destination. */
function soleCluster(table: CompiledRouteTable | undefined, destination: string): string | undefined {
	if (table === undefined) return undefined;
	const all = clustersOf(table.config.virtualHosts.flatMap((host) => host.routes));
	if (all.size === 1) return [...all][0];
	const host = matchVirtualHost(table, destination);
	const own = host === undefined ? new Set<string>() : clustersOf(host.config.routes);
	return own.size === 1 ? [...own][0] : undefined;
}

function clustersOf(routes: CompiledRouteTable["config"]["virtualHosts"][number]["routes"]): ReadonlySet<string> {
	const names = new Set<string>();
	for (const { action } of routes) {
		if (action.kind !== "route") continue;
		const { cluster } = action;
		if (cluster.kind === "weighted") for (const { name } of cluster.clusters) names.add(name);
		else names.add(cluster.kind === "cluster" ? cluster.name : `header ${cluster.name}`);
	}
	return names;
}
