import { type MeshConfig, parseDurationMs, resolveMeshConfig } from "@weft/api";
import type { Mesh } from "./push.ts";

const domain = "cluster.local";

/** MeshConfig over Istio's defaults, as far as the translator reads it. */
export function resolveMesh(user: MeshConfig, clusterId: string): Mesh {
	const config = resolveMeshConfig(user);
	return {
		clusterId,
		domain,
		trustDomain: config.trustDomain,
		trustDomains: [...new Set([config.trustDomain, ...[...(config.trustDomainAliases ?? [])].sort()])],
		rootNamespace: config.rootNamespace,
		connectTimeoutMs: parseDurationMs(config.connectTimeout) ?? 10_000,
		dnsRefreshRateMs: parseDurationMs(config.dnsRefreshRate) ?? 60_000,
		enableAutoMtls: config.enableAutoMtls,
		outboundTrafficPolicy: config.outboundTrafficPolicy.mode ?? "ALLOW_ANY",
		config,
		networks: undefined,
	};
}
