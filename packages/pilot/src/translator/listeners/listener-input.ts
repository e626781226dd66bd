import { isDualStack, wildcardIpOf } from "./addresses.ts";
import type { MeshConfig } from "@weft/api";
import type { ProxyContext } from "../context.ts";
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
	};
}

/** Nodes of one scope with equal keys get equal outbound listeners. */
export function listenerInputKey(context: ProxyContext): string {
	const { istioExtensions, interceptionMode, httpProxyPort } = context.node;
	return `${istioExtensions}|${interceptionMode}|${wildcardIpOf(context.node)}|${isDualStack(context.node)}|${httpProxyPort}|${workloadKey(context.node)}|${clientKey(context)}`;
}
