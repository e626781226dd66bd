import type {
	DirectResponseAction as DirectMessage,
	RedirectAction as RedirectMessage,
	Route as RouteMessage,
} from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { DirectResponseAction, RedirectAction, Route } from "../routes.ts";
import type { ClusterSpecifiers } from "./cluster-specifier.ts";
import { type DecodeEnvironment, dataBytes } from "./environment.ts";
import { decodeFilterMetadata } from "./filter-metadata.ts";
import { decodeHeaderOperations } from "./headers.ts";
import { type At, onlySupports, report, under } from "./issues.ts";
import { decodeCors, legacyCorsType, withLegacyCors } from "./filters/cors.ts";
import { decodeOverrides } from "./filters/overrides.ts";
import { decodeRewrite } from "./matchers.ts";
import { decodeRouteAction } from "./route-action.ts";
import { decodeRouteMatch } from "./route-match.ts";
import { decodeDecorator, decodeRouteTracing } from "./tracing.ts";

/** What a route may be told by the table that it stands in. */
export interface RouteScope {
	/** Of the body of a direct response. */
	readonly bodyBytesMax: number;
	readonly clusterSpecifiers: ClusterSpecifiers;
}

const supported = [
	"name",
	"match",
	"route",
	"redirect",
	"directResponse",
	"metadata",
	"decorator",
	"typedPerFilterConfig",
	"requestHeadersToAdd",
	"requestHeadersToRemove",
	"responseHeadersToAdd",
	"responseHeadersToRemove",
	"tracing",
	"statPrefix",
];

/** undefined: a plugin that its sender can do without would choose its cluster, and is not here; as in Envoy, the table is without the route. */
export function decodeRoute(at: At, route: RouteMessage, scope: RouteScope, environment: DecodeEnvironment): Route | undefined {
	onlySupports(at, "envoy.config.route.v3.Route", route, supported);
	const actionCors = route.route?.cors;
	const action = decodeAction(at, route, scope, environment);
	if (action === undefined) return undefined;
	return {
		name: route.name,
		...decodeRouteMatch(under(at, "match"), route.match),
		action,
		headerOperations: decodeHeaderOperations(at, route),
		filters: withLegacyCors(decodeOverrides(at, route.typedPerFilterConfig), actionCors && decodeCors(under(at, "route.cors"), legacyCorsType, actionCors)),
		metadata: decodeFilterMetadata(route.metadata),
		decorator: decodeDecorator(route.decorator),
		tracing: decodeRouteTracing(under(at, "tracing"), route.tracing),
		...(route.statPrefix !== "" && { statPrefix: route.statPrefix }),
	};
}

function decodeAction(at: At, route: RouteMessage, scope: RouteScope, environment: DecodeEnvironment): Route["action"] | undefined {
	if (route.redirect !== undefined) return decodeRedirect(under(at, "redirect"), route.redirect);
	if (route.directResponse !== undefined) return decodeDirectResponse(under(at, "directResponse"), route.directResponse, scope, environment);
	if (route.route !== undefined) return decodeRouteAction(under(at, "route"), route.route, route.match, scope.clusterSpecifiers);
	return { kind: "direct", status: 500, body: new Uint8Array(0) };
}

const redirectStatuses = [301, 302, 303, 307, 308] as const;

function decodeRedirect(at: At, redirect: RedirectMessage): RedirectAction {
	const path = (): RedirectAction["path"] => {
		if (redirect.pathRewrite !== "") return { kind: "format", value: redirect.pathRewrite };
		if (redirect.pathRedirect !== undefined && redirect.pathRedirect !== "") return { kind: "full", value: redirect.pathRedirect };
		if (redirect.prefixRewrite !== undefined && redirect.prefixRewrite !== "") return { kind: "prefix", value: redirect.prefixRewrite };
		if (redirect.regexRewrite !== undefined) return { kind: "regex", ...decodeRewrite(under(at, "regexRewrite"), redirect.regexRewrite) };
		return undefined;
	};
	return {
		kind: "redirect",
		status: redirectStatuses[redirect.responseCode] ?? 301,
		scheme: redirect.httpsRedirect === true ? "https" : redirect.schemeRedirect || undefined,
		host: redirect.hostRedirect || undefined,
		port: redirect.portRedirect || undefined,
		path: path(),
		stripQuery: redirect.stripQuery,
	};
}

function decodeDirectResponse(at: At, direct: DirectMessage, scope: RouteScope, environment: DecodeEnvironment): DirectResponseAction {
	const body = dataBytes(under(at, "body"), direct.body, environment);
	if (body.length > scope.bodyBytesMax) report(at, `response body size is ${body.length} bytes; maximum is ${scope.bodyBytesMax}`);
	return { kind: "direct", status: direct.status, body: new Uint8Array(body) };
}
