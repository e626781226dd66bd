import type { PortTrafficPolicy, Subset, TrafficPolicy } from "@weft/api";
import type { DestinationRule } from "../../model/push.ts";

// https://istio.io/latest/docs/reference/config/networking/destination-rule/

/** The policy that holds for one port, port-level settings folded in. */
export type EffectivePolicy = Omit<TrafficPolicy, "portLevelSettings">;

const nothing: EffectivePolicy = {};

/** The rule's policy for a port, overridden by that of the subset. */
export function effectivePolicy(rule: DestinationRule | undefined, subset: Subset | undefined, port: number): EffectivePolicy {
	const base = overlay(nothing, rule?.trafficPolicy, port);
	return subset?.trafficPolicy ? overlay(base, subset.trafficPolicy, port) : base;
}

function overlay(base: EffectivePolicy, policy: TrafficPolicy | undefined, port: number): EffectivePolicy {
	if (!policy) return base;
	const { portLevelSettings, ...own } = policy;
	const merged = { ...base, ...own };
	const atPort = portLevelSettings?.find((settings) => settings.port?.number === port);
	return atPort ? { ...merged, ...replaced(atPort) } : merged;
}

/** A port's settings replace all four blocks: what they leave out has its default, it is not inherited. */
function replaced({ connectionPool, outlierDetection, loadBalancer, tls }: PortTrafficPolicy): EffectivePolicy {
	return { connectionPool, outlierDetection, loadBalancer, tls };
}
