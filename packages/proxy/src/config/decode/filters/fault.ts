import type { HTTPFault } from "@weft/xds/generated/envoy/extensions/filters/http/fault/v3/fault.ts";
import { defaultFaultKeys, type FaultPolicy } from "../../http-filters.ts";
import { type At, durationMs, onlySupports, under } from "../issues.ts";
import { decodeFraction, decodeHeaderMatches, never } from "../matchers.ts";

const faultFields = [
	"delay",
	"abort",
	"upstreamCluster",
	"headers",
	"downstreamNodes",
	"maxActiveFaults",
	"disableDownstreamClusterStats",
	"filterMetadata",
	"responseRateLimit",
];
const faultRuntime = [
	"delayPercentRuntime",
	"abortPercentRuntime",
	"delayDurationRuntime",
	"abortHttpStatusRuntime",
	"maxActiveFaultsRuntime",
	"responseRateLimitPercentRuntime",
	"abortGrpcStatusRuntime",
];

export function decodeFault(at: At, fault: HTTPFault): FaultPolicy {
	onlySupports(at, "envoy.extensions.filters.http.fault.v3.HTTPFault", fault, [...faultFields, ...faultRuntime]);
	return {
		delay: decodeDelay(under(at, "delay"), fault.delay),
		abort: decodeAbort(under(at, "abort"), fault.abort),
		responseRate: decodeResponseRate(under(at, "responseRateLimit"), fault.responseRateLimit),
		headers: decodeHeaderMatches(at, fault.headers),
		upstreamCluster: fault.upstreamCluster,
		downstreamNodes: fault.downstreamNodes,
		maxActive: fault.maxActiveFaults,
		keys: {
			delayPercent: fault.delayPercentRuntime || defaultFaultKeys.delayPercent,
			delayMs: fault.delayDurationRuntime || defaultFaultKeys.delayMs,
			abortPercent: fault.abortPercentRuntime || defaultFaultKeys.abortPercent,
			abortHttpStatus: fault.abortHttpStatusRuntime || defaultFaultKeys.abortHttpStatus,
			abortGrpcStatus: fault.abortGrpcStatusRuntime || defaultFaultKeys.abortGrpcStatus,
			responseRatePercent: fault.responseRateLimitPercentRuntime || defaultFaultKeys.responseRatePercent,
			maxActive: fault.maxActiveFaultsRuntime || defaultFaultKeys.maxActive,
		},
	};
}

function decodeDelay(at: At, delay: HTTPFault["delay"]): FaultPolicy["delay"] {
	if (delay === undefined) return undefined;
	const fraction = delay.percentage === undefined ? never : decodeFraction(under(at, "percentage"), delay.percentage);
	if (delay.headerDelay !== undefined) return { fraction, source: { kind: "header" } };
	return { fraction, source: { kind: "fixed", ms: durationMs(delay.fixedDelay) ?? 0 } };
}

function decodeAbort(at: At, abort: HTTPFault["abort"]): FaultPolicy["abort"] {
	if (abort === undefined) return undefined;
	const fraction = abort.percentage === undefined ? never : decodeFraction(under(at, "percentage"), abort.percentage);
	if (abort.headerAbort !== undefined) return { fraction, source: { kind: "header" } };
	if (abort.grpcStatus !== undefined) return { fraction, source: { kind: "grpc", status: abort.grpcStatus } };
	return { fraction, source: { kind: "http", status: abort.httpStatus ?? 0 } };
}

function decodeResponseRate(at: At, limit: HTTPFault["responseRateLimit"]): FaultPolicy["responseRate"] {
	if (limit === undefined) return undefined;
	const fraction = limit.percentage === undefined ? never : decodeFraction(under(at, "percentage"), limit.percentage);
	if (limit.headerLimit !== undefined) return { fraction, source: { kind: "header" } };
	return { fraction, source: { kind: "fixed", kibPerSecond: Number(limit.fixedLimit?.limitKbps ?? 0n) } };
}
