import type { HTTPMatchRequest, HTTPRoute } from "@weft/api";
import type { VirtualService } from "../../model/push.ts";
import { outboundClusterName, parseClusterName } from "./cluster-name.ts";
import { buildHashPolicy } from "./hash-policy.ts";
import { buildHeaderOperations } from "./header-operations.ts";
import { buildPerFilterConfig } from "./per-filter-config.ts";
import { type ActionInput, buildDirectResponse, buildForward, buildRedirect, type ForwardInput } from "./route-action.ts";
import { buildRouteMatch, isCatchAll, pathLabel, type RouteMatchValue } from "./route-match.ts";
import { buildRetryPolicy, defaultRetryPolicy } from "./retry-policy.ts";
import { configMetadata, zeroDuration } from "./values.ts";

/** Who asks: decides matches on source and gateway at translation time, as Envoy cannot. */
export interface RouteClient {
	readonly namespace: string;
	readonly labels: Readonly<Record<string, string>>;
	/** `mesh` for sidecars, else the gateways (`namespace/name`) that the listener serves. */
	readonly gateways: ReadonlySet<string>;
}

/** envoy.config.route.v3.Route. */
export interface BuiltRoute {
	readonly match: RouteMatchValue;
	readonly [field: string]: unknown;
}

/** Routes of a VirtualService for one listening port, in order, up to the first that takes everything. */
export function buildHttpRoutes(virtualService: VirtualService, client: RouteClient, input: ActionInput): BuiltRoute[] {
	const routes: BuiltRoute[] = [];
	for (const http of virtualService.spec.http ?? []) {
		for (const match of http.match?.length ? http.match : [undefined]) {
			if (match !== undefined && !appliesTo(match, client, input.listenPort)) continue;
			const routeMatch = buildRouteMatch(match, virtualService.semantics);
			routes.push(buildHttpRoute(virtualService, http, match, routeMatch, input));
			if (isCatchAll(routeMatch)) return routes;
		}
	}
	return routes;
}

/** Whether a match can hold at all for this client and port. */
export function appliesTo(match: HTTPMatchRequest, client: RouteClient, listenPort: number): boolean {
	if (match.port !== undefined && match.port !== 0 && match.port !== listenPort) return false;
	// At a gateway the source is not known: naming gateways leaves the conditions on it without effect.
	if (match.gateways?.length) return match.gateways.some((gateway) => client.gateways.has(gateway));
	return sourceApplies(match, client);
}

function sourceApplies(match: HTTPMatchRequest, client: RouteClient): boolean {
	if (match.sourceNamespace && match.sourceNamespace !== client.namespace) return false;
	return Object.entries(match.sourceLabels ?? {}).every(([key, value]) => client.labels[key] === value);
}

function buildHttpRoute(
	virtualService: VirtualService,
	http: HTTPRoute,
	match: HTTPMatchRequest | undefined,
	routeMatch: RouteMatchValue,
	input: ActionInput,
): BuiltRoute {
	const name = match?.name ? `${http.name ?? ""}.${match.name}` : (http.name ?? "");
	const perFilterConfig = buildPerFilterConfig(http);
	const { action, cluster } = buildAction(http, { ...input, semantics: virtualService.semantics, match: routeMatch });
	return {
		name,
		match: routeMatch,
		...action,
		metadata: configMetadata(virtualService.configPath),
		decorator: { operation: operationOf(cluster, virtualService.name, input.listenPort, routeMatch) },
		...(match?.statPrefix ? { statPrefix: match.statPrefix } : {}),
		...(perFilterConfig ? { typedPerFilterConfig: perFilterConfig } : {}),
	};
}

function buildAction(http: HTTPRoute, input: ForwardInput): { action: object; cluster: string | undefined } {
	if (http.redirect) {
		const { fields } = buildHeaderOperations(http.headers);
		return { action: { redirect: buildRedirect(http.redirect, input), ...fields }, cluster: undefined };
	}
	if (http.directResponse) {
		const { fields } = buildHeaderOperations(http.headers);
		return { action: { directResponse: buildDirectResponse(http.directResponse), ...fields }, cluster: undefined };
	}
	const { route, cluster, headers } = buildForward(http, input);
	return { action: { route, ...headers }, cluster };
}

/** `host:port/path` of the one destination, or the VirtualService's name where there are several. */
function operationOf(cluster: string | undefined, virtualServiceName: string, listenPort: number, match: RouteMatchValue): string {
	const target = cluster === undefined ? undefined : parseClusterName(cluster);
	const authority = target ? `${target.host}:${target.port}` : `${virtualServiceName}:${listenPort}`;
	return authority + pathLabel(match);
}

/** The one route of a service that no VirtualService speaks of. */
export function buildDefaultRoute(host: string, input: ActionInput): object {
	const hash = input.hashOf({ host, port: { number: input.listenPort } });
	const hashPolicy = hash === undefined ? undefined : buildHashPolicy(hash);
	const retryPolicy = input.defaultRetry === undefined ? defaultRetryPolicy : buildRetryPolicy(input.defaultRetry, false);
	return {
		name: "default",
		match: { prefix: "/" },
		decorator: { operation: `${host}:${input.listenPort}/*` },
		route: {
			cluster: outboundClusterName(input.listenPort, "", host),
			timeout: zeroDuration,
			maxGrpcTimeout: zeroDuration,
			...(retryPolicy ? { retryPolicy } : {}),
			...(hashPolicy ? { hashPolicy: [hashPolicy] } : {}),
		},
	};
}
