import type { ProxyNode } from "../../model/proxy-node.ts";
import type { Service } from "../../model/service.ts";
import type { EffectivePolicy } from "./traffic-policy.ts";

export type DiscoveryType = "EDS" | "STRICT_DNS" | "LOGICAL_DNS" | "ORIGINAL_DST";

/** How a cluster finds its endpoints; undefined where the service gets no cluster of its own. */
export function discoveryTypeOf(service: Service, policy: EffectivePolicy, kind: ProxyNode["kind"]): DiscoveryType | undefined {
	switch (service.resolution) {
		case "Alias":
			return undefined;
		case "DNS":
			return "STRICT_DNS";
		case "DNSRoundRobin":
			return "LOGICAL_DNS";
		case "DynamicDNS":
			return undefined;
		case "Passthrough":
			// A gateway is no original destination: nothing was captured on its way, so it needs the endpoints of a headless Service.
			return kind === "router" ? "EDS" : "ORIGINAL_DST";
		case "ClientSide":
			return policy.loadBalancer?.simple === "PASSTHROUGH" ? "ORIGINAL_DST" : "EDS";
	}
}
