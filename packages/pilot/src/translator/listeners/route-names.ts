import { HttpConnectionManager } from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import type { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { unpackAny } from "@weft/xds";

const managerType = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
/** The filter configurations that these listeners ask for by ECDS, sorted. */
export function extensionConfigNames(listeners: readonly Listener[]): readonly string[] {
	const discovered = (filters: readonly { readonly name: string; readonly configDiscovery?: unknown }[]) =>
		filters.filter(({ configDiscovery }) => configDiscovery !== undefined).map(({ name }) => name);
	const found = listeners.flatMap((listener) => [
		...discovered(listener.listenerFilters),
		...chainsOf(listener).flatMap(({ filters }) => [
			...discovered(filters),
			...filters.flatMap(({ typedConfig }) => discovered(unpackAny(managerType, HttpConnectionManager, typedConfig)?.httpFilters ?? [])),
		]),
	]);
	return [...new Set(found)].sort();
}

function chainsOf(listener: Listener): readonly Listener["filterChains"][number][] {
	return listener.defaultFilterChain ? [...listener.filterChains, listener.defaultFilterChain] : listener.filterChains;
}

const names = new WeakMap<Listener, readonly string[]>();

/** The route tables that these listeners ask for by RDS, sorted. */
export function outboundRouteNames(listeners: readonly Listener[]): readonly string[] {
	return [...new Set(listeners.flatMap(namesOf))].sort();
}

function namesOf(listener: Listener): readonly string[] {
	const known = names.get(listener);
	if (known) return known;
	const found = chainsOf(listener)
		.flatMap(({ filters }) => filters)
		.map(({ typedConfig }) => unpackAny(managerType, HttpConnectionManager, typedConfig)?.rds?.routeConfigName)
		.filter((name) => name !== undefined);
	names.set(listener, found);
	return found;
}
