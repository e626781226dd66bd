import { mergeMessages } from "@weft/xds";
import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import type { Route, VirtualHost } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { Patch, PatchContext } from "../../model/envoy-filters.ts";
import type { EncodedResource } from "../context.ts";
import { encodeResource } from "../encode.ts";
import { createMemo } from "../memo.ts";
import { editsAll, isMerge, type ListPatcher, mergeOptions, patchList } from "./list-patches.ts";
import type { PatchSet } from "./patch-set.ts";

const types = {
	table: "envoy.config.route.v3.RouteConfiguration",
	host: "envoy.config.route.v3.VirtualHost",
	route: "envoy.config.route.v3.Route",
} as const;

const patched = createMemo<EncodedResource>();

/** A route table after the patches. `servicePorts`: of a gateway's table that is named after a container port, the ports that lead to it. */
export function patchRouteTable(resource: EncodedResource, set: PatchSet, context: PatchContext, servicePorts: readonly number[]): EncodedResource {
	return patched.get([resource, set], `${context} ${servicePorts.join()}`, () => {
		const table = RouteConfiguration.decode(resource.bytes);
		const after = patchRoutes(table, set, context, servicePorts);
		return after === table ? resource : encodeResource("rds", after.name, RouteConfiguration, after);
	});
}

/** The same table where nothing is for it. */
export function patchRoutes(table: RouteConfiguration, set: PatchSet, context: PatchContext, servicePorts: readonly number[] = []): RouteConfiguration {
	const isFor = (patch: Patch) => tableMatches(table.name, patch, context, servicePorts);
	const whole = set.of("ROUTE_CONFIGURATION", context).filter((patch) => isMerge(patch) && isFor(patch));
	const hosts = set.of("VIRTUAL_HOST", context).filter(isFor);
	const routes = set.of("HTTP_ROUTE", context).filter(isFor);
	if (whole.length + hosts.length + routes.length === 0) return table;
	let after = whole.reduce((merged, patch) => mergeMessages(types.table, merged, patch.value as RouteConfiguration, mergeOptions(patch)), table);
	// Hosts that are added come as they are.
	const edited = patchList(
		after.virtualHosts,
		hosts.filter(({ operation }) => operation !== "ADD"),
		hostPatcher,
	);
	const added = hosts.filter(({ operation }) => operation === "ADD").map(({ value }) => value as VirtualHost);
	after = { ...after, virtualHosts: [...edited.map((host) => patchHost(host, routes)), ...added] };
	return after;
}

const hostMatch = ({ match }: Patch) => match.routeConfiguration?.vhost;

const hostPatcher: ListPatcher<VirtualHost> = {
	namesTarget: (patch) => Boolean(hostMatch(patch)?.name || hostMatch(patch)?.domainName),
	isTarget: hostMatches,
	forAll: editsAll,
	merge: (host, value, options) => mergeMessages(types.host, host, value, options),
};

function hostMatches(patch: Patch, { name, domains }: VirtualHost): boolean {
	const match = hostMatch(patch);
	return (!match?.name || match.name === name) && (!match?.domainName || domains.includes(match.domainName));
}

function patchHost(host: VirtualHost, patches: readonly Patch[]): VirtualHost {
	const own = patches.filter((patch) => hostMatches(patch, host));
	if (own.length === 0) return host;
	const isEdit = (patch: Patch) => isMerge(patch) || patch.operation === "REMOVE";
	// Routes that are put in come as they are, and find the others as they are in the end.
	const edited = patchList(host.routes, own.filter(isEdit), routePatcher);
	const others = own.filter((patch) => !isEdit(patch));
	return { ...host, routes: [...patchList(edited, others, routePatcher)] };
}

const routeMatch = (patch: Patch) => hostMatch(patch)?.route;

const routePatcher: ListPatcher<Route> = {
	namesTarget: (patch) => routeMatch(patch) !== undefined,
	forAll: editsAll,
	firstNeedsTarget: true,
	isTarget: (patch, route) => {
		const { name, action = "ANY" } = routeMatch(patch) ?? {};
		return (!name || name === route.name) && (action === "ANY" || action === actionOf(route));
	},
	merge: (route, value, options) => mergeMessages(types.route, route, value, options),
};

function actionOf(route: Route): "ROUTE" | "REDIRECT" | "DIRECT_RESPONSE" | undefined {
	if (route.route) return "ROUTE";
	if (route.redirect) return "REDIRECT";
	return route.directResponse ? "DIRECT_RESPONSE" : undefined;
}

function tableMatches(name: string, { match: { routeConfiguration: match } }: Patch, context: PatchContext, servicePorts: readonly number[]): boolean {
	if (match === undefined) return true;
	if (match.name && match.name !== name) return false;
	if (context !== "GATEWAY") {
		// `9080`, `host:9080` or `inbound|9080||`.
		const port = Number(name.startsWith("inbound|") ? name.split("|")[1] : name);
		return !match.portNumber || match.portNumber === port;
	}
	const { port, portName, gateway } = gatewayTable(name);
	// Where servers' ports lead to this one, they are meant.
	const ports = servicePorts.length > 0 ? servicePorts : [port];
	if (match.portNumber && !ports.includes(match.portNumber)) return false;
	return (!match.portName || match.portName === portName) && (!match.gateway || match.gateway === gateway);
}

/** `http.8080`, or `https.443.name.gateway.namespace`. */
function gatewayTable(name: string): { readonly port: number; readonly portName: string; readonly gateway: string } {
	const [scheme, port = "", portName = "", gateway = "", namespace = ""] = name.split(".");
	if (scheme !== "https") return { port: Number(port), portName: "", gateway: "" };
	return { port: Number(port), portName, gateway: `${namespace}/${gateway}` };
}
