import type {
	DirectResponseAction as DirectMessage,
	RedirectAction as RedirectMessage,
	Route as RouteMessage,
} from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { DirectResponseAction, RedirectAction, Route } from "../routes.ts";
import { type DecodeEnvironment, dataBytes } from "./environment.ts";
import { decodeHeaderOperations } from "./headers.ts";
import { type At, onlySupports, report, under } from "./issues.ts";
import { decodeCors, legacyCorsType, withLegacyCors } from "./filters/cors.ts";
import { decodeOverrides } from "./filters/overrides.ts";
import { decodeRewrite } from "./matchers.ts";
import { decodeRouteAction } from "./route-action.ts";
import { decodeRouteMatch } from "./route-match.ts";
import { decodeDecorator, decodeRouteTracing } from "./tracing.ts";

export interface RouteLimits {
	readonly bodyBytesMax: number;
}

// `stat_prefix` only names statistics of the route's own, which are not kept.
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

export function decodeRoute(at: At, route: RouteMessage, limits: RouteLimits, environment: DecodeEnvironment): Route {
	onlySupports(at, "envoy.config.route.v3.Route", route, supported);
	const actionCors = route.route?.cors;
	return {
		name: route.name,
		...decodeRouteMatch(under(at, "match"), route.match),
		action: decodeAction(at, route, limits, environment),
		headerOperations: decodeHeaderOperations(at, route),
		filters: withLegacyCors(decodeOverrides(at, route.typedPerFilterConfig), actionCors && decodeCors(under(at, "route.cors"), legacyCorsType, actionCors)),
		metadata: decodeMetadata(route.metadata),
		decorator: decodeDecorator(route.decorator),
		tracing: decodeRouteTracing(under(at, "tracing"), route.tracing),
	};
}

function decodeMetadata(metadata: RouteMessage["metadata"]): Route["metadata"] {
	const namespaces = Object.entries(metadata?.filterMetadata ?? {}).filter(([, values]) => values !== undefined);
	return namespaces.length === 0 ? undefined : Object.fromEntries(namespaces as [string, Readonly<Record<string, unknown>>][]);
}

function decodeAction(at: At, route: RouteMessage, limits: RouteLimits, environment: DecodeEnvironment): Route["action"] {
	if (route.redirect !== undefined) return decodeRedirect(under(at, "redirect"), route.redirect);
	if (route.directResponse !== undefined) return decodeDirectResponse(under(at, "directResponse"), route.directResponse, limits, environment);
	if (route.route !== undefined) return decodeRouteAction(under(at, "route"), route.route, route.match);
	return { kind: "direct", status: 500, body: new Uint8Array(0) };
}

const redirectStatuses = [301, 302, 303, 307, 308] as const;

function decodeRedirect(at: At, redirect: RedirectMessage): RedirectAction {
	const path = (): RedirectAction["path"] => {
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

function decodeDirectResponse(at: At, direct: DirectMessage, limits: RouteLimits, environment: DecodeEnvironment): DirectResponseAction {
	const body = dataBytes(under(at, "body"), direct.body, environment);
	if (body.length > limits.bodyBytesMax) report(at, `response body size is ${body.length} bytes; maximum is ${limits.bodyBytesMax}`);
	return { kind: "direct", status: direct.status, body: new Uint8Array(body) };
}
