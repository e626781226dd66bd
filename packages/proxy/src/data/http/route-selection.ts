import { faultAbortBody } from "../filters/fault.ts";
import { createHeaders } from "../headers/headers-view.ts";
import { responseFlags } from "../log/response-flags.ts";
import { chooseCluster, type ClusterChoice, type CompiledRoute, matchRoute, matchVirtualHost } from "../match/route-table.ts";
import { compiledCors, compiledFault, compiledHeaders } from "./compiled-policies.ts";
import { sendLocalReply } from "./local-reply.ts";
import type { HttpStream } from "./stream.ts";
import { httpGauge, httpStat } from "./http-stats.ts";

/**
 * Route, then filters in the connection manager's order. The choice is for the `stream.route`, which forwards then.
 * undefined: answered, or to be continued later.
 */
export function selectRoute(stream: HttpStream): ClusterChoice | undefined {
	const { manager, request, snapshot, context, info } = stream;
	const table = manager.table(snapshot);
	if (table === undefined) return answer(stream, 404, responseFlags.NR, "route_configuration_not_found");
	const host = matchVirtualHost(table, request.authority);
	if (host !== undefined && needsTls(stream, host.config.requireTls)) return redirectToTls(stream);
	const route = host && matchRoute(host, request, context.random);
	if (route === undefined) {
		manager.count(httpStat.no_route);
		return answer(stream, 404, responseFlags.NR, "route_not_found");
	}
	stream.route = route;
	info.routeName = route.config.name;
	const { action } = route;
	const choice = action.kind === "route" ? chooseCluster(action, request, context.random) : undefined;
	if (!applyHealthCheck(stream)) return undefined;
	if (!isUpgradeAllowed(stream, route)) return answer(stream, 403, 0, "upgrade_failed");
	if (manager.hasCors && !applyCors(stream, route)) return undefined;
	return manager.hasFault && applyFault(stream, route, choice) ? undefined : act(stream, route, choice);
}

function answer(stream: HttpStream, status: number, flags: number, details: string): undefined {
	sendLocalReply(stream, { status, body: "", flags, details });
	return undefined;
}

function act(stream: HttpStream, route: CompiledRoute, choice: ClusterChoice | undefined): ClusterChoice | undefined {
	const { action } = route;
	if (action.kind === "route") return choice;
	if (action.kind === "redirect") {
		stream.manager.count(httpStat.rq_redirect);
		sendLocalReply(stream, { status: action.status, body: "", flags: 0, details: "direct_response", headers: ["location", action.location(stream.request)] });
		return undefined;
	}
	stream.manager.count(httpStat.rq_direct_response);
	sendLocalReply(stream, { status: action.status, body: action.body, flags: 0, details: "direct_response" });
	return undefined;
}

function needsTls({ request }: HttpStream, requireTls: "none" | "externalOnly" | "all"): boolean {
	return requireTls !== "none" && request.scheme !== "https";
}

function redirectToTls(stream: HttpStream): undefined {
	const { request } = stream;
	sendLocalReply(stream, { status: 301, body: "", flags: 0, details: "direct_response", headers: ["location", `https://${request.authority}${request.path}`] });
	return undefined;
}

function applyHealthCheck(stream: HttpStream): boolean {
	const { manager, context, request } = stream;
	for (const filter of manager.filters) {
		if (filter.kind !== "healthCheck" || filter.passThrough) continue;
		if (!compiledHeaders(filter.headers)(request)) continue;
		sendLocalReply(stream, {
			status: context.healthcheckFailed ? 503 : 200,
			body: "",
			flags: context.healthcheckFailed ? responseFlags.LH : 0,
			details: "health_check_ok",
		});
		return false;
	}
	return true;
}

/** The route's word counts, then the connection manager's. */
function isUpgradeAllowed({ upgrade, manager }: HttpStream, route: CompiledRoute): boolean {
	if (upgrade === "") return true;
	const own = route.action.kind === "route" ? route.action.config.upgrades : {};
	const isAllowed = Object.hasOwn(own, upgrade) ? own[upgrade] : Object.hasOwn(manager.config.upgrades, upgrade) && manager.config.upgrades[upgrade];
	if (isAllowed !== true) manager.count(httpStat.downstream_rq_ws_on_non_ws_route);
	return isAllowed === true;
}

function applyCors(stream: HttpStream, route: CompiledRoute): boolean {
	const policy = route.config.cors ?? route.virtualHost.config.cors;
	if (policy === undefined) return true;
	const { request, manager, context } = stream;
	const filter = compiledCors(policy);
	const verdict = filter.judge(request, context.random);
	if (verdict === "none") return true;
	manager.count(verdict === "refused" || verdict === "preflightRefused" ? httpStat["cors.origin_invalid"] : httpStat["cors.origin_valid"]);
	const origin = request.get("origin") ?? "";
	if (verdict === "actual") stream.cors = { filter, origin };
	if (verdict !== "preflight" && verdict !== "preflightRefused") return true;
	const headers: string[] = [];
	if (verdict === "preflight") {
		const written = createHeaders();
		filter.writePreflight(written, origin);
		for (const [name, value] of written.entries()) headers.push(name, value);
	}
	sendLocalReply(stream, { status: 200, body: "", flags: 0, details: "cors_response", headers });
	return false;
}

/** True: the fault took over; the request goes on after a delay, unless it is aborted. */
function applyFault(stream: HttpStream, route: CompiledRoute, choice: ClusterChoice | undefined): boolean {
	const { manager, request, context, info } = stream;
	const policy = route.config.fault ?? route.virtualHost.config.fault ?? manager.fault;
	if (policy === undefined) return false;
	const filter = compiledFault(policy);
	const decision = filter.decide(request, choice?.cluster ?? "", context.random);
	if (decision === undefined) return false;
	manager.gauge(httpGauge["fault.active_faults"], 1);
	const end = () => {
		filter.end();
		manager.gauge(httpGauge["fault.active_faults"], -1);
	};
	const finish = () => {
		end();
		if (decision.abort !== undefined) {
			manager.count(httpStat["fault.aborts_injected"]);
			const { kind, status } = decision.abort;
			const grpc = kind === "grpc" ? { grpcStatus: status } : {};
			sendLocalReply(stream, { status: kind === "http" ? status : 200, body: faultAbortBody, flags: responseFlags.FI, details: "fault_filter_abort", ...grpc });
			return;
		}
		const selected = act(stream, route, choice);
		if (selected !== undefined && route.action.kind === "route") stream.router.start(route.action, selected);
	};
	if (decision.delayMs === 0) {
		finish();
		return true;
	}
	manager.count(httpStat["fault.delays_injected"]);
	info.responseFlags |= responseFlags.DI;
	stream.router.delay(decision.delayMs, finish, end);
	return true;
}
