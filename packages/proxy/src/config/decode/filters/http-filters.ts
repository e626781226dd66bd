import { messageFns, stripTypeUrl } from "@weft/xds";
import type { BandwidthLimit } from "@weft/xds/generated/envoy/extensions/filters/http/bandwidth_limit/v3/bandwidth_limit.ts";
import type { Buffer as BufferConfig } from "@weft/xds/generated/envoy/extensions/filters/http/buffer/v3/buffer.ts";
import type { CsrfPolicy } from "@weft/xds/generated/envoy/extensions/filters/http/csrf/v3/csrf.ts";
import type { FilterConfig as DynamicFilterConfig } from "@weft/xds/generated/envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy.ts";
import type { ExtAuthz } from "@weft/xds/generated/envoy/extensions/filters/http/ext_authz/v3/ext_authz.ts";
import type { Config as GrpcHttp1Bridge } from "@weft/xds/generated/envoy/extensions/filters/http/grpc_http1_bridge/v3/config.ts";
import type { HTTPFault } from "@weft/xds/generated/envoy/extensions/filters/http/fault/v3/fault.ts";
import type { FilterConfig as GrpcStats } from "@weft/xds/generated/envoy/extensions/filters/http/grpc_stats/v3/config.ts";
import type { OnDemand } from "@weft/xds/generated/envoy/extensions/filters/http/on_demand/v3/on_demand.ts";
import type { HeaderMutation } from "@weft/xds/generated/envoy/extensions/filters/http/header_mutation/v3/header_mutation.ts";
import type { Config as HeaderToMetadata } from "@weft/xds/generated/envoy/extensions/filters/http/header_to_metadata/v3/header_to_metadata.ts";
import type { HealthCheck } from "@weft/xds/generated/envoy/extensions/filters/http/health_check/v3/health_check.ts";
import type { JwtAuthentication } from "@weft/xds/generated/envoy/extensions/filters/http/jwt_authn/v3/config.ts";
import type { LocalRateLimit } from "@weft/xds/generated/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.ts";
import type { RateLimit } from "@weft/xds/generated/envoy/extensions/filters/http/ratelimit/v3/rate_limit.ts";
import type { RBAC } from "@weft/xds/generated/envoy/extensions/filters/http/rbac/v3/rbac.ts";
import type { Router } from "@weft/xds/generated/envoy/extensions/filters/http/router/v3/router.ts";
import type { Config as SetFilterState } from "@weft/xds/generated/envoy/extensions/filters/http/set_filter_state/v3/set_filter_state.ts";
import type { Config as SetMetadata } from "@weft/xds/generated/envoy/extensions/filters/http/set_metadata/v3/set_metadata.ts";
import type { StatefulSession } from "@weft/xds/generated/envoy/extensions/filters/http/stateful_session/v3/stateful_session.ts";
import type { HttpFilter as FilterMessage } from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import type { FilterConfig as AlpnConfig } from "@weft/xds/generated/istio/envoy/config/filter/http/alpn/v2alpha1/config.ts";
import type { PluginConfig } from "@weft/xds/generated/stats/config.ts";
import type { HttpFilter, HttpFilterConfig } from "../../http-filters.ts";
import { type Opened, openAny } from "../any.ts";
import type { DecodeEnvironment } from "../environment.ts";
import { type At, onlySupports, report, under } from "../issues.ts";
import { decodeHttpDiscovery } from "../config-discovery.ts";
import { decodeDynamicFilter } from "../dynamic-forward-proxy.ts";
import { decodeFilterState } from "../filter-state.ts";
import { decodeIstioStats } from "../istio-stats.ts";
import { decodeOnDemandCds } from "../on-demand.ts";
import { decodeBandwidthLimit } from "./bandwidth-limit.ts";
import { decodeBuffer, decodeCsrf, decodeGrpcStats, decodeHealthCheck, decodeMutations, decodeStatefulSession } from "./common-filters.ts";
import { decodeExtAuthz } from "./ext-authz.ts";
import { decodeFault } from "./fault.ts";
import { decodeJwtAuthn } from "./jwt-authn.ts";
import { decodeLocalRateLimit } from "./local-rate-limit.ts";
import { decodeHeaderToMetadata, decodeSetMetadata } from "./metadata-filters.ts";
import { decodeRateLimit } from "./rate-limit.ts";
import { decodeHttpRbac } from "./rbac.ts";

