import { ComparisonFilter_Op } from "@weft/xds/generated/envoy/config/accesslog/v3/accesslog.ts";

/** Names what refused a request: for RBAC the policy and the rule, `rbac_access_denied_matched_policy[ns[foo]-policy[bar]-rule[0]]`. */
export const reasonHeaderName = "x-weft-reason";

/** No token or none that is good, not allowed, and too many. */
const refusals = [401, 403, 429];

const filters = refusals.map((defaultValue) => ({
	statusCodeFilter: { comparison: { op: ComparisonFilter_Op.EQ, value: { defaultValue, runtimeKey: `weft.reason_header.${defaultValue}` } } },
}));

/** A LocalReplyConfig that adds the header to refusals of the proxy's own; what the application refuses is its own matter. */
export const reasonReplies = {
	mappers: [{ filter: { orFilter: { filters } }, headersToAdd: [{ header: { key: reasonHeaderName, value: "%RESPONSE_CODE_DETAILS%" } }] }],
};
