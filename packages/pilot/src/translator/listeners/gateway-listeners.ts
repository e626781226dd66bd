import { exactBalance } from "./connection-balance.ts";
import { TrafficDirection } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { compareText } from "../../model/age.ts";
import { serverSecretsOf } from "../../model/mounted-certificates.ts";
import type { ProxyContext } from "../context.ts";
import { type GatewayServer, gatewayServers, splitServerHost } from "../routes/gateway-servers.ts";
import { addressOf, listenerName, type SocketAddressValue } from "./addresses.ts";
import { type GatewayChain, gatewayTcpChains } from "./gateway-tcp.ts";
import { gatewayTlsSocket } from "./gateway-tls.ts";
import { buildGatewayConnectionManager } from "./http-connection-manager.ts";
import { proxyProtocol, tlsInspector } from "./listener-filters.ts";
import { type ListenerInput, listenerInput } from "./listener-input.ts";
import { connectionExtensions } from "./network-filters.ts";
import { handshakeTimeout } from "./outbound-draft.ts";

/** Listeners of a gateway: one for every port that the servers of its Gateways name, sorted by name. */
export function buildGatewayListeners(context: ProxyContext): readonly Listener[] {
	const input = listenerInput(context);
	const byAddress = new Map<string, GatewayServer[]>();
	for (const server of gatewayServers(context)) {
		const name = listenerName(addressFor(server));
		const list = byAddress.get(name);
		if (list) list.push(server);
		else byAddress.set(name, [server]);
	}
	return [...byAddress.values()].flatMap((servers) => buildListener(context, input, servers) ?? []).sort((a, b) => compareText(a.name, b.name));
}

function addressFor({ server, targetPort }: GatewayServer): SocketAddressValue {
	return { ip: server.bind || "0.0.0.0", port: targetPort };
}

/** Undefined where no server of the port has anything to serve: an empty listener would be refused. */
function buildListener(context: ProxyContext, input: ListenerInput, servers: readonly GatewayServer[]): Listener | undefined {
	const [first] = servers;
	const chains = withoutOverlap(servers.flatMap((entry) => chainsOf(context, input, entry)));
	if (first === undefined || chains.length === 0) return undefined;
	const address = addressFor(first);
	return Listener.fromPartial({
		name: listenerName(address),
		address: addressOf(address),
		filterChains: chains.map(({ chain }) => chain),
		// What stands before the first byte of TLS must be read first.
		listenerFilters: [...(input.topology.proxyProtocol ? [proxyProtocol] : []), ...(chains.some(({ usesTls }) => usesTls) ? [tlsInspector] : [])],
		trafficDirection: TrafficDirection.OUTBOUND,
		...exactBalance(input.balance.outbound),
		maxConnectionsToAcceptPerSocketEvent: 1,
		accessLog: [...input.of("gateway").policies.accessLogs.listener],
	});
}

function chainsOf(context: ProxyContext, input: ListenerInput, entry: GatewayServer): readonly GatewayChain[] {
	const { server, routeName } = entry;
	if (routeName === undefined) return gatewayTcpChains(context, input, entry);
	const { protocol } = server.port;
	const { name } = server;
	// Plain servers share a chain, so that none of them can name it.
	const statPrefix = name && routeName.startsWith("https.") ? name : `outbound_${listenerName(addressFor(entry))};`;
	const grpcWeb = protocol?.toUpperCase() === "GRPC-WEB";
	const filters = [
		...connectionExtensions(input, "gateway", entry.targetPort),
		buildGatewayConnectionManager(input, { statPrefix, routeName, port: entry.targetPort, grpcWeb }),
	];
	// Plain HTTP servers of one port share a chain: their route table tells the hosts apart.
	if (!routeName.startsWith("https.") || server.tls === undefined) return [{ serverNames: [], filters }];
	const hosts = server.hosts.map((text) => splitServerHost(text).host);
	const serverNames = hosts.includes("*") ? [] : [...new Set(hosts)].sort();
	return [{ serverNames, filters, transportSocket: gatewayTlsSocket(input.meshConfig, server.tls, "http", serverSecretsOf(context.node)) }];
}

/** Envoy refuses a listener in which two chains match one name: the older server keeps it. */
function withoutOverlap(chains: readonly GatewayChain[]): readonly { readonly chain: object; readonly usesTls: boolean }[] {
	const claimed = new Set<string>();
	return chains.flatMap(({ serverNames, bySni = serverNames.length > 0, applicationProtocols, filters, transportSocket }) => {
		const wanted = serverNames.length > 0 ? serverNames : [""];
		const free = wanted.filter((name) => !claimed.has(name.toLowerCase()) && Boolean(claimed.add(name.toLowerCase())));
		if (free.length === 0) return [];
		const names = free.filter((name) => name !== "");
		const match = names.length > 0 ? { filterChainMatch: { serverNames: names, applicationProtocols: applicationProtocols ?? [] } } : {};
		const socket = transportSocket ? { transportSocket } : {};
		const chain = { ...match, filters, transportSocketConnectTimeout: handshakeTimeout, ...socket };
		return [{ chain, usesTls: transportSocket !== undefined || bySni }];
	});
}
