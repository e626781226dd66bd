import type { CorsPolicy, HTTPFaultInjection, HTTPRoute, Percent } from "@weft/api";
import type { Any } from "@weft/xds";
import { CorsPolicy as EnvoyCorsPolicy } from "@weft/xds/generated/envoy/extensions/filters/http/cors/v3/cors.ts";
import { HTTPFault } from "@weft/xds/generated/envoy/extensions/filters/http/fault/v3/fault.ts";
import { StatefulSessionPerRoute } from "@weft/xds/generated/envoy/extensions/filters/http/stateful_session/v3/stateful_session.ts";
import { CookieBasedSessionState } from "@weft/xds/generated/envoy/extensions/http/stateful_session/cookie/v3/cookie.ts";
import { HeaderBasedSessionState } from "@weft/xds/generated/envoy/extensions/http/stateful_session/header/v3/header.ts";
import { grpcStatusNames, parseDurationMs } from "@weft/api";
import { type SessionPersistence, sessionOf } from "../../model/session-persistence.ts";
import { durationOf, type FractionalPercentValue, packed, perMillion, stringMatcherOf } from "./values.ts";

/** `typed_per_filter_config` of a route: fault injection, CORS, and sessions. */
export function buildPerFilterConfig(route: HTTPRoute): Readonly<Record<string, Any>> | undefined {
	const { fault, corsPolicy: cors } = route;
	const session = sessionOf(route);
	if (fault === undefined && cors === undefined && session === undefined) return undefined;
	return {
		...(fault ? { "envoy.filters.http.fault": buildFault(fault) } : {}),
		...(cors ? { "envoy.filters.http.cors": buildCors(cors) } : {}),
		...(session ? { [statefulSessionFilter]: buildSession(session) } : {}),
	};
}

/** Its name in the chain, by which routes configure it. */
export const statefulSessionFilter = "envoy.filters.http.stateful_session";

function buildSession({ type, name, path, ttl }: SessionPersistence): Any {
	const state =
		type === "header"
			? packed("envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState", HeaderBasedSessionState, { name })
			: packed("envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState", CookieBasedSessionState, {
					cookie: { name, path, ...(ttl !== undefined && { ttl: durationOf(ttl) }) },
				});
	const sessionState = { name: `envoy.http.stateful_session.${type}`, typedConfig: state };
	return packed("envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute", StatefulSessionPerRoute, { statefulSession: { sessionState } });
}

function buildFault({ delay, abort }: HTTPFaultInjection): Any {
	const fixedDelay = durationOf(delay?.fixedDelay);
	// A delay that names no percentage is sent with 0 (istiod keeps the deprecated `percent`, whose default is 0); see golden fault-both.
	const delayPercentage = percentage(delay?.percentage) ?? { numerator: delay?.percent ?? 0, denominator: 0 };
	const abortPercentage = percentage(abort?.percentage) ?? (abort?.percent === undefined ? undefined : { numerator: abort.percent, denominator: 0 });
	return packed("envoy.extensions.filters.http.fault.v3.HTTPFault", HTTPFault, {
		...(fixedDelay ? { delay: { fixedDelay, percentage: delayPercentage } } : {}),
		...(abort ? { abort: { ...abortStatus(abort), ...(abortPercentage ? { percentage: abortPercentage } : {}) } } : {}),
	});
}

function abortStatus(abort: NonNullable<HTTPFaultInjection["abort"]>): { httpStatus: number } | { grpcStatus: number } | Record<string, never> {
	if (abort.httpStatus !== undefined) return { httpStatus: abort.httpStatus };
	const grpcStatus = abort.grpcStatus === undefined ? undefined : grpcStatusNumber(abort.grpcStatus);
	return grpcStatus === undefined ? {} : { grpcStatus };
}

function grpcStatusNumber(name: string): number | undefined {
	if (/^\d{1,2}$/.test(name)) return Number(name);
	const index = grpcStatusNames.indexOf(name);
	return index < 0 ? undefined : index;
}

function percentage(percent: Percent | undefined): FractionalPercentValue | undefined {
	return percent === undefined ? undefined : perMillion(percent.value ?? 0);
}

function buildCors(cors: CorsPolicy): Any {
	const maxAgeMs = cors.maxAge === undefined ? undefined : parseDurationMs(cors.maxAge);
	const origins = cors.allowOrigins?.map(stringMatcherOf) ?? cors.allowOrigin?.map((exact) => ({ exact }));
	return packed("envoy.extensions.filters.http.cors.v3.CorsPolicy", EnvoyCorsPolicy, {
		allowOriginStringMatch: origins?.filter((origin) => origin !== undefined) ?? [],
		allowMethods: (cors.allowMethods ?? []).join(","),
		allowHeaders: (cors.allowHeaders ?? []).join(","),
		exposeHeaders: (cors.exposeHeaders ?? []).join(","),
		maxAge: maxAgeMs === undefined ? "" : String(Math.trunc(maxAgeMs / 1000)),
		...(cors.allowCredentials === undefined ? {} : { allowCredentials: cors.allowCredentials }),
		filterEnabled: { defaultValue: { numerator: 100, denominator: 0 } },
		forwardNotMatchingPreflights: cors.unmatchedPreflights !== "IGNORE",
	});
}
