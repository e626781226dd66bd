import { messageFns, stripTypeUrl } from "@weft/xds";
import type { Buffer as BufferConfig } from "@weft/xds/generated/envoy/extensions/filters/http/buffer/v3/buffer.ts";
import type { CsrfPolicy } from "@weft/xds/generated/envoy/extensions/filters/http/csrf/v3/csrf.ts";
import type { FilterConfig as DynamicFilterConfig } from "@weft/xds/generated/envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy.ts";
import type { ExtAuthz } from "@weft/xds/generated/envoy/extensions/filters/http/ext_authz/v3/ext_authz.ts";
import type { Config as GrpcHttp1Bridge } from "@weft/xds/generated/envoy/extensions/filters/http/grpc_http1_bridge/v3/config.ts";
import type { HTTPFault } from "@weft/xds/generated/envoy/extensions/filters/http/fault/v3/fault.ts";
import type { FilterConfig as GrpcStats } from "@weft/xds/generated/envoy/extensions/filters/http/grpc_stats/v3/config.ts";
import type { HeaderMutation } from "@weft/xds/generated/envoy/extensions/filters/http/header_mutation/v3/header_mutation.ts";
import type { HealthCheck } from "@weft/xds/generated/envoy/extensions/filters/http/health_check/v3/health_check.ts";
import type { JwtAuthentication } from "@weft/xds/generated/envoy/extensions/filters/http/jwt_authn/v3/config.ts";
import type { LocalRateLimit } from "@weft/xds/generated/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.ts";
import type { RateLimit } from "@weft/xds/generated/envoy/extensions/filters/http/ratelimit/v3/rate_limit.ts";
import type { RBAC } from "@weft/xds/generated/envoy/extensions/filters/http/rbac/v3/rbac.ts";
import type { Router } from "@weft/xds/generated/envoy/extensions/filters/http/router/v3/router.ts";
import type { StatefulSession } from "@weft/xds/generated/envoy/extensions/filters/http/stateful_session/v3/stateful_session.ts";
import type { HttpFilter as FilterMessage } from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import type { FilterConfig as AlpnConfig } from "@weft/xds/generated/istio/envoy/config/filter/http/alpn/v2alpha1/config.ts";
import type { PluginConfig } from "@weft/xds/generated/stats/config.ts";
import type { HttpFilter, HttpFilterConfig } from "../../http-filters.ts";
import { type Opened, openAny } from "../any.ts";
import type { DecodeEnvironment } from "../environment.ts";
import { type At, onlySupports, report, under } from "../issues.ts";
import { decodeDynamicFilter } from "../dynamic-forward-proxy.ts";
import { decodeIstioStats } from "../istio-stats.ts";
import { decodeBuffer, decodeCsrf, decodeGrpcStats, decodeHealthCheck, decodeMutations, decodeStatefulSession } from "./common-filters.ts";
import { decodeExtAuthz } from "./ext-authz.ts";
import { decodeFault } from "./fault.ts";
import { decodeJwtAuthn } from "./jwt-authn.ts";
import { decodeLocalRateLimit } from "./local-rate-limit.ts";
import { decodeRateLimit } from "./rate-limit.ts";
import { decodeHttpRbac } from "./rbac.ts";

export function decodeHttpFilters(at: At, filters: readonly FilterMessage[], environment: DecodeEnvironment): readonly HttpFilter[] {
	const decoded = filters.map((filter, i) => decodeHttpFilter(under(at, `httpFilters[${i}]`), filter, environment)).filter((filter) => filter !== undefined);
	if (at.errors.length === 0 && decoded.at(-1)?.kind !== "router")
		report(under(at, "httpFilters"), "the last filter must be the router (envoy.filters.http.router)");
	if (decoded.slice(0, -1).some((filter) => filter.kind === "router")) report(under(at, "httpFilters"), "the router must be the last filter");
	return decoded;
}

function decodeHttpFilter(at: At, filter: FilterMessage, environment: DecodeEnvironment): HttpFilter | undefined {
	const { name, disabled, typedConfig } = filter;
	if (filter.configDiscovery !== undefined) {
		report(at, `HTTP filter ${name}: config_discovery is not implemented`);
		return undefined;
	}
	// Its sender can do without it.
	if (filter.isOptional && typedConfig !== undefined && messageFns(stripTypeUrl(typedConfig.typeUrl)) === undefined) return undefined;
	const opened = openAny(at, typedConfig, `HTTP filter ${name}`);
	const config = opened && decodeConfig(at, name, opened, environment);
	if (disabled && config?.kind === "router") report(at, `HTTP filter ${name}: a terminal filter cannot be disabled`);
	return config && { ...config, name, ...(disabled && { disabled }) };
}

function decodeConfig(at: At, name: string, { typeName, message }: Opened, environment: DecodeEnvironment): HttpFilterConfig | undefined {
	switch (typeName) {
		case "envoy.extensions.filters.http.router.v3.Router":
			return decodeRouter(at, message as Router);
		case "envoy.extensions.filters.http.fault.v3.HTTPFault":
			return { kind: "fault", policy: decodeFault(at, message as HTTPFault) };
		case "envoy.extensions.filters.http.cors.v3.Cors":
			return { kind: "cors" };
		case "envoy.extensions.filters.http.health_check.v3.HealthCheck":
			return { kind: "healthCheck", check: decodeHealthCheck(at, message as HealthCheck) };
		case "envoy.extensions.filters.http.rbac.v3.RBAC":
			return { kind: "rbac", rbac: decodeHttpRbac(at, message as RBAC) };
		case "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication":
			return { kind: "jwtAuthn", jwt: decodeJwtAuthn(at, message as JwtAuthentication, environment) };
		case "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit":
			return { kind: "localRateLimit", limit: decodeLocalRateLimit(at, message as LocalRateLimit) };
		case "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation": {
			const { mutations, mostSpecificHeaderMutationsWins } = message as HeaderMutation;
			return { kind: "headerMutation", mutations: decodeMutations(under(at, "mutations"), mutations), mostSpecificWins: mostSpecificHeaderMutationsWins };
		}
		case "envoy.extensions.filters.http.csrf.v3.CsrfPolicy":
			return { kind: "csrf", policy: decodeCsrf(at, message as CsrfPolicy) };
		case "envoy.extensions.filters.http.buffer.v3.Buffer":
			return { kind: "buffer", bytesMax: decodeBuffer(message as BufferConfig) };
		case "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig":
			return decodeDynamicFilter(at, message as DynamicFilterConfig);
		case "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb":
			return { kind: "grpcWeb" };
		case "envoy.extensions.filters.http.grpc_http1_bridge.v3.Config":
			onlySupports(at, typeName, message as GrpcHttp1Bridge, []);
			return { kind: "grpcHttp1Bridge" };
		case "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig":
			return { kind: "grpcStats", stats: decodeGrpcStats(at, message as GrpcStats) };
		case "envoy.extensions.filters.http.stateful_session.v3.StatefulSession":
			return { kind: "statefulSession", session: decodeStatefulSession(at, message as StatefulSession) };
		case "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz":
			return decodeExtAuthz(at, message as ExtAuthz);
		case "envoy.extensions.filters.http.ratelimit.v3.RateLimit":
			return decodeRateLimit(at, message as RateLimit);
		case "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig":
			return decodeAlpn(message as AlpnConfig);
		case "stats.PluginConfig":
			return { kind: "istioStats", stats: decodeIstioStats(at, message as PluginConfig) };
		case "io.istio.http.peer_metadata.Config":
			return { kind: "peerMetadata" };
	}
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
