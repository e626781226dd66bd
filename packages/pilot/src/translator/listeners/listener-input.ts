import { isDualStack, wildcardIpOf } from "./addresses.ts";
import type { MeshConfig } from "@weft/api";
import type { ProxyContext } from "../context.ts";
import { dnsLookupFamily, type LookupFamily } from "../dynamic-dns.ts";
import { clientKey } from "../routes/client-key.ts";
import { type GatewayTopology, proxyConfigOf } from "./proxy-config.ts";
import { acceptsHttp10, buildTracing, workloadKey } from "./tracing.ts";

/** What every filter of every listener reads, whatever it listens for. */
export interface ListenerInput {
	readonly meshConfig: MeshConfig;
	readonly istioExtensions: boolean;
	readonly metrics: boolean;
	readonly tracing: object;
	readonly http10: boolean;
	readonly topology: GatewayTopology;
	/** The proxy listens on IPv6 beside IPv4. */
	readonly dualStack: boolean;
	/** Undefined: the proxy cannot resolve what a request names. */
	readonly dynamicDns: LookupFamily | undefined;
}

export function listenerInput({ push, node }: ProxyContext): ListenerInput {
	const { tracing, topology } = proxyConfigOf(push.meshConfig, node);
	return {
		meshConfig: push.meshConfig,
		istioExtensions: node.istioExtensions,
		metrics: push.mesh.prometheusMetrics,
		tracing: buildTracing(tracing, node),
		http10: acceptsHttp10(node),
		dualStack: isDualStack(node),
		topology,
		dynamicDns: node.dynamicForwardProxy ? dnsLookupFamily(node) : undefined,
	};
}

/** Nodes of one scope with equal keys get equal outbound listeners. */
export function listenerInputKey(context: ProxyContext): string {
	const { istioExtensions, interceptionMode, httpProxyPort } = context.node;
	const families = `${dnsLookupFamily(context.node)}|${wildcardIpOf(context.node)}|${isDualStack(context.node)}`;
	return `${families}|${istioExtensions}|${interceptionMode}|${httpProxyPort}|${workloadKey(context.node)}|${clientKey(context)}`;
}
