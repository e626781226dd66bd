import type { ProxyContext } from "../context.ts";
import { gatewayServers } from "../routes/gateway-servers.ts";

/** The ports that Gateways name, of the route table `http.<container port>`: users know the gateway's Service, not its pods. */
export function servicePortsOf(context: ProxyContext, name: string): readonly number[] {
	const servers = gatewayServers(context).filter(({ routeName }) => routeName === name);
	return [...new Set(servers.map(({ server }) => server.port.number))].sort((a, b) => a - b);
}
