import type { MeshConfig } from "@weft/api";
import type { ProxyContext } from "../context.ts";
import { clientKey } from "../routes/client-key.ts";
import { buildTracing, tracingKey } from "./tracing.ts";

/** What every filter of every listener reads, whatever it listens for. */
export interface ListenerInput {
	readonly meshConfig: MeshConfig;
	readonly istioExtensions: boolean;
	readonly metrics: boolean;
	readonly tracing: object;
}

export function listenerInput({ push, node }: ProxyContext): ListenerInput {
	return {
		meshConfig: push.meshConfig,
		istioExtensions: node.istioExtensions,
		metrics: push.mesh.prometheusMetrics,
		tracing: buildTracing(push.meshConfig, node),
	};
}

/** Nodes of one scope with equal keys get equal outbound listeners. */
export function listenerInputKey(context: ProxyContext): string {
	const { istioExtensions, interceptionMode, httpProxyPort } = context.node;
	return `${istioExtensions}|${interceptionMode}|${httpProxyPort}|${tracingKey(context.node)}|${clientKey(context)}`;
}
