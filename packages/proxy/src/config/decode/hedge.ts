import type { HedgePolicy } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import { type At, onlySupports, report, under } from "./issues.ts";

/** Whether an attempt that takes too long goes on beside the next. What Envoy reads and ignores of the policy is refused. */
export function decodeHedge(at: At, policy: HedgePolicy): boolean {
	onlySupports(at, "envoy.config.route.v3.HedgePolicy", policy, ["initialRequests", "additionalRequestChance", "hedgeOnPerTryTimeout"]);
	if ((policy.initialRequests ?? 1) > 1) report(under(at, "initialRequests"), "initial_requests other than 1 is not implemented (Envoy ignores it)");
	if ((policy.additionalRequestChance?.numerator ?? 0) > 0)
		report(under(at, "additionalRequestChance"), "additional_request_chance other than 0 is not implemented (Envoy ignores it)");
	return policy.hedgeOnPerTryTimeout;
}
