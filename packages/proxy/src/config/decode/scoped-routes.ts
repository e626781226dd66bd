import { validateConstraints } from "@weft/xds";
import type { ScopedRouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/scoped_route.ts";
import type {
	ScopedRoutes as ScopedRoutesMessage,
	ScopedRoutes_ScopeKeyBuilder_FragmentBuilder as FragmentBuilder,
} from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import type { RouteScope, ScopedRoutes, ScopeKeyFragment } from "../route-scopes.ts";
import type { DecodeEnvironment } from "./environment.ts";
import { type At, collect, type Decoded, report, under } from "./issues.ts";
import { decodeRoutes } from "./route-table.ts";

/** `scoped_routes` of a connection manager, whose constraints were checked with it. */
export function decodeScopedRoutes(at: At, message: ScopedRoutesMessage, environment: DecodeEnvironment): ScopedRoutes {
	const fragments = message.scopeKeyBuilder?.fragments ?? [];
	return {
		name: message.name,
		keyBuilder: fragments.map((fragment, i) => decodeFragment(under(at, `scopeKeyBuilder.fragments[${i}]`), fragment)),
		scopes: message.scopedRds === undefined ? decodeList(at, message, environment) : decodeSource(at, message),
	};
}

function decodeFragment(at: At, { headerValueExtractor }: FragmentBuilder): ScopeKeyFragment {
	const { name = "", elementSeparator = "", index, element } = headerValueExtractor ?? {};
	const header = name.toLowerCase();
	if (element !== undefined) return { header, elementSeparator, extract: { kind: "element", separator: element.separator, key: element.key } };
	if (index === undefined) report(at, "HeaderValueExtractor extract_type not set");
	if ((index ?? 0) > 0 && elementSeparator === "") report(at, "Index > 0 for empty string element separator.");
	return { header, elementSeparator, extract: { kind: "index", index: index ?? 0 } };
}

function decodeSource(at: At, { rdsConfigSource, scopedRds }: ScopedRoutesMessage): undefined {
	if (scopedRds?.scopedRdsConfigSource?.ads === undefined) report(under(at, "scopedRds.scopedRdsConfigSource"), "only ads is implemented");
	if ((scopedRds?.srdsResourcesLocator ?? "") !== "") report(under(at, "scopedRds.srdsResourcesLocator"), "srds_resources_locator (xdstp) is not implemented");
	if (rdsConfigSource?.ads === undefined) report(under(at, "rdsConfigSource"), "only ads is implemented");
}

function decodeList(at: At, message: ScopedRoutesMessage, environment: DecodeEnvironment): readonly RouteScope[] {
	const here = under(at, "scopedRouteConfigurationsList");
	const scopes = (message.scopedRouteConfigurationsList?.scopedRouteConfigurations ?? []).map((scope, i) => {
		const one = under(here, `scopedRouteConfigurations[${i}]`);
		if (scope.routeConfigurationName !== "") report(one, "Fetching routes via RDS (route_configuration_name) is not supported with inline scoped routes.");
		else if (scope.routeConfiguration === undefined) report(one, "You must specify a route_configuration with inline scoped routes.");
		return decodeScope(one, scope, environment);
	});
	return scopes;
}

function decodeScope(at: At, message: ScopedRouteConfiguration, environment: DecodeEnvironment): RouteScope {
	const { name, onDemand, key, routeConfiguration, routeConfigurationName } = message;
	if (routeConfiguration?.vhds !== undefined) report(under(at, "routeConfiguration.vhds"), "vhds of a table inside a scope is not implemented");
	return {
		name,
		onDemand,
		key: (key?.fragments ?? []).map(({ stringKey }) => stringKey ?? ""),
		routes:
			routeConfiguration === undefined
				? { kind: "rds", name: routeConfigurationName }
				: { kind: "inline", table: decodeRoutes(under(at, "routeConfiguration"), routeConfiguration, environment, true) },
	};
}

/** A resource of SRDS. */
export function decodeRouteScope(message: ScopedRouteConfiguration, environment: DecodeEnvironment): Decoded<RouteScope> {
	return collect(
		"",
		(at) => {
			at.errors.push(...validateConstraints("envoy.config.route.v3.ScopedRouteConfiguration", message));
			if (message.routeConfigurationName === "" && message.routeConfiguration === undefined) report(at, "route_configuration_name is empty.");
			return decodeScope(at, message, environment);
		},
		message.name,
	);
}
