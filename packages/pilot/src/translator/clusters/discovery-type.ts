import { isWildcard } from "../../model/hosts.ts";
import type { ProxyNode } from "../../model/proxy-node.ts";
import type { Service, ServicePort } from "../../model/service.ts";
import { isResolvedByRequest } from "../dynamic-dns.ts";
import type { EffectivePolicy } from "./traffic-policy.ts";

export type DiscoveryType = "EDS" | "STRICT_DNS" | "LOGICAL_DNS" | "ORIGINAL_DST" | "DYNAMIC_DNS";

/** Whether a connection's original destination is known to the proxy: only where traffic is captured. */
export type Capture = "captured" | "gateway" | "local";

/** What of a client decides how its clusters find endpoints. */
export interface ClientAbilities {
	readonly capture: Capture;
	readonly dynamicForwardProxy: boolean;
}

export function abilitiesOf({ kind, local, dynamicForwardProxy }: ProxyNode): ClientAbilities {
	if (kind === "router") return { capture: "gateway", dynamicForwardProxy };
	return { capture: local === undefined ? "captured" : "local", dynamicForwardProxy };
}

/** How a cluster finds its endpoints; undefined where the service gets no cluster of its own. */
export function discoveryTypeOf(
	service: Service,
	port: ServicePort,
	policy: EffectivePolicy,
	{ capture, dynamicForwardProxy }: ClientAbilities,
): DiscoveryType | undefined {
	const passes = policy.loadBalancer?.simple === "PASSTHROUGH" && capture !== "local";
	switch (service.resolution) {
		case "Alias":
			return undefined;
		case "DynamicDNS":
			// Who cannot resolve what a request names leaves that to the application, which has resolved it already.
			return dynamicForwardProxy && isResolvedByRequest(service, port) ? "DYNAMIC_DNS" : passthroughType(service, capture);
		case "DNS":
			return passes ? "ORIGINAL_DST" : "STRICT_DNS";
		case "DNSRoundRobin":
			return passes ? "ORIGINAL_DST" : "LOGICAL_DNS";
		case "Passthrough":
			return passes ? "ORIGINAL_DST" : passthroughType(service, capture);
		case "ClientSide":
			return passes ? "ORIGINAL_DST" : "EDS";
	}
}

/**
 * Nothing was captured on its way to a gateway or to a local listener, so there is no original destination to go to:
 * a headless Service is served from its endpoints, and in local mode a host of the outside by its name.
 */
function passthroughType(service: Service, capture: Capture): DiscoveryType {
	if (capture === "captured") return "ORIGINAL_DST";
	return capture === "local" && service.registry === "External" && !isWildcard(service.hostname) ? "STRICT_DNS" : "EDS";
}
