import { hostCovers } from "../../model/hosts.ts";
import { serverSecretsOf } from "../../model/mounted-certificates.ts";
import { declaredProtocol } from "../../model/protocol.ts";
import type { VirtualService } from "../../model/push.ts";
import type { ProxyContext } from "../context.ts";
import { statName } from "../clusters/stat-name.ts";
import { boundTo, type GatewayServer, hostsInCommon, passesTls, splitServerHost } from "../routes/gateway-servers.ts";
import { sniClusterName } from "../routes/cluster-name.ts";
import { gatewayTlsSocket } from "./gateway-tls.ts";
import type { ListenerInput } from "./listener-input.ts";
import { type AnyNetworkFilter, inboundPrefix, tcpFilters } from "./network-filters.ts";
import { appliesTo, routeFilters, type TcpRouteInput } from "./tcp-routes.ts";

/** A filter chain of a gateway, with the server names it matches; without any it takes every connection. */
export interface GatewayChain {
	readonly serverNames: readonly string[];
	/** Chosen by SNI even without server names: by a route for every name. */
	readonly bySni?: boolean;
	readonly applicationProtocols?: readonly string[];
	readonly filters: readonly AnyNetworkFilter[];
	readonly transportSocket?: object;
}

/** Chains of a server that does not speak HTTP: TLS passed through by SNI, TLS ended here, or plain TCP. */
export function gatewayTcpChains(context: ProxyContext, listener: ListenerInput, entry: GatewayServer): readonly GatewayChain[] {
	if (entry.server.tls?.mode === "AUTO_PASSTHROUGH") return autoPassthroughChains(context, listener, entry);
	const bound = boundTo(context, entry.gateway).filter((virtualService) => hostsInCommon(entry.gateway, entry.server.hosts, virtualService).length > 0);
	const input = { context, listener, direction: "gateway", port: entry.server.port.number, protocol: declaredProtocol(entry.server.port.protocol) } as const;
	const passThrough = passesTls(entry.server);
	return bound.flatMap((virtualService) => (passThrough ? tlsChains : tcpChains)({ ...input, virtualService }, entry, virtualService));
}

/** The ALPN of the mesh's own mutual TLS: other TLS has no business here. */
const meshAlpn = ["istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"];

/** A chain for each port and subset of the mesh's own services that the server's hosts cover, by the SNI that clients in the mesh send. */
function autoPassthroughChains({ scope }: ProxyContext, listener: ListenerInput, { server }: GatewayServer): readonly GatewayChain[] {
	const hosts = server.hosts.map((text) => splitServerHost(text).host);
	const services = scope.services.filter(
		({ hostname, meshExternal, resolution }) => !meshExternal && resolution !== "Alias" && hosts.some((host) => hostCovers(host, hostname)),
	);
	const pattern = listener.meshConfig.outboundClusterStatName;
	return services.flatMap((service) => {
		const { hostname, ports } = service;
		const subsets = ["", ...(scope.destinationRule(hostname)?.subsets.map(({ name }) => name) ?? [])];
		return ports
			.filter(({ protocol }) => protocol !== "UDP")
			.flatMap((port) =>
				subsets.map((subset): GatewayChain => {
					const name = sniClusterName(port.port, subset, hostname);
					const prefix = statName({ pattern, clusterName: name, service, port, targetPort: 0, subset });
					return { serverNames: [name], applicationProtocols: meshAlpn, filters: tcpFilters(listener, "gateway", name, { statPrefix: prefix }) };
				}),
			);
	});
}

function tlsChains(input: TcpRouteInput, { gateway }: GatewayServer, { spec }: VirtualService): readonly GatewayChain[] {
	return (spec.tls ?? []).flatMap(({ match, route }) =>
		match
			.filter((attributes) => appliesTo(attributes, input, gateway))
			.map(({ sniHosts }) => ({ serverNames: sniHosts.includes("*") ? [] : [...sniHosts].sort(), bySni: true, filters: routeFilters(input, route ?? []) })),
	);
}

function tcpChains(input: TcpRouteInput, { gateway, server }: GatewayServer, { spec, semantics }: VirtualService): readonly GatewayChain[] {
	// Nothing tells two TCP routes apart: the first that is for this gateway and port has all. A TLSRoute is one where TLS ends here.
	const routes = [...(spec.tcp ?? []), ...(semantics === "gateway" && server.tls ? (spec.tls ?? []) : [])];
	const found = routes.find(({ match }) => !match?.length || match.some((attributes) => appliesTo(attributes, input, gateway)));
	if (found === undefined) return [];
	// Peers of the mesh tell who they are over the connection itself.
	const exchange = server.tls?.mode === "ISTIO_MUTUAL" ? inboundPrefix(input.listener) : [];
	const filters = [...exchange, ...routeFilters(input, found.route ?? [])];
	if (server.tls === undefined) return [{ serverNames: [], filters }];
	const hosts = server.hosts.map((text) => splitServerHost(text).host);
	const serverNames = hosts.includes("*") ? [] : [...new Set(hosts)].sort();
	return [{ serverNames, filters, transportSocket: gatewayTlsSocket(input.context.push.meshConfig, server.tls, "tcp", serverSecretsOf(input.context.node)) }];
}
