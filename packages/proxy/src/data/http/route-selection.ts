import { responseFlags } from "../log/response-flags.ts";
import { chooseCluster, matchRoute, matchVirtualHost } from "../match/route-table.ts";
import { httpStat } from "./http-stats.ts";
import { sendLocalReply } from "./local-reply.ts";
import type { HttpStream } from "./stream.ts";

/** Finds the route, lets the filters have the request, and forwards what they let pass. */
export function routeRequest(stream: HttpStream): void {
	resolveRoute(stream);
	const { tracing } = stream.manager;
	if (tracing !== undefined) stream.trace = tracing.begin(stream);
	stream.filters.useChain(stream.manager.chains.chainOf(stream.route, stream.choice));
	if (!isUpgradeAllowed(stream)) return answer(stream, 403, 0, "upgrade_failed");
	stream.filters.run();
}

/** A filter changed what routes are chosen by (`clear_route_cache`): the rest of the way is the new route's. */
export function rerouteRequest(stream: HttpStream): void {
	resolveRoute(stream);
	stream.filters.useChain(stream.manager.chains.chainOf(stream.route, stream.choice));
}

export function resolveRoute(stream: HttpStream): void {
	const { manager, request, snapshot, context, info } = stream;
	stream.route = stream.choice = stream.cluster = undefined;
	info.upstreamCluster = info.routeName = "";
	info.routeMetadata = info.virtualHostMetadata = undefined;
	const table = manager.table(snapshot, request);
	const host = table && matchVirtualHost(table, request.authority);
	if (host === undefined) return void (stream.routing = table === undefined ? "noTable" : "noRoute");
	if (host.config.requireTls !== "none" && request.scheme !== "https") return void (stream.routing = "needsTls");
	const route = matchRoute(host, request, context.random, info);
	stream.routing = route === undefined ? "noRoute" : "found";
	if (route === undefined) return;
	stream.route = route;
	info.routeName = route.config.name;
	info.routeMetadata = route.config.metadata;
	info.virtualHostMetadata = host.config.metadata;
	stream.choice = route.action.kind === "route" ? chooseCluster(route.action, request, context.random, info) : undefined;
	stream.cluster = stream.choice && snapshot.clusters.get(stream.choice.cluster);
	if (stream.cluster !== undefined && stream.choice !== undefined) info.upstreamCluster = stream.choice.cluster;
}

/** The router filter: the end of the filters' way. */
export function forwardRequest(stream: HttpStream): void {
	const { manager, route, request, choice } = stream;
	manager.count(httpStat.rq_total);
	if (stream.routing === "noTable") return answer(stream, 404, responseFlags.NR, "route_configuration_not_found");
	if (stream.routing === "needsTls") return redirect(stream, 301, `https://${request.authority}${request.path}`);
	if (route === undefined) {
		manager.count(httpStat.no_route);
		return answer(stream, 404, responseFlags.NR, "route_not_found");
	}
	const { action } = route;
	if (action.kind === "redirect") return redirect(stream, action.status, action.location(request, stream.info));
	if (action.kind === "direct") {
		manager.count(httpStat.rq_direct_response);
		const headers = namesItsPlace(action.status) ? ["location", `${request.scheme}://${request.authority}${request.path}`] : [];
		return sendLocalReply(stream, { status: action.status, body: action.body, flags: 0, details: "direct_response", headers, isOfRoute: true });
	}
	if (choice !== undefined) stream.router.start(action, choice);
}

/** RFC 9110 §10.2.2. */
const namesItsPlace = (status: number): boolean => status === 201 || (status >= 300 && status < 400);

/** Counted as Envoy counts it, among direct responses. */
function redirect(stream: HttpStream, status: number, location: string): void {
	stream.manager.count(httpStat.rq_direct_response);
	sendLocalReply(stream, { status, body: "", flags: 0, details: "direct_response", headers: ["location", location], isOfRoute: true });
}

function answer(stream: HttpStream, status: number, flags: number, details: string): void {
	sendLocalReply(stream, { status, body: "", flags, details });
}

/** The route's word counts, then the connection manager's. */
function isUpgradeAllowed({ upgrade, manager, route, routing }: HttpStream): boolean {
	// Without a route the answer says just that; what sends to TLS is one.
	if (upgrade === "" || (route === undefined && routing !== "needsTls")) return true;
	const own = route?.action.kind === "route" ? route.action.config.upgrades : {};
	const isAllowed = Object.hasOwn(own, upgrade) ? own[upgrade] : Object.hasOwn(manager.config.upgrades, upgrade) && manager.config.upgrades[upgrade];
	if (isAllowed !== true) manager.count(httpStat.downstream_rq_ws_on_non_ws_route);
	return isAllowed === true;
}
