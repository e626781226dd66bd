import type { LbMetadata } from "../../config/load-balancing.ts";
import type { StreamInfo } from "../log/stream-info.ts";

/** Of the hosts that are wanted: what filters say in the namespace `envoy.lb` goes before what the route says. */
export function wantedMetadata({ dynamicMetadata }: StreamInfo, ofRoute: LbMetadata | undefined): LbMetadata | undefined {
	const own = dynamicMetadata?.["envoy.lb"];
	return own === undefined ? ofRoute : { ...ofRoute, ...own };
}
