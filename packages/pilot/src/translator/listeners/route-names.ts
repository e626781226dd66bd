import { HttpConnectionManager } from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import type { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { unpackAny } from "@weft/xds";

const managerType = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const names = new WeakMap<Listener, readonly string[]>();

/** The route tables that these listeners ask for by RDS, sorted. */
export function outboundRouteNames(listeners: readonly Listener[]): readonly string[] {
	return [...new Set(listeners.flatMap(namesOf))].sort();
}

function namesOf(listener: Listener): readonly string[] {
	const known = names.get(listener);
	if (known) return known;
	const chains = listener.defaultFilterChain ? [...listener.filterChains, listener.defaultFilterChain] : listener.filterChains;
	const found = chains
		.flatMap(({ filters }) => filters)
		.map(({ typedConfig }) => unpackAny(managerType, HttpConnectionManager, typedConfig)?.rds?.routeConfigName)
		.filter((name) => name !== undefined);
	names.set(listener, found);
	return found;
}
