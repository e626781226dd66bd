import { messageFns, stripTypeUrl } from "@weft/xds";
import type { FilterConfig } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { BandwidthLimit } from "@weft/xds/generated/envoy/extensions/filters/http/bandwidth_limit/v3/bandwidth_limit.ts";
import type { BufferPerRoute } from "@weft/xds/generated/envoy/extensions/filters/http/buffer/v3/buffer.ts";
import type { CorsPolicy } from "@weft/xds/generated/envoy/extensions/filters/http/cors/v3/cors.ts";
import type { CsrfPolicy } from "@weft/xds/generated/envoy/extensions/filters/http/csrf/v3/csrf.ts";
import type { PerRouteConfig as DynamicPerRouteConfig } from "@weft/xds/generated/envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy.ts";
import type { ExtAuthzPerRoute } from "@weft/xds/generated/envoy/extensions/filters/http/ext_authz/v3/ext_authz.ts";
import type { HTTPFault } from "@weft/xds/generated/envoy/extensions/filters/http/fault/v3/fault.ts";
import type { HeaderMutationPerRoute } from "@weft/xds/generated/envoy/extensions/filters/http/header_mutation/v3/header_mutation.ts";
import type { Config as HeaderToMetadata } from "@weft/xds/generated/envoy/extensions/filters/http/header_to_metadata/v3/header_to_metadata.ts";
import type { PerRouteConfig } from "@weft/xds/generated/envoy/extensions/filters/http/jwt_authn/v3/config.ts";
import type { LocalRateLimit } from "@weft/xds/generated/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.ts";
import type { PerRouteConfig as OnDemandPerRouteConfig } from "@weft/xds/generated/envoy/extensions/filters/http/on_demand/v3/on_demand.ts";
import type { RateLimitPerRoute } from "@weft/xds/generated/envoy/extensions/filters/http/ratelimit/v3/rate_limit.ts";
import type { RBACPerRoute } from "@weft/xds/generated/envoy/extensions/filters/http/rbac/v3/rbac.ts";
import type { Config as SetFilterState } from "@weft/xds/generated/envoy/extensions/filters/http/set_filter_state/v3/set_filter_state.ts";
import type { StatefulSessionPerRoute } from "@weft/xds/generated/envoy/extensions/filters/http/stateful_session/v3/stateful_session.ts";
import type { FilterOverride, FilterOverrideConfig, FilterOverrides } from "../../http-filters.ts";
import { type Opened, openAny } from "../any.ts";
import { decodeFilterState } from "../filter-state.ts";
import { type At, report, under } from "../issues.ts";
import { decodeOnDemandCds } from "../on-demand.ts";
import { decodeBandwidthLimit } from "./bandwidth-limit.ts";
import { decodeBuffer, decodeCsrf, decodeMutations, decodeStatefulSession } from "./common-filters.ts";
import { decodeCors } from "./cors.ts";
import { decodeExtAuthzSettings } from "./ext-authz.ts";
import { decodeFault } from "./fault.ts";
import { decodeLocalRateLimit } from "./local-rate-limit.ts";
import { decodeHeaderToMetadataOverride } from "./metadata-filters.ts";
import { decodeRateLimitSettings } from "./rate-limit.ts";
import { decodeHttpRbac } from "./rbac.ts";

type Any = { readonly typeUrl: string; readonly value: Uint8Array };

/** Shared, so that the many routes that say nothing cost nothing. */
export const noOverrides: FilterOverrides = {};

/** `typed_per_filter_config`: what a route, a virtual host, a table or a weighted cluster says to filters, by their names. */
export function decodeOverrides(at: At, configs: Readonly<Record<string, Any>>): FilterOverrides {
	const overrides: Record<string, FilterOverride> = {};
	for (const [name, any] of Object.entries(configs)) {
		const override = decodeOverride(under(at, `typedPerFilterConfig["${name}"]`), any, name);
		if (override !== undefined) overrides[name] = override;
	}
	return Object.keys(overrides).length === 0 ? noOverrides : overrides;
}

