import type { BandwidthLimit as LimitMessage } from "@weft/xds/generated/envoy/extensions/filters/http/bandwidth_limit/v3/bandwidth_limit.ts";
import type { BandwidthLimit } from "../../http-filters.ts";
import { type At, durationMsOr, onlySupports, report } from "../issues.ts";
import { decodeRuntimeFlag } from "../matchers.ts";

const fields = ["statPrefix", "enableMode", "limitKbps", "fillInterval", "runtimeEnabled", "enableResponseTrailers", "responseTrailerPrefix"];
/** Envoy's. */
const fillIntervalMsDefault = 50;
/** Bits of `enable_mode`. */
const requests = 1;
const responses = 2;

/** `isPerRoute`: what a route says; only there Envoy insists on a limit of a filter that does nothing. */
export function decodeBandwidthLimit(at: At, limit: LimitMessage, isPerRoute: boolean): BandwidthLimit {
	onlySupports(at, "envoy.extensions.filters.http.bandwidth_limit.v3.BandwidthLimit", limit, fields);
	if (limit.limitKbps === undefined && isPerRoute) report(at, "limit must be set for per route filter config");
	else if (limit.limitKbps === undefined && limit.enableMode !== 0) report(at, "without limit_kbps nothing would ever pass");
	return {
		statPrefix: limit.statPrefix,
		enabled: decodeRuntimeFlag(limit.runtimeEnabled, true),
		limitsRequests: (limit.enableMode & requests) !== 0,
		limitsResponses: (limit.enableMode & responses) !== 0,
		kibPerSecond: Number(limit.limitKbps ?? 0n),
		fillIntervalMs: durationMsOr(limit.fillInterval, fillIntervalMsDefault),
		trailers: limit.enableResponseTrailers ? trailersOf(limit.responseTrailerPrefix.toLowerCase()) : undefined,
		key: `${at.resource} ${at.path}`,
	};
}

function trailersOf(prefix: string): BandwidthLimit["trailers"] {
	const name = (of: string) => `${prefix === "" ? "" : `${prefix}-`}bandwidth-${of}-ms`;
	return {
		requestDelay: name("request-delay"),
		requestFilterDelay: name("request-filter-delay"),
		responseDelay: name("response-delay"),
		responseFilterDelay: name("response-filter-delay"),
	};
}
