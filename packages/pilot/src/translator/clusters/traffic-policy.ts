import type { ClientTLSSettings, PortTrafficPolicy, Subset, TrafficPolicy } from "@weft/api";
import type { DestinationRule } from "../../model/push.ts";

// https://istio.io/latest/docs/reference/config/networking/destination-rule/

/** The policy that holds for one port, port-level settings folded in. */
export type EffectivePolicy = Omit<TrafficPolicy, "portLevelSettings">;

const nothing: EffectivePolicy = {};

type TlsMode = NonNullable<ClientTLSSettings["mode"]>;

/** The rule's policy for a port, overridden by that of the subset. */
export function effectivePolicy(rule: DestinationRule | undefined, subset: Subset | undefined, port: number): EffectivePolicy {
	const general = policyAt(rule?.trafficPolicy, port);
	const merged = { ...general, ...policyAt(subset?.trafficPolicy, port) };
	// What goes where the client dialled is not balanced: that holds for every subset, and for every port of one, as in istiod.
	const passing = [general, subset?.trafficPolicy].find((policy) => policy?.loadBalancer?.simple === "PASSTHROUGH");
	return passing?.loadBalancer ? { ...merged, loadBalancer: passing.loadBalancer } : merged;
}

/**
 * The TLS mode that a rule sets for the endpoints of a port: the subset's own for the endpoints of a subset, and a port's settings
 * count only where they have one.
 */
export function endpointTlsMode(rule: DestinationRule | undefined, subset: Subset | undefined, port: number): TlsMode | undefined {
	const policy = subset === undefined ? rule?.trafficPolicy : subset.trafficPolicy;
	const atPort = policy?.portLevelSettings?.find((settings) => settings.port?.number === port && settings.tls !== undefined);
	const tls = atPort?.tls ?? policy?.tls;
	return tls && (tls.mode ?? "DISABLE");
}

function policyAt(policy: TrafficPolicy | undefined, port: number): EffectivePolicy {
	if (!policy) return nothing;
	const { portLevelSettings, ...own } = policy;
	const atPort = portLevelSettings?.find((settings) => settings.port?.number === port);
	return atPort ? replaced(atPort) : own;
}

/** A port's settings replace the whole policy beside them: of the four blocks, what they leave out has its default. */
function replaced({ connectionPool, outlierDetection, loadBalancer, tls }: PortTrafficPolicy): EffectivePolicy {
	return { connectionPool, outlierDetection, loadBalancer, tls };
}
