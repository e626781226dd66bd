import { TrafficDirection } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import type { ProxyContext } from "../context.ts";
import { type GatewayServer, gatewayServers, splitServerHost } from "../routes/gateway-servers.ts";
import { buildAccessLogs } from "./access-log.ts";
import { addressOf, listenerName } from "./addresses.ts";
import { gatewayTlsSocket } from "./gateway-tls.ts";
import { buildGatewayConnectionManager } from "./http-connection-manager.ts";
import { tlsInspector } from "./listener-filters.ts";
import { type ListenerInput, listenerInput } from "./listener-input.ts";
import { handshakeTimeout } from "./outbound-draft.ts";

/** Listeners of a gateway: one for every bound port that the HTTP and HTTPS servers of its Gateways name, sorted by name. */
export function buildGatewayListeners(context: ProxyContext): readonly Listener[] {
	const input = listenerInput(context);
	const byAddress = new Map<string, GatewayServer[]>();
	for (const server of gatewayServers(context)) {
		if (server.routeName === undefined) continue;
		const name = listenerName({ ip: server.server.bind || "0.0.0.0", port: server.targetPort });
		const list = byAddress.get(name);
		if (list) list.push(server);
		else byAddress.set(name, [server]);
	}
	return [...byAddress].map(([name, servers]) => buildListener(context, input, name, servers)).sort((a, b) => (a.name < b.name ? -1 : 1));
}

function buildListener({ push }: ProxyContext, input: ListenerInput, name: string, servers: readonly GatewayServer[]): Listener {
	const [first] = servers;
	const chains = chainsOf(input, name, servers);
	return Listener.fromPartial({
		name,
		address: addressOf({ ip: first?.server.bind || "0.0.0.0", port: first?.targetPort ?? 0 }),
		filterChains: chains,
		listenerFilters: servers.some(isTls) ? [tlsInspector] : [],
		trafficDirection: TrafficDirection.OUTBOUND,
		maxConnectionsToAcceptPerSocketEvent: 1,
		accessLog: [...buildAccessLogs(push.meshConfig).listener],
	});
}

function isTls({ server }: GatewayServer): boolean {
	return (server.port.protocol ?? "").toUpperCase() === "HTTPS";
}

/** Plain HTTP is one chain for all servers of the port; each HTTPS server has its own, told apart by SNI. The older one keeps a name. */
function chainsOf(input: ListenerInput, name: string, servers: readonly GatewayServer[]): object[] {
	const claimed = new Set<string>();
	return servers.flatMap((entry) => {
		const serverNames = isTls(entry) ? sniOf(entry) : [""];
		const free = serverNames.filter((sni) => !claimed.has(sni) && Boolean(claimed.add(sni)));
		return free.length === 0 ? [] : [chainOf(input, name, entry, free)];
	});
}

/** The hosts to match by SNI; empty text stands for all. */
function sniOf({ server }: GatewayServer): readonly string[] {
	const hosts = server.hosts.map((text) => splitServerHost(text).host.toLowerCase());
	return hosts.includes("*") ? [""] : [...new Set(hosts)].sort();
}

function chainOf(input: ListenerInput, name: string, { server, routeName = "" }: GatewayServer, serverNames: readonly string[]): object {
	const names = serverNames.filter((sni) => sni !== "");
	return {
		...(names.length > 0 ? { filterChainMatch: { serverNames: names } } : {}),
		filters: [buildGatewayConnectionManager(input, `outbound_${name};`, routeName)],
		transportSocketConnectTimeout: handshakeTimeout,
		...(server.tls && routeName.startsWith("https.") ? { transportSocket: gatewayTlsSocket(input.meshConfig, server.tls) } : {}),
	};
}
