import { hasBothFamilies, isDualStack, wildcardIpOf } from "./addresses.ts";
import type { MeshConfig } from "@weft/api";
import { keepsSessions } from "../../model/session-persistence.ts";
import type { ProxyContext } from "../context.ts";
import { durationOf } from "../routes/values.ts";
import { dnsLookupFamily, type LookupFamily } from "../dynamic-dns.ts";
import { identityOf } from "../memo.ts";
import { type Extension, wantsTraffic } from "../policy/extensions.ts";
import { type DirectionPolicies, directionPolicies } from "../policy/workload-policies.ts";
import { clientKey } from "../routes/client-key.ts";
import { familiesOf } from "../routes/domains.ts";
import { type ConnectionBalance, connectionBalanceOf } from "./connection-balance.ts";
import type { Direction } from "./http-filters/filter.ts";
import { lowestPort, ownPorts } from "./own-ports.ts";
import { type GatewayTopology, proxyConfigOf } from "./proxy-config.ts";
import type { ProxyHeaders } from "./proxy-headers.ts";
import { acceptsHttp10, buildTracing, idleTimeoutOf, type HttpTracing, workloadKey } from "./tracing.ts";
import { spanNames } from "./tracing-service-name.ts";

/** What every filter of every listener reads, whatever it listens for. */
export interface ListenerInput {
	readonly meshConfig: MeshConfig;
	readonly istioExtensions: boolean;
	readonly http10: boolean;
	readonly topology: GatewayTopology;
	/** The proxy listens on IPv6 beside IPv4. */
	readonly dualStack: boolean;
	/** The proxy has addresses of both families: what it captures may be of either. */
	readonly bothFamilies: boolean;
	readonly balance: ConnectionBalance;
	/** Undefined: the proxy cannot resolve what a request names. */
	readonly dynamicDns: LookupFamily | undefined;
	readonly headers: ProxyHeaders;
	/** Some route of the proxy keeps sessions: there must be a filter that it can configure. */
	readonly sessions: boolean;
	/** Refusals tell their reason to the caller. */
	readonly reasonHeader: boolean;
	/** Of connections from clients; undefined: as Envoy has it. */
	readonly idleTimeout: Duration | undefined;
	readonly of: (direction: Direction) => DirectionInput;
}

type Duration = NonNullable<ReturnType<typeof durationOf>>;

export interface DirectionInput {
	readonly policies: DirectionPolicies;
	readonly tracing: HttpTracing;
}

export function listenerInput(context: ProxyContext): ListenerInput {
	const { push, node } = context;
	const { tracing: proxy, topology, headers, reasonHeader } = proxyConfigOf(push.meshConfig, node);
	const known: Partial<Record<Direction, DirectionInput>> = {};
	const of = (direction: Direction): DirectionInput => {
		const policies = directionPolicies(push, node, direction);
		const tracing = buildTracing({ mesh: push.meshConfig, node, proxy, plan: policies.tracing, services: push.servicesByHost });
		return { policies, tracing };
	};
	return {
		meshConfig: push.meshConfig,
		istioExtensions: node.istioExtensions,
		http10: acceptsHttp10(node),
		dualStack: isDualStack(node),
		bothFamilies: familiesOf(node) === "both",
		balance: connectionBalanceOf(node),
		topology,
		headers,
		sessions: hasSessions(context),
		reasonHeader,
		idleTimeout: idleTimeoutOf(node),
		of: (direction) => (known[direction] ??= of(direction)),
		dynamicDns: node.dynamicForwardProxy ? dnsLookupFamily(node) : undefined,
	};
}

function hasSessions({ push, scope, node }: ProxyContext): boolean {
	return node.kind === "router" ? keepsSessions(push.virtualServices) : scope.egress.some(({ virtualServices }) => keepsSessions(virtualServices));
}

/** Filters of the user's own that want traffic of this direction to this port. */
export function extensionsOn(input: ListenerInput, direction: Direction, port: number): readonly Extension[] {
	return input.of(direction).policies.extensions.filter((extension) => wantsTraffic(extension, direction, port));
}

/** Nodes of one scope with equal keys get equal outbound listeners. */
export function listenerInputKey(context: ProxyContext): string {
	const { istioExtensions, interceptionMode, httpProxyPort } = context.node;
	const policies = directionPolicies(context.push, context.node, "outbound");
	// Tracers call a proxy by its cluster; where nothing is traced, workloads that are told apart by that alone share listeners.
	const traced = policies.tracing?.provider === undefined ? "" : spanNames(context.node);
	const listens = `${interceptionMode}|${dnsLookupFamily(context.node)}|${wildcardIpOf(context.node)}|${isDualStack(context.node)}|${hasBothFamilies(context.node)}|${httpProxyPort}|${hasSessions(context)}|${[...ownPorts(context)].join()}|${lowestPort(context)}`;
	return `${istioExtensions}|${listens}|${identityOf(policies)}|${traced}|${workloadKey(context.node)}|${clientKey(context)}`;
}