export function decodeHttpFilters(at: At, filters: readonly FilterMessage[], environment: DecodeEnvironment): readonly HttpFilter[] {
	const decoded = filters
		.map((filter, i) => decodeHttpFilter(under(at, `httpFilters[${i}]`), filter, i === filters.length - 1, environment))
		.filter((filter) => filter !== undefined);
	const last = decoded.at(-1)?.kind;
	if (at.errors.length === 0 && last !== "router" && last !== "discovered")
		report(under(at, "httpFilters"), "the last filter must be the router (envoy.filters.http.router)");
	if (decoded.slice(0, -1).some((filter) => filter.kind === "router")) report(under(at, "httpFilters"), "the router must be the last filter");
	return decoded;
}

function decodeHttpFilter(at: At, filter: FilterMessage, isLast: boolean, environment: DecodeEnvironment): HttpFilter | undefined {
	const { name, disabled, typedConfig } = filter;
	if (filter.configDiscovery !== undefined) {
		const discovery = decodeHttpDiscovery(at, name, filter.configDiscovery, isLast, environment);
		return { kind: "discovered", discovery, name, ...(disabled && { disabled }) };
	}
	// Its sender can do without it.
	if (filter.isOptional && typedConfig !== undefined && messageFns(stripTypeUrl(typedConfig.typeUrl)) === undefined) return undefined;
	const opened = openAny(at, typedConfig, `HTTP filter ${name}`);
	const config = opened && decodeHttpFilterConfig(at, name, opened, environment);
	if (disabled && config?.kind === "router") report(at, `HTTP filter ${name}: a terminal filter cannot be disabled`);
	return config && { ...config, name, ...(disabled && { disabled }) };
}

type DecodeConfig = (at: At, message: unknown, environment: DecodeEnvironment) => HttpFilterConfig | undefined;

