import type { ProxyContext } from "../context.ts";

/**
 * Ports at which a sidecar itself listens at all addresses: those of captured traffic, and what its bootstrap serves beside what the
 * control plane sends (15021 and 15090 of a pod), which its metadata names. A listener of ours there would be refused, or shadow them.
 */
export function ownPorts({ push: { meshConfig }, node: { metadata } }: ProxyContext): ReadonlySet<number> {
	const served = [metadata["ENVOY_STATUS_PORT"], metadata["ENVOY_PROMETHEUS_PORT"]].map(Number).filter((port) => port > 0);
	return new Set([meshConfig.proxyListenPort ?? 15_001, meshConfig.proxyInboundListenPort ?? 15_006, ...served]);
}

/** Ports below need a right that a pod may not have: to ask for one would have the whole listener refused. */
const privilegedPorts = 1024;

/** The lowest port that a proxy may bind. */
export function lowestPort({ node: { metadata } }: ProxyContext): number {
	return metadata["UNPRIVILEGED_POD"] === "true" ? privilegedPorts : 0;
}
