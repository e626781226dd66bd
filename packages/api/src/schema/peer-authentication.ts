import { map, obj, oneOf, opt, type StaticOf } from "./builders.ts";
import { matchLabelsSelectorSchema } from "./common.ts";

// https://istio.io/latest/docs/reference/config/security/peer_authentication/

const mutualTlsSchema = obj({ mode: opt(oneOf(["UNSET", "DISABLE", "PERMISSIVE", "STRICT"])) });
export type MutualTLS = StaticOf<typeof mutualTlsSchema>;

export const peerAuthenticationSchema = obj({
	selector: opt(matchLabelsSelectorSchema),
	mtls: opt(mutualTlsSchema),
	portLevelMtls: opt(map(mutualTlsSchema, { description: "By the workload's own port, not the service's." })),
});
export type PeerAuthenticationSpec = StaticOf<typeof peerAuthenticationSchema>;