/** By the types of their messages. */
const decoders: Readonly<Record<string, DecodeConfig>> = {
	"envoy.extensions.filters.http.router.v3.Router": (at, message) => decodeRouter(at, message as Router),
	"envoy.extensions.filters.http.fault.v3.HTTPFault": (at, message) => ({ kind: "fault", policy: decodeFault(at, message as HTTPFault) }),
	"envoy.extensions.filters.http.cors.v3.Cors": () => ({ kind: "cors" }),
	"envoy.extensions.filters.http.health_check.v3.HealthCheck": (at, message) => ({ kind: "healthCheck", check: decodeHealthCheck(at, message as HealthCheck) }),
	"envoy.extensions.filters.http.rbac.v3.RBAC": (at, message) => ({ kind: "rbac", rbac: decodeHttpRbac(at, message as RBAC) }),
	"envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication": (at, message, environment) => ({
		kind: "jwtAuthn",
		jwt: decodeJwtAuthn(at, message as JwtAuthentication, environment),
	}),
	"envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit": (at, message) => ({
		kind: "localRateLimit",
		limit: decodeLocalRateLimit(at, message as LocalRateLimit),
	}),
	"envoy.extensions.filters.http.header_mutation.v3.HeaderMutation": (at, message) => {
		const { mutations, mostSpecificHeaderMutationsWins } = message as HeaderMutation;
		return { kind: "headerMutation", mutations: decodeMutations(under(at, "mutations"), mutations), mostSpecificWins: mostSpecificHeaderMutationsWins };
	},
	"envoy.extensions.filters.http.header_to_metadata.v3.Config": (at, message) => ({
		kind: "headerToMetadata",
		rules: decodeHeaderToMetadata(at, message as HeaderToMetadata),
	}),
	"envoy.extensions.filters.http.set_metadata.v3.Config": (at, message) => ({ kind: "setMetadata", entries: decodeSetMetadata(at, message as SetMetadata) }),
	"envoy.extensions.filters.http.set_filter_state.v3.Config": (at, message) => {
		const { onRequestHeaders, clearRouteCache } = message as SetFilterState;
		return { kind: "setFilterState", values: decodeFilterState(at, "onRequestHeaders", onRequestHeaders), clearsRoute: clearRouteCache };
	},
	"envoy.extensions.filters.http.csrf.v3.CsrfPolicy": (at, message) => ({ kind: "csrf", policy: decodeCsrf(at, message as CsrfPolicy) }),
	"envoy.extensions.filters.http.buffer.v3.Buffer": (_, message) => ({ kind: "buffer", bytesMax: decodeBuffer(message as BufferConfig) }),
	"envoy.extensions.filters.http.bandwidth_limit.v3.BandwidthLimit": (at, message) => ({
		kind: "bandwidthLimit",
		limit: decodeBandwidthLimit(at, message as BandwidthLimit, false),
	}),
	"envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig": (at, message) => decodeDynamicFilter(at, message as DynamicFilterConfig),
	"envoy.extensions.filters.http.grpc_web.v3.GrpcWeb": () => ({ kind: "grpcWeb" }),
	"envoy.extensions.filters.http.on_demand.v3.OnDemand": (at, message) => ({
		kind: "onDemand",
		clusters: decodeOnDemandCds(at, (message as OnDemand).odcds),
	}),
	"envoy.extensions.filters.http.grpc_http1_bridge.v3.Config": (at, message) => {
		onlySupports(at, "envoy.extensions.filters.http.grpc_http1_bridge.v3.Config", message as GrpcHttp1Bridge, []);
		return { kind: "grpcHttp1Bridge" };
	},
	"envoy.extensions.filters.http.grpc_stats.v3.FilterConfig": (at, message) => ({ kind: "grpcStats", stats: decodeGrpcStats(at, message as GrpcStats) }),
	"envoy.extensions.filters.http.stateful_session.v3.StatefulSession": (at, message) => ({
		kind: "statefulSession",
		session: decodeStatefulSession(at, message as StatefulSession),
	}),
	"envoy.extensions.filters.http.ext_authz.v3.ExtAuthz": (at, message) => decodeExtAuthz(at, message as ExtAuthz),
	"envoy.extensions.filters.http.ratelimit.v3.RateLimit": (at, message) => decodeRateLimit(at, message as RateLimit),
	"istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig": (_, message) => decodeAlpn(message as AlpnConfig),
	"stats.PluginConfig": (at, message) => ({ kind: "istioStats", stats: decodeIstioStats(at, message as PluginConfig) }),
	"io.istio.http.peer_metadata.Config": () => ({ kind: "peerMetadata" }),
};

export function isHttpFilterType(typeName: string): boolean {
	return Object.hasOwn(decoders, typeName);
}

/** What one HTTP filter is told. A type that is no HTTP filter here is reported. */
export function decodeHttpFilterConfig(at: At, name: string, { typeName, message }: Opened, environment: DecodeEnvironment): HttpFilterConfig | undefined {
	if (isHttpFilterType(typeName)) return decoders[typeName]?.(at, message, environment);
	report(at, `HTTP filter ${name} of type ${typeName} is not implemented`);
	return undefined;
}

function decodeRouter(at: At, router: Router): HttpFilterConfig {
	// Child spans need a tracer, which a connection manager may not name here; dynamic statistics are always on.
	onlySupports(at, "envoy.extensions.filters.http.router.v3.Router", router, [
		"dynamicStats",
		"startChildSpan",
		"suppressEnvoyHeaders",
		"suppressGrpcRequestFailureCodeStats",
		"upstreamLogOptions",
	]);
	return { kind: "router", suppressEnvoyHeaders: router.suppressEnvoyHeaders };
}

function decodeAlpn({ alpnOverride }: AlpnConfig): HttpFilterConfig {
	const of = (protocol: number) => alpnOverride.find((override) => override.upstreamProtocol === protocol)?.alpnOverride ?? [];
	return { kind: "alpn", http10: of(0), http11: of(1), http2: of(2) };
}
