import type { HttpFilter as FilterMessage } from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import type { HTTPFault } from "@weft/xds/generated/envoy/extensions/filters/http/fault/v3/fault.ts";
import type { FilterConfig as GrpcStats } from "@weft/xds/generated/envoy/extensions/filters/http/grpc_stats/v3/config.ts";
import type { HealthCheck } from "@weft/xds/generated/envoy/extensions/filters/http/health_check/v3/health_check.ts";
import type { Router } from "@weft/xds/generated/envoy/extensions/filters/http/router/v3/router.ts";
import type { FilterConfig as AlpnConfig } from "@weft/xds/generated/istio/envoy/config/filter/http/alpn/v2alpha1/config.ts";
import type { PluginConfig } from "@weft/xds/generated/stats/config.ts";
import type { HttpFilter } from "../runtime-config.ts";
import { openAny } from "./any.ts";
import { type At, onlySupports, report, under } from "./issues.ts";
import { decodeIstioStats } from "./istio-stats.ts";
import { decodeHeaderMatches } from "./matchers.ts";
import { decodeFault } from "./route-policies.ts";

export function decodeHttpFilters(at: At, filters: readonly FilterMessage[]): readonly HttpFilter[] {
	const decoded = filters.map((filter, i) => decodeHttpFilter(under(at, `httpFilters[${i}]`), filter)).filter((filter) => filter !== undefined);
	if (at.errors.length === 0 && decoded.at(-1)?.kind !== "router")
		report(under(at, "httpFilters"), "the last filter must be the router (envoy.filters.http.router)");
	if (decoded.slice(0, -1).some((filter) => filter.kind === "router")) report(under(at, "httpFilters"), "the router must be the last filter");
	return decoded;
}

function decodeHttpFilter(at: At, filter: FilterMessage): HttpFilter | undefined {
	if (filter.disabled) report(at, `HTTP filter ${filter.name}: disabled filters are not implemented`);
	if (filter.configDiscovery !== undefined) {
		report(at, `HTTP filter ${filter.name}: config_discovery is not implemented`);
		return undefined;
	}
	const opened = openAny(at, filter.typedConfig, `HTTP filter ${filter.name}`);
	return opened && decodeHttpFilterConfig(at, filter.name, opened.typeName, opened.message);
}

function decodeHttpFilterConfig(at: At, name: string, typeName: string, message: unknown): HttpFilter | undefined {
	switch (typeName) {
		case "envoy.extensions.filters.http.router.v3.Router":
			return decodeRouter(at, name, message as Router);
		case "envoy.extensions.filters.http.fault.v3.HTTPFault":
			return { kind: "fault", name, policy: decodeFault(at, message as HTTPFault) };
		case "envoy.extensions.filters.http.cors.v3.Cors":
			return { kind: "cors", name };
		case "envoy.extensions.filters.http.health_check.v3.HealthCheck":
			return decodeHealthCheck(at, name, message as HealthCheck);
		case "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig":
			return checkGrpcStats(at, message as GrpcStats);
		case "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig":
			return decodeAlpn(name, message as AlpnConfig);
		case "stats.PluginConfig":
			return { kind: "istioStats", name, stats: decodeIstioStats(at, message as PluginConfig) };
		case "io.istio.http.peer_metadata.Config":
			return { kind: "peerMetadata", name };
	}
	report(at, `HTTP filter ${name} of type ${typeName} is not implemented`);
	return undefined;
}

function decodeRouter(at: At, name: string, router: Router): HttpFilter {
	// Child spans need a tracer, which a connection manager may not name here; dynamic statistics are always on.
	onlySupports(at, "envoy.extensions.filters.http.router.v3.Router", router, [
		"dynamicStats",
		"startChildSpan",
		"suppressEnvoyHeaders",
		"suppressGrpcRequestFailureCodeStats",
		"upstreamLogOptions",
	]);
	return { kind: "router", name, suppressEnvoyHeaders: router.suppressEnvoyHeaders };
}

/** What istiod always adds. Asking for more than that is refused. */
function checkGrpcStats(at: At, stats: GrpcStats): undefined {
	onlySupports(at, "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig", stats, ["emitFilterState", "statsForAllMethods"]);
	if (stats.statsForAllMethods === true) report(under(at, "statsForAllMethods"), "stats_for_all_methods is not implemented");
}

function decodeHealthCheck(at: At, name: string, check: HealthCheck): HttpFilter {
	onlySupports(at, "envoy.extensions.filters.http.health_check.v3.HealthCheck", check, ["passThroughMode", "headers"]);
	return { kind: "healthCheck", name, passThrough: check.passThroughMode ?? false, headers: decodeHeaderMatches(at, check.headers) };
}

function decodeAlpn(name: string, { alpnOverride }: AlpnConfig): HttpFilter {
	const of = (protocol: number) => alpnOverride.find((override) => override.upstreamProtocol === protocol)?.alpnOverride ?? [];
	return { kind: "alpn", name, http10: of(0), http11: of(1), http2: of(2) };
}
