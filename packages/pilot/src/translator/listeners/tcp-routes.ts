import type { L4MatchAttributes, RouteDestination, TLSMatchAttributes } from "@weft/api";
import type { DestinationRule, VirtualService } from "../../model/push.ts";
import type { Protocol, Service } from "../../model/service.ts";
import type { ProxyContext } from "../context.ts";
import { isResolvedByRequest, sniDynamicForwardProxyFilter } from "../dynamic-dns.ts";
import { outboundClusterName, unknownCluster } from "../routes/cluster-name.ts";
import { type StatNameInput, statName } from "../clusters/stat-name.ts";
import { hostForms, searchOf } from "../routes/domains.ts";
import { aliasIndex } from "../routes/table-plan.ts";
import { configMetadata, durationOf } from "../routes/values.ts";
import { cidrRange } from "./addresses.ts";
import type { Direction } from "./http-filters/filter.ts";
import type { ListenerInput } from "./listener-input.ts";
import { type AnyNetworkFilter, protocolFilters, tcpPolicies, tcpProxy } from "./network-filters.ts";
import type { ChainDraft, ChainMatch } from "./outbound-draft.ts";

/** What the filters of a TCP or TLS route are made of, besides the route. */
export interface TcpRouteInput {
	readonly context: ProxyContext;
	readonly listener: ListenerInput;
	readonly direction: Direction;
	/** The port that the client dialled. */
	readonly port: number;
	/** What the port is said to speak. */
	readonly protocol: Protocol;
	readonly virtualService: VirtualService | undefined;
}

/** One port of one service, as its TCP and TLS chains see it. */
export interface TcpChainInput extends Omit<TcpRouteInput, "virtualService"> {
	readonly service: Service;
	/** All that name the service, the oldest first. */
	readonly virtualServices: readonly VirtualService[];
	/** The port carries TLS, so SNI is there to be read. */
	readonly tls: boolean;
	/** The service has a range instead of an address, and the listener takes all addresses. */
	readonly cidr: string | undefined;
	/** Nothing but SNI tells this service from others on the listener. */
	readonly bySni: boolean;
}

/** `mesh`, or the one gateway that a listener stands for. */
const mesh = "mesh";

/** Chains of one service port that is not HTTP, the most specific first. */
export function buildTcpChains(input: TcpChainInput): readonly ChainDraft[] {
	return input.tls ? tlsChains(input) : tcpChains(input);
}

function tlsChains(input: TcpChainInput): readonly ChainDraft[] {
	const handled = new Set<string>();
	const chains: ChainDraft[] = [];
	for (const virtualService of input.virtualServices) {
		for (const { match: matches, route } of virtualService.spec.tls ?? []) {
			for (const match of matches) {
				if (!appliesTo(match, input, mesh)) continue;
				// Matches that differ only in what is decided here are one match to Envoy; the first holds.
				const ranges = match.destinationSubnets?.length ? match.destinationSubnets : listOf(input.cidr);
				const chainMatch = matchOf(match.sniHosts, ranges);
				const key = JSON.stringify(chainMatch);
				if (handled.has(key)) continue;
				handled.add(key);
				chains.push(chain({ ...input, virtualService }, chainMatch, route ?? []));
			}
		}
	}
	if (chains.length > 0) return chains;
	const sniHosts = input.bySni || input.cidr !== undefined ? [input.service.hostname, ...aliasNames(input)] : [];
	return [{ kind: "tcp", match: matchOf(sniHosts, listOf(input.cidr)), filters: ownFilters(input) }];
}

/** Clients may call the service by the name of an ExternalName that stands for it. */
function aliasNames({ context: { scope, node }, service }: TcpChainInput): readonly string[] {
	return (aliasIndex(scope).get(service.hostname) ?? []).flatMap((alias) => hostForms(alias, searchOf(node)));
}