function decodeOverride(at: At, any: Any, name: string): FilterOverride | undefined {
	const what = `per-route configuration of filter ${name}`;
	const opened = openAny(at, any, what);
	if (opened?.typeName !== "envoy.config.route.v3.FilterConfig") return opened && decodeOpened(at, opened);
	const wrapper = opened.message as FilterConfig;
	if (wrapper.disabled) return disabled;
	if (wrapper.config === undefined) return { disabled: false, config: undefined };
	// Its sender can do without it.
	if (wrapper.isOptional && messageFns(stripTypeUrl(wrapper.config.typeUrl)) === undefined) return undefined;
	const inner = openAny(at, wrapper.config, what);
	return inner && decodeOpened(at, inner);
}

const disabled: FilterOverride = { disabled: true, config: undefined };

/** undefined inside: the message says that the filter does nothing on this route. */
function decodeOpened(at: At, opened: Opened): FilterOverride {
	const config = decodeConfig(at, opened);
	return config === undefined ? disabled : { disabled: false, config };
}

function decodeConfig(at: At, { typeName, message }: Opened): FilterOverrideConfig | undefined {
	switch (typeName) {
		case "envoy.extensions.filters.http.cors.v3.CorsPolicy":
			return { kind: "cors", policy: decodeCors(at, typeName, message as CorsPolicy) };
		case "envoy.extensions.filters.http.fault.v3.HTTPFault":
			return { kind: "fault", policy: decodeFault(at, message as HTTPFault) };
		case "envoy.extensions.filters.http.rbac.v3.RBACPerRoute": {
			const { rbac } = message as RBACPerRoute;
			return rbac && { kind: "rbac", rbac: decodeHttpRbac(under(at, "rbac"), rbac) };
		}
		case "envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig": {
			const { requirementName } = message as PerRouteConfig;
			return requirementName === undefined ? undefined : { kind: "jwtAuthn", requirementName };
		}
		case "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit":
			return { kind: "localRateLimit", limit: decodeLocalRateLimit(at, message as LocalRateLimit) };
		case "envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute":
			return { kind: "headerMutation", mutations: decodeMutations(under(at, "mutations"), (message as HeaderMutationPerRoute).mutations) };
		case "envoy.extensions.filters.http.header_to_metadata.v3.Config":
			return { kind: "headerToMetadata", rules: decodeHeaderToMetadataOverride(at, message as HeaderToMetadata) };
		case "envoy.extensions.filters.http.set_filter_state.v3.Config":
			// Whether the route is chosen again is the filter's own to say, as in Envoy.
			return { kind: "setFilterState", values: decodeFilterState(at, "onRequestHeaders", (message as SetFilterState).onRequestHeaders) };
		case "envoy.extensions.filters.http.csrf.v3.CsrfPolicy":
			return { kind: "csrf", policy: decodeCsrf(at, message as CsrfPolicy) };
		case "envoy.extensions.filters.http.buffer.v3.BufferPerRoute": {
			const { buffer } = message as BufferPerRoute;
			return buffer && { kind: "buffer", bytesMax: decodeBuffer(buffer) };
		}
		case "envoy.extensions.filters.http.bandwidth_limit.v3.BandwidthLimit":
			return { kind: "bandwidthLimit", limit: decodeBandwidthLimit(at, message as BandwidthLimit, true) };
		case "envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute": {
			const { statefulSession } = message as StatefulSessionPerRoute;
			return statefulSession && { kind: "statefulSession", session: decodeStatefulSession(under(at, "statefulSession"), statefulSession) };
		}
		case "envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute":
			return { kind: "rateLimit", settings: decodeRateLimitSettings(at, message as RateLimitPerRoute) };
		case "envoy.extensions.filters.http.on_demand.v3.PerRouteConfig":
			return { kind: "onDemand", clusters: decodeOnDemandCds(at, (message as OnDemandPerRouteConfig).odcds) };
		case "envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig": {
			const { hostRewriteLiteral, hostRewriteHeader } = message as DynamicPerRouteConfig;
			if (hostRewriteLiteral !== undefined) return { kind: "dynamicForwardProxy", rewrite: { kind: "literal", value: hostRewriteLiteral } };
			return hostRewriteHeader === undefined ? undefined : { kind: "dynamicForwardProxy", rewrite: { kind: "header", name: hostRewriteHeader.toLowerCase() } };
		}
		case "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute": {
			const { checkSettings } = message as ExtAuthzPerRoute;
			return checkSettings && { kind: "extAuthz", settings: decodeExtAuthzSettings(under(at, "checkSettings"), checkSettings) };
		}
	}
	report(at, `per-route configuration of type ${typeName} is not implemented`);
	return undefined;
}
