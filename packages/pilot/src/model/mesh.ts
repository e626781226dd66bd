import { type MeshConfig, parseDurationMs, resolveMeshConfig } from "@weft/api";
import type { Mesh } from "./push.ts";

const domain = "cluster.local";

/** MeshConfig over Istio's defaults, as far as the translator reads it. */
export function resolveMesh(user: MeshConfig, clusterId: string): Mesh {
	const config = resolveMeshConfig(user);
	const metrics = config.defaultProviders?.metrics ?? [];
	const prometheus = new Set((config.extensionProviders ?? []).filter((provider) => provider.prometheus !== undefined).map(({ name }) => name));
	return {
		clusterId,
		domain,
		trustDomain: config.trustDomain,
		rootNamespace: config.rootNamespace,
		connectTimeoutMs: parseDurationMs(config.connectTimeout) ?? 10_000,
		dnsRefreshRateMs: parseDurationMs(config.dnsRefreshRate) ?? 60_000,
		enableAutoMtls: config.enableAutoMtls,
		outboundTrafficPolicy: config.outboundTrafficPolicy.mode ?? "ALLOW_ANY",
		// Istio knows a provider of this name without it being declared.
		prometheusMetrics: metrics.some((name) => name === "prometheus" || prometheus.has(name)),
		config,
		networks: undefined,
	};
}