function tcpChains(input: TcpChainInput): readonly ChainDraft[] {
	const chains: ChainDraft[] = [];
	for (const virtualService of input.virtualServices) {
		const own = { ...input, virtualService };
		for (const { match: matches, route } of virtualService.spec.tcp ?? []) {
			const applying = (matches ?? []).filter((match) => appliesTo(match, input, mesh));
			if (matches?.length && applying.length === 0) continue;
			const subnets = applying.flatMap(({ destinationSubnets }) => destinationSubnets ?? []);
			const anyAddress = applying.length === 0 || applying.some(({ destinationSubnets }) => !destinationSubnets?.length);
			if (anyAddress) return [...chains, chain(own, matchOf([], listOf(input.cidr)), route ?? [])];
			// istiod names the VirtualService on every chain but this one; we keep to it.
			chains.push({ ...chain(own, matchOf([], subnets), route ?? []), metadata: undefined });
		}
	}
	return [...chains, { kind: "tcp", match: matchOf([], listOf(input.cidr)), filters: ownFilters(input) }];
}

function chain(input: TcpRouteInput, match: ChainMatch | undefined, routes: readonly RouteDestination[]): ChainDraft {
	const path = input.virtualService?.configPath;
	return { kind: "tcp", match, filters: routeFilters(input, routes), metadata: path === undefined ? undefined : configMetadata(path) };
}

function listOf(value: string | undefined): readonly string[] {
	return value === undefined ? [] : [value];
}

function matchOf(serverNames: readonly string[], ranges: readonly string[]): ChainMatch | undefined {
	if (serverNames.length === 0 && ranges.length === 0) return undefined;
	return {
		...(serverNames.length > 0 ? { serverNames: [...new Set(serverNames)].sort() } : {}),
		...(ranges.length > 0 ? { prefixRanges: [...new Set(ranges)].sort().map(cidrRange) } : {}),
	};
}

/** The part of a match that is decided at translation time: port, gateways and source. */
export function appliesTo(
	match: L4MatchAttributes | TLSMatchAttributes,
	{ context: { node }, direction, port }: Pick<TcpRouteInput, "context" | "direction" | "port">,
	gateway: string,
): boolean {
	if (match.port !== undefined && match.port !== 0 && match.port !== port) return false;
	if (match.gateways?.length && !match.gateways.includes(gateway)) return false;
	// A gateway is no source: it takes the route of whatever clients.
	if (direction === "gateway") return true;
	if (match.sourceNamespace && match.sourceNamespace !== node.namespace) return false;
	return Object.entries(match.sourceLabels ?? {}).every(([key, value]) => node.labels[key] === value);
}

/** Network filters that take a connection to the destinations of a route. */
export function routeFilters(input: TcpRouteInput, routes: readonly RouteDestination[]): readonly AnyNetworkFilter[] {
	const [first] = routes;
	const { scope } = input.context;
	const rule = first ? scope.destinationRule(first.destination.host) : undefined;
	if (routes.length === 1 && first) {
		const { destination } = first;
		const service = scope.serviceByHost.get(destination.host);
		const cluster = clusterOf(input, first);
		const counted = service && { service, port: dialledPort(input), subset: destination.subset ?? "" };
		return singleDestination(input, { cluster, counted }, rule, destination.subset);
	}
	const clusters = routes.filter(({ weight }) => (weight ?? 0) > 0).map((route) => ({ name: clusterOf(input, route), weight: route.weight ?? 0 }));
	const { name = "", namespace = "" } = input.virtualService ?? {};
	const statPrefix = `${name}.${namespace}`;
	const config = { statPrefix, weightedClusters: { clusters }, ...poolFields(rule, undefined), ...tunnelFields(rule, undefined) };
	const proxy = tcpProxy(input.listener, input.direction, config);
	return [...tcpPolicies(input.listener, input.direction, input.port), ...protocolFilters(input.protocol, statPrefix), proxy];
}

/** Without a port, a destination with one port means that one, any other the port that the client dialled. */
function clusterOf({ context: { scope }, port }: TcpRouteInput, { destination }: RouteDestination): string {
	const service = scope.serviceByHost.get(destination.host);
	const ports = service?.ports ?? [];
	const sole = ports.length === 1 ? ports[0]?.port : undefined;
	if (destination.host === "") return unknownCluster;
	return outboundClusterName(destination.port?.number ?? sole ?? port, destination.subset ?? "", service?.externalName ?? destination.host);
}

