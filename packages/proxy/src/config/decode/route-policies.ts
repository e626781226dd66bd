import type { CorsPolicy as RouteCors, FilterConfig } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { CorsPolicy as FilterCors } from "@weft/xds/generated/envoy/extensions/filters/http/cors/v3/cors.ts";
import type { HTTPFault } from "@weft/xds/generated/envoy/extensions/filters/http/fault/v3/fault.ts";
import type { CorsPolicy, FaultPolicy } from "../runtime-config.ts";
import { openAny } from "./any.ts";
import { type At, durationMs, onlySupports, report, under } from "./issues.ts";
import { always, decodeFraction, decodeHeaderMatches, decodeRuntimeFraction, decodeStringMatch, never } from "./matchers.ts";

const corsFields = [
	"allowOriginStringMatch",
	"allowMethods",
	"allowHeaders",
	"exposeHeaders",
	"maxAge",
	"allowCredentials",
	"filterEnabled",
	"forwardNotMatchingPreflights",
];

export function decodeCors(at: At, typeName: string, cors: RouteCors | FilterCors): CorsPolicy {
	onlySupports(at, typeName, cors, corsFields);
	return {
		allowOrigins: cors.allowOriginStringMatch.map((m, i) => decodeStringMatch(under(at, `allowOriginStringMatch[${i}]`), m)),
		allowMethods: cors.allowMethods,
		allowHeaders: cors.allowHeaders,
		exposeHeaders: cors.exposeHeaders,
		maxAge: cors.maxAge,
		allowCredentials: cors.allowCredentials,
		enabled: decodeRuntimeFraction(under(at, "filterEnabled"), cors.filterEnabled) ?? always,
		forwardNotMatchingPreflights: cors.forwardNotMatchingPreflights ?? true,
	};
}

const faultFields = ["delay", "abort", "upstreamCluster", "headers", "downstreamNodes", "maxActiveFaults", "disableDownstreamClusterStats", "filterMetadata"];
// Runtime keys only name overrides, and there is no runtime here: their defaults are what the message says.
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
	// 0 allows none, so it is a limit too.
	if (fault.maxActiveFaults !== undefined) report(under(at, "maxActiveFaults"), `max_active_faults (${fault.maxActiveFaults}) is not implemented`);
	return {
		delay: decodeDelay(under(at, "delay"), fault.delay),
		abort: decodeAbort(under(at, "abort"), fault.abort),
		headers: decodeHeaderMatches(at, fault.headers),
		upstreamCluster: fault.upstreamCluster,
		downstreamNodes: fault.downstreamNodes,
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

export interface PerFilterPolicies {
	readonly cors: CorsPolicy | undefined;
	readonly fault: FaultPolicy | undefined;
}

/** `typed_per_filter_config`: of the filters that there are, those with a per-route configuration. */
export function decodePerFilter(at: At, configs: Readonly<Record<string, { typeUrl: string; value: Uint8Array }>>): PerFilterPolicies {
	let cors: CorsPolicy | undefined;
	let fault: FaultPolicy | undefined;
	for (const [name, any] of Object.entries(configs)) {
		const here = under(at, `typedPerFilterConfig["${name}"]`);
		const opened = openOverride(here, any, name);
		if (opened?.typeName === "envoy.extensions.filters.http.cors.v3.CorsPolicy") cors = decodeCors(here, opened.typeName, opened.message as FilterCors);
		else if (opened?.typeName === "envoy.extensions.filters.http.fault.v3.HTTPFault") fault = decodeFault(here, opened.message as HTTPFault);
		else if (opened) report(here, `per-route configuration of type ${opened.typeName} is not implemented`);
	}
	return { cors, fault };
}

function openOverride(at: At, any: { typeUrl: string; value: Uint8Array }, name: string) {
	const opened = openAny(at, any, `per-route configuration of filter ${name}`);
	if (opened?.typeName !== "envoy.config.route.v3.FilterConfig") return opened;
	const wrapper = opened.message as FilterConfig;
	if (wrapper.disabled) report(at, "disabled per-route filters are not implemented");
	return wrapper.config === undefined ? undefined : openAny(at, wrapper.config, `per-route configuration of filter ${name}`);
}
