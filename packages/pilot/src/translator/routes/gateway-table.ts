import type { Server } from "@weft/api";
import { VirtualHost, VirtualHost_TlsRequirementType } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import { bySpecificity, isWildcard } from "../../model/hosts.ts";
import type { VirtualService } from "../../model/push.ts";
import { sameItems } from "../../model/reuse.ts";
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

interface TableDraft {
	readonly hosts: Map<string, HostDraft>;
	/** Routes of a VirtualService at a Gateway, as its first server of this table has them. */
	readonly routes: Map<string, readonly BuiltRoute[]>;
}

/** The route table of a gateway listener: all VirtualServices bound to its servers, joined host by host. */
export function buildGatewayTable(context: ProxyContext, name: string): EncodedResource | undefined {
	const servers = gatewayServers(context).filter(({ routeName }) => routeName === name);
	const [first] = servers;
	if (first === undefined) return undefined;
	const draft: TableDraft = { hosts: new Map(), routes: new Map() };
	for (const server of servers) addServer(context, server, draft);
	const hosts = joinAlike([...draft.hosts.values()]).map(encodeHosts);
	// A listener without any host refuses everything.
	const blackHole = encode({ name: `blackhole:${first.server.port.number}`, domains: ["*"] });
	return encodeTable(name, hosts.length > 0 ? hosts : [blackHole], { ignorePortInHostMatching: true });
}

function addServer(context: ProxyContext, { gateway, server }: GatewayServer, table: TableDraft): void {
	const port = server.port.number;
	const httpsOnly = server.tls?.httpsRedirect === true;
	for (const virtualService of boundTo(context, gateway).filter(({ spec }) => spec.http?.length)) {
		const hosts = hostsInCommon(gateway, server.hosts, virtualService);
		if (hosts.length === 0) continue;
		const key = `${gateway} ${virtualService.namespace}/${virtualService.name}`;
		const routes = table.routes.get(key) ?? routesOf(context, virtualService, gateway, server);
		if (routes.length === 0) continue;
		table.routes.set(key, routes);
		for (const host of hosts) {
			const draft = draftOf(table, host, port);
			draft.routes.push(...routes);
			draft.httpsOnly ||= httpsOnly;
		}
	}
	// Hosts that only redirect need no VirtualService.
	for (const text of httpsOnly ? server.hosts : []) draftOf(table, splitServerHost(text).host, port).httpsOnly = true;
}

function draftOf({ hosts }: TableDraft, name: string, port: number): HostDraft {
	const host = name.toLowerCase();
	const draft = hosts.get(host) ?? { host, port, routes: [], httpsOnly: false };
	hosts.set(host, draft);
	return draft;
}

/**
 * Hosts that have the very same routes are one virtual host, named by the most specific: routes are what makes a table large.
 * As istiod does it, a host joins only the one before it of those routes.
 */
function joinAlike(drafts: readonly HostDraft[]): readonly (readonly HostDraft[])[] {
	const groups: HostDraft[][] = [];
	const wildcardsLast = (a: HostDraft, b: HostDraft) => Number(isWildcard(a.host)) - Number(isWildcard(b.host)) || bySpecificity(a.host, b.host);
	for (const draft of drafts.toSorted(wildcardsLast)) {
		const last = groups.findLast(([first]) => first && sameItems(first.routes, draft.routes));
		if (last?.[0]?.httpsOnly === draft.httpsOnly) last.push(draft);
		else groups.push([draft]);
	}
	return groups;
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
		hashOf: (destination) => resolveDestinationHash(scope.destinationRule(destination.host), destination),
	};
	return buildHttpRoutes(virtualService, { namespace: node.namespace, labels: node.labels, gateways: new Set([gateway]) }, action);
}

function encodeHosts(alike: readonly HostDraft[]): Uint8Array {
	const [{ host, port, routes, httpsOnly }] = alike as readonly [HostDraft];
	// Several VirtualServices may each end in a catch-all: the routes of all of them come first.
	const specific = routes.filter(({ match }) => !isCatchAll(match));
	const rest = routes.filter(({ match }) => isCatchAll(match));
	return encode({
		name: `${host}:${port}`,
		domains: alike.map((draft) => draft.host),
		routes: [...specific, ...rest],
		includeRequestAttemptCount: true,
		...(httpsOnly ? { requireTls: VirtualHost_TlsRequirementType.ALL } : {}),
	});
}

function encode(partial: object): Uint8Array {
	return VirtualHost.encode(VirtualHost.fromPartial(partial)).finish();
}
