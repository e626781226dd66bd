import type { CorsPolicy as RouteCors } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { CorsPolicy as FilterCors } from "@weft/xds/generated/envoy/extensions/filters/http/cors/v3/cors.ts";
import type { CorsPolicy, FilterOverrides } from "../../http-filters.ts";
import { type At, onlySupports, under } from "../issues.ts";
import { always, decodeRuntimeFraction, decodeStringMatch } from "../matchers.ts";

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

export const legacyCorsType = "envoy.config.route.v3.CorsPolicy";

/** The `cors` field of routes and virtual hosts, from before filters had per-route configuration; that goes before it. */
export function withLegacyCors(overrides: FilterOverrides, policy: CorsPolicy | undefined): FilterOverrides {
	const name = "envoy.filters.http.cors";
	return policy === undefined || overrides[name] !== undefined ? overrides : { ...overrides, [name]: { disabled: false, config: { kind: "cors", policy } } };
}