function ownFilters(input: TcpChainInput): readonly AnyNetworkFilter[] {
	const { service, port, context } = input;
	const [only] = service.ports;
	const clusterPort = service.ports.length === 1 && only ? only.port : port;
	const cluster = outboundClusterName(clusterPort, "", service.hostname);
	const { dynamicDns } = input.listener;
	const own = service.ports.find((candidate) => candidate.port === clusterPort);
	const resolved = input.tls && dynamicDns !== undefined && own !== undefined && isResolvedByRequest(service, own);
	const resolver = resolved ? [sniDynamicForwardProxyFilter(service.hostname, dynamicDns, port)] : [];
	const counted = { service, port: { port: clusterPort }, subset: "" };
	return singleDestination(input, { cluster, counted }, context.scope.destinationRule(service.hostname), undefined, resolver);
}

type Counted = Pick<StatNameInput, "service" | "port" | "subset">;

function singleDestination(
	{ listener, direction, port: dialled, protocol }: Omit<TcpRouteInput, "virtualService">,
	{ cluster, counted }: { readonly cluster: string; readonly counted: Counted | undefined },
	rule: DestinationRule | undefined,
	subset: string | undefined,
	resolver: readonly AnyNetworkFilter[] = [],
): readonly AnyNetworkFilter[] {
	const pattern = listener.meshConfig.outboundClusterStatName;
	const statPrefix = counted ? statName({ pattern, clusterName: cluster, targetPort: 0, ...counted }) : cluster;
	const config = { statPrefix, cluster, ...poolFields(rule, subset), ...tunnelFields(rule, subset) };
	return [...tcpPolicies(listener, direction, dialled), ...resolver, ...protocolFilters(protocol, statPrefix), tcpProxy(listener, direction, config)];
}

/** The port as its service calls it, where the client dialled a service. */
function dialledPort({ port, service }: Pick<TcpRouteInput, "port"> & Partial<Pick<TcpChainInput, "service">>): Counted["port"] {
	return service?.ports.find((candidate) => candidate.port === port) ?? { port };
}

/**
 * What of a DestinationRule belongs to the connection from the application: its lifetimes, and hashing by its address.
 * As in istiod, settings of ports and subsets do not reach that far.
 */
function poolFields(rule: DestinationRule | undefined, subset: string | undefined): object {
	const tcp = rule?.trafficPolicy?.connectionPool?.tcp;
	const idleTimeout = durationOf(tcp?.idleTimeout);
	const lifetime = durationOf(tcp?.maxConnectionDuration);
	return {
		...(idleTimeout ? { idleTimeout } : {}),
		...(lifetime ? { maxDownstreamConnectionDuration: lifetime } : {}),
		...(hashesBySource(rule, subset) ? { hashPolicy: [{ sourceIp: {} }] } : {}),
	};
}

/** A subset's balancer counts before the rule's, whatever it is; settings of a port do not count. */
function hashesBySource(rule: DestinationRule | undefined, subset: string | undefined): boolean {
	const ofSubset = subset ? rule?.subsets.find(({ name }) => name === subset)?.trafficPolicy?.loadBalancer : undefined;
	return (ofSubset ?? rule?.trafficPolicy?.loadBalancer)?.consistentHash?.useSourceIp === true;
}

/** https://istio.io/latest/docs/reference/config/networking/destination-rule/#TrafficPolicy-TunnelSettings */
function tunnelFields(rule: DestinationRule | undefined, subset: string | undefined): object {
	const policy = subset ? rule?.subsets.find(({ name }) => name === subset)?.trafficPolicy : rule?.trafficPolicy;
	const tunnel = policy?.tunnel;
	if (tunnel === undefined) return {};
	return { tunnelingConfig: { hostname: `${tunnel.targetHost}:${tunnel.targetPort}`, usePost: tunnel.protocol === "POST" } };
}
