import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import { VirtualHost } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import { type EncodedResource, type ResourceView, type StreamState, wildcardTypes } from "@weft/xds/server";

/**
 * What a client that asked for resources of a type should have of it. A route table has its virtual hosts, wherever the client
 * takes them from: so Envoy shows it in its own dump.
 */
export function wantedResources(view: ResourceView, { type, names }: StreamState): readonly EncodedResource[] {
	if (wildcardTypes.has(type)) return [...view.all(type).values()];
	const found = [...names].sort().flatMap((name) => view.get(type, name) ?? []);
	return type === "rds" ? found.map((table) => wholeTable(view, table)) : found;
}

function wholeTable(view: ResourceView, table: EncodedResource): EncodedResource {
	const members = view.members("vhds", table.name);
	if (members === undefined || members.size === 0) return table;
	const shell = RouteConfiguration.decode(table.bytes);
	const hosts = [...members.values()].map(({ bytes }) => {
		const host = VirtualHost.decode(bytes);
		return { ...host, name: host.name.slice(table.name.length + 1) };
	});
	return { ...table, bytes: RouteConfiguration.encode({ ...shell, virtualHosts: [...hosts, ...shell.virtualHosts] }).finish() };
}
