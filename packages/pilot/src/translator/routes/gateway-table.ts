import type { Server } from "@weft/api";
import { VirtualHost, VirtualHost_TlsRequirementType } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { VirtualService } from "../../model/push.ts";
import type { EncodedResource, ProxyContext } from "../context.ts";
import { boundTo, type GatewayServer, gatewayServers, hostsInCommon, splitServerHost } from "./gateway-servers.ts";
import { resolveDestinationHash } from "./hash-policy.ts";
import { type BuiltRoute, buildHttpRoutes } from "./http-routes.ts";
import type { ActionInput } from "./route-action.ts";
import { isCatchAll } from "./route-match.ts";
import { encodeTable } from "./table-encoder.ts";

interface HostDraft {
	readonly host: string;
	readonly port: number;
	readonly routes: BuiltRoute[];
	httpsOnly: boolean;
}

/** The route table of a gateway listener: all VirtualServices bound to its servers, joined host by host. */
export function buildGatewayTable(context: ProxyContext, name: string): EncodedResource | undefined {
	const servers = gatewayServers(context).filter(({ routeName }) => routeName === name);
	const [first] = servers;
	if (first === undefined) return undefined;
	const drafts = new Map<string, HostDraft>();
	for (const server of servers) addServer(context, server, drafts);
	const hosts = [...drafts.values()].map(encodeHost);
	// A listener without any host refuses everything.
	const blackHole = encode({ name: `blackhole:${first.server.port.number}`, domains: ["*"] });
	return encodeTable(name, hosts.length > 0 ? hosts : [blackHole], { ignorePortInHostMatching: true });
}

function addServer(context: ProxyContext, { gateway, server }: GatewayServer, drafts: Map<string, HostDraft>): void {
	const port = server.port.number;
	const httpsOnly = server.tls?.httpsRedirect === true;
	for (const virtualService of boundTo(context, gateway).filter(({ spec }) => spec.http?.length)) {
		const hosts = hostsInCommon(gateway, server.hosts, virtualService);
		if (hosts.length === 0) continue;
		const routes = routesOf(context, virtualService, gateway, server);
		if (routes.length === 0) continue;
		for (const host of hosts) {
			const draft = draftOf(drafts, host, port);
			draft.routes.push(...routes);
			draft.httpsOnly ||= httpsOnly;
		}
	}
	// Hosts that only redirect need no VirtualService.
	for (const text of httpsOnly ? server.hosts : []) draftOf(drafts, splitServerHost(text).host, port).httpsOnly = true;
}

function draftOf(drafts: Map<string, HostDraft>, host: string, port: number): HostDraft {
	const key = host.toLowerCase();
	const draft = drafts.get(key) ?? { host, port, routes: [], httpsOnly: false };
	drafts.set(key, draft);
	return draft;
}

function routesOf({ push, scope, node }: ProxyContext, virtualService: VirtualService, gateway: string, server: Server): readonly BuiltRoute[] {
	const listenPort = server.port.number;
	const action: ActionInput = {
		listenPort,
		tls: server.tls !== undefined && !server.tls.httpsRedirect,
		defaultRetry: push.meshConfig.defaultHttpRetryPolicy,
		solePort: (host) => {
			const ports = scope.serviceByHost.get(host)?.ports ?? [];
			return ports.length === 1 ? ports[0]?.port : undefined;
		},
		aliasOf: (host) => scope.serviceByHost.get(host)?.externalName,
		hashOf: (destination) => resolveDestinationHash(scope.destinationRule(destination.host), destination, listenPort),
	};
	return buildHttpRoutes(virtualService, { namespace: node.namespace, labels: node.labels, gateways: new Set([gateway]) }, action);
}

function encodeHost({ host, port, routes, httpsOnly }: HostDraft): Uint8Array {
	// Several VirtualServices may each end in a catch-all: the routes of all of them come first.
	const specific = routes.filter(({ match }) => !isCatchAll(match));
	const rest = routes.filter(({ match }) => isCatchAll(match));
	return encode({
		name: `${host}:${port}`,
		domains: [host],
		routes: [...specific, ...rest],
		includeRequestAttemptCount: true,
		...(httpsOnly ? { requireTls: VirtualHost_TlsRequirementType.ALL } : {}),
	});
}

function encode(partial: object): Uint8Array {
	return VirtualHost.encode(VirtualHost.fromPartial(partial)).finish();
}
