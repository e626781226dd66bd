import type {
	DirectResponseAction as DirectMessage,
	RedirectAction as RedirectMessage,
	Route as RouteMessage,
	RouteMatch,
} from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { DirectResponseAction, PathMatch, RedirectAction, Route } from "../runtime-config.ts";
import { type DecodeEnvironment, dataBytes } from "./environment.ts";
import { decodeHeaderOperations } from "./headers.ts";
import { type At, onlySupports, report, under } from "./issues.ts";
import { decodeHeaderMatches, decodeQueryMatch, decodeRegex, decodeRewrite, decodeRuntimeFraction } from "./matchers.ts";
import { decodeRouteAction } from "./route-action.ts";
import { decodeCors, decodePerFilter } from "./route-policies.ts";

export interface RouteLimits {
	readonly bodyBytesMax: number;
}

// `tracing` and `stat_prefix` only matter to tracers and to vhost statistics that are not kept; a decorator names spans.
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
	const policies = decodePerFilter(at, route.typedPerFilterConfig);
	const match = route.match;
	const matchAt = under(at, "match");
	if (match !== undefined) {
		onlySupports(matchAt, "envoy.config.route.v3.RouteMatch", match, [
			"prefix",
			"path",
			"safeRegex",
			"connectMatcher",
			"pathSeparatedPrefix",
			"pathMatchPolicy",
			"caseSensitive",
			"runtimeFraction",
			"headers",
			"queryParameters",
			"grpc",
		]);
	}
	const actionCors = route.route?.cors;
	const istio: Readonly<Record<string, unknown>> | undefined = route.metadata?.filterMetadata["istio"];
	return {
		name: route.name,
		path: decodePath(matchAt, match),
		headers: decodeHeaderMatches(matchAt, match?.headers ?? []),
		query: (match?.queryParameters ?? []).map((q, i) => decodeQueryMatch(under(matchAt, `queryParameters[${i}]`), q)),
		grpcOnly: match?.grpc !== undefined,
		runtimeFraction: decodeRuntimeFraction(under(matchAt, "runtimeFraction"), match?.runtimeFraction),
		action: decodeAction(at, route, limits, environment),
		headerOperations: decodeHeaderOperations(at, route),
		cors: policies.cors ?? (actionCors && decodeCors(under(at, "route.cors"), "envoy.config.route.v3.CorsPolicy", actionCors)),
		fault: policies.fault,
		istioConfig: typeof istio?.["config"] === "string" ? istio["config"] : undefined,
	};
}

function decodePath(at: At, match: RouteMatch | undefined): PathMatch {
	const caseSensitive = match?.caseSensitive ?? true;
	if (match?.prefix !== undefined) return { kind: "prefix", value: match.prefix, caseSensitive };
	if (match?.path !== undefined) return { kind: "exact", value: match.path, caseSensitive };
	if (match?.pathSeparatedPrefix !== undefined) return { kind: "pathSeparatedPrefix", value: match.pathSeparatedPrefix, caseSensitive };
	if (match?.safeRegex !== undefined) return { kind: "regex", value: decodeRegex(under(at, "safeRegex"), match.safeRegex) };
	if (match?.connectMatcher !== undefined) return { kind: "connect" };
	if (match?.pathMatchPolicy !== undefined) report(under(at, "pathMatchPolicy"), `path match policy ${match.pathMatchPolicy.name} is not implemented`);
	return { kind: "prefix", value: "/", caseSensitive };
}

function decodeAction(at: At, route: RouteMessage, limits: RouteLimits, environment: DecodeEnvironment): Route["action"] {
	if (route.redirect !== undefined) return decodeRedirect(under(at, "redirect"), route.redirect);
	if (route.directResponse !== undefined) return decodeDirectResponse(under(at, "directResponse"), route.directResponse, limits, environment);
	if (route.route !== undefined) return decodeRouteAction(under(at, "route"), route.route);
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
