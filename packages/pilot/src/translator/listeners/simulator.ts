import { unpackAny } from "@weft/xds";
import type { CidrRange } from "@weft/xds/generated/envoy/config/core/v3/address.ts";
import type { FilterChain, FilterChainMatch } from "@weft/xds/generated/envoy/config/listener/v3/listener_components.ts";
import type { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import type { HeaderMatcher, Route, RouteMatch, VirtualHost } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import { HttpConnectionManager } from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import { TcpProxy } from "@weft/xds/generated/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.ts";
import type { StringMatcher } from "@weft/xds/generated/envoy/type/matcher/v3/string.ts";

// What an Envoy with these listeners and tables would do with a connection and a request: for tests that ask where traffic goes
// instead of what a message looks like. Only what our builders emit is understood.

export interface Call {
	/** Where the application dialled. */
	readonly ip: string;
	readonly port: number;
	/** What the client speaks: plain HTTP, opaque bytes, or TLS with an SNI and an ALPN. */
	readonly speaks: "http" | "tcp" | { readonly sni: string; readonly alpn?: readonly string[] };
	readonly authority?: string;
	readonly path?: string;
	readonly headers?: Readonly<Record<string, string>>;
}

export interface Outcome {
	readonly listener: string;
	/** Whether the chain that took the connection ends mutual TLS. */
	readonly mutualTls: boolean;
	/** Cluster and its share; empty where the proxy answers by itself. */
	readonly clusters: Readonly<Record<string, number>>;
	readonly status?: number;
}

export interface SimulatedProxy {
	readonly listeners: readonly Listener[];
	readonly table: (name: string) => RouteConfiguration | undefined;
}

/** Undefined: no filter chain takes the connection, and it is closed. */
export function simulate(proxy: SimulatedProxy, capture: "outbound" | "inbound", call: Call): Outcome | undefined {
	const listener = pickListener(proxy.listeners, capture, call);
	const chain = listener && pickChain(listener, call);
	if (listener === undefined || chain === undefined) return undefined;
	const base = { listener: listener.name, mutualTls: chain.transportSocket !== undefined };
	for (const { typedConfig } of chain.filters) {
		const tcp = unpackAny("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", TcpProxy, typedConfig);
		if (tcp) return { ...base, clusters: sharesOf(tcp.cluster, tcp.weightedClusters?.clusters ?? []) };
		const manager = unpackAny("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", HttpConnectionManager, typedConfig);
		if (manager) return { ...base, ...routeRequest(manager.routeConfig ?? proxy.table(manager.rds?.routeConfigName ?? ""), call) };
	}
	return undefined;
}

function sharesOf(cluster: string | undefined, weighted: readonly { readonly name: string; readonly weight: number | undefined }[]): Record<string, number> {
	if (cluster !== undefined) return { [cluster]: 1 };
	const total = weighted.reduce((sum, { weight }) => sum + (weight ?? 0), 0);
	return Object.fromEntries(weighted.map(({ name, weight }) => [name, (weight ?? 0) / total]));
}

/** virtualOutbound hands the connection to the listener of its original destination, or of its port at all addresses. */
function pickListener(listeners: readonly Listener[], capture: "outbound" | "inbound", { ip, port }: Call): Listener | undefined {
	const named = (name: string) => listeners.find((listener) => listener.name === name);
	if (capture === "inbound") return named("virtualInbound");
	return named(`${ip}_${port}`) ?? named(`0.0.0.0_${port}`) ?? named("virtualOutbound");
}

/**
 * Envoy narrows the chains criterion by criterion, in this order, and never goes back: chains that match are preferred to chains
 * that do not ask. https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/listener/v3/listener_components.proto#config-listener-v3-filterchainmatch
 */
function pickChain({ filterChains, defaultFilterChain }: Listener, { ip, port, speaks }: Call): FilterChain | undefined {
	const tls = typeof speaks === "object" ? speaks : undefined;
	const protocols = tls ? (tls.alpn ?? []) : speaks === "http" ? ["http/1.1"] : [];
	const criteria: readonly ((match: FilterChainMatch) => boolean | undefined)[] = [
		({ destinationPort }) => asked(destinationPort !== undefined, destinationPort === port),
		({ prefixRanges }) =>
			asked(
				prefixRanges.length > 0,
				prefixRanges.some((range) => inRange(ip, range)),
			),
		({ serverNames }) => asked(serverNames.length > 0, serverNames.includes(tls?.sni ?? "")),
		({ transportProtocol }) => asked(transportProtocol !== "", transportProtocol === (tls ? "tls" : "raw_buffer")),
		({ applicationProtocols }) =>
			asked(
				applicationProtocols.length > 0,
				applicationProtocols.some((protocol) => protocols.includes(protocol)),
			),
	];
	const verdict = (chain: FilterChain, criterion: (typeof criteria)[number]) => chain.filterChainMatch && criterion(chain.filterChainMatch);
	const left = criteria.reduce<readonly FilterChain[]>((chains, criterion) => {
		const matching = chains.filter((chain) => verdict(chain, criterion) === true);
		return matching.length > 0 ? matching : chains.filter((chain) => verdict(chain, criterion) === undefined);
	}, filterChains);
	return left[0] ?? defaultFilterChain;
}

/** Undefined where a chain does not ask. */
function asked(asks: boolean, holds: boolean): boolean | undefined {
	return asks ? holds : undefined;
}

function inRange(ip: string, { addressPrefix, prefixLen }: CidrRange): boolean {
	const shift = 32 - (prefixLen ?? 32);
	return shift >= 32 || Math.floor(numberOf(ip) / 2 ** shift) === Math.floor(numberOf(addressPrefix) / 2 ** shift);
}

function numberOf(ip: string): number {
	return ip.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

function routeRequest(table: RouteConfiguration | undefined, call: Call): Pick<Outcome, "clusters" | "status"> {
	const host = table && pickVirtualHost(table, call.authority ?? "");
	const route = host?.routes.find(({ match }) => match !== undefined && matchRoute(match, call));
	if (route === undefined) return { clusters: {}, status: 404 };
	return outcomeOf(route);
}

function outcomeOf({ route, directResponse, redirect }: Route): Pick<Outcome, "clusters" | "status"> {
	if (directResponse) return { clusters: {}, status: directResponse.status };
	if (redirect) return { clusters: {}, status: [301, 302, 303, 307, 308][redirect.responseCode] ?? 301 };
	return { clusters: sharesOf(route?.cluster, route?.weightedClusters?.clusters ?? []) };
}

/** Exact domains first, then the longest suffix wildcard, then `*`. */
function pickVirtualHost(table: RouteConfiguration, authority: string): VirtualHost | undefined {
	const host = table.ignorePortInHostMatching ? authority.replace(/:\d+$/, "") : authority;
	const byDomain = new Map(table.virtualHosts.flatMap((virtualHost) => virtualHost.domains.map((domain) => [domain, virtualHost])));
	const wildcards = [...byDomain.keys()].filter((domain) => domain.startsWith("*")).sort((a, b) => b.length - a.length);
	const wildcard = wildcards.find((domain) => host.endsWith(domain.slice(1)));
	return byDomain.get(host) ?? (wildcard === undefined ? undefined : byDomain.get(wildcard));
}

function matchRoute(match: RouteMatch, { path = "/", headers = {} }: Call): boolean {
	if (match.path !== undefined && match.path !== path) return false;
	if (match.prefix !== undefined && !path.startsWith(match.prefix)) return false;
	return match.safeRegex === undefined && match.headers.every((matcher) => matchHeader(matcher, headers[matcher.name]));
}

function matchHeader({ stringMatch, invertMatch }: HeaderMatcher, value: string | undefined): boolean {
	const matched = value !== undefined && (stringMatch === undefined || matchText(stringMatch, value));
	return matched !== invertMatch;
}

function matchText({ exact, prefix }: StringMatcher, value: string): boolean {
	return exact === undefined ? prefix !== undefined && value.startsWith(prefix) : exact === value;
}
