import { parseDurationMs } from "@weft/api";
import type {
	GRPCRouteFilter,
	GRPCRouteMatch,
	GRPCRouteRule,
	Headers,
	HTTPMatchRequest,
	HTTPMirrorPolicy,
	HTTPRetry,
	HTTPRoute,
	HTTPRouteDestination,
	HTTPRouteFilter,
	HTTPRouteMatch,
	HTTPRouteRule,
	StringMatch,
	ValueMatch,
} from "@weft/api";
import type { SessionPersistence, SessionRoute } from "../session-persistence.ts";
import { type BackendUser, resolveBackend, weighted, weightSum } from "./backends.ts";
import type { Outcome, RouteContext } from "./context.ts";
import { cors, headerOperations, mirrorPercentage, redirect, rewrite } from "./filters.ts";
import type { Problem } from "./status.ts";

// Rules of HTTPRoutes and GRPCRoutes as routes of a VirtualService, one a match.

type Rule = HTTPRouteRule | GRPCRouteRule;

/** The spec of a route, as far as the two kinds agree. */
export interface RuleInput {
	readonly name: string;
	readonly user: BackendUser;
	readonly context: RouteContext;
}

export function compileHttpRules(rules: readonly HTTPRouteRule[], input: RuleInput): Outcome<readonly HTTPRoute[]> {
	return compileRules(rules, input, ({ matches, timeouts, retry }) => ({
		matches: matches?.length ? matches.map(httpMatch) : [undefined],
		fields: limitFields(timeouts, retry),
		statusWithoutBackends: 404,
	}));
}

export function compileGrpcRules(rules: readonly GRPCRouteRule[], input: RuleInput): Outcome<readonly HTTPRoute[]> {
	return compileRules(rules, input, ({ matches }) => ({
		matches: matches?.length ? matches.map(grpcMatch) : [undefined],
		fields: {},
		statusWithoutBackends: 500,
	}));
}

interface Compiled {
	readonly matches: readonly (HTTPMatchRequest | undefined)[];
	/** What of the route depends on its kind. */
	readonly fields: Partial<HTTPRoute>;
	/** Of a rule that names no backends at all; where their weights are 0 it is 500. */
	readonly statusWithoutBackends: number;
}

function compileRules<R extends Rule>(rules: readonly R[], input: RuleInput, compile: (rule: R) => Compiled): Outcome<readonly HTTPRoute[]> {
	const routes: HTTPRoute[] = [];
	let problem: Problem | undefined;
	for (const [position, rule] of rules.entries()) {
		const { matches, fields, statusWithoutBackends } = compile(rule);
		const action = compileAction(rule, input, statusWithoutBackends);
		// One rule that cannot be understood makes the whole route invalid: half of it could do the opposite of what is meant.
		if (action.value === undefined) return action;
		problem = action.problem ?? problem;
		const name = rule.name || `${input.user.namespace}.${input.name}.${position}`;
		for (const match of matches) {
			const session = rule.sessionPersistence && action.value.route && { sessionPersistence: sessionPersistence(rule.sessionPersistence, name, match?.uri) };
			routes.push({ name, ...(match && { match: [match] }), ...fields, ...action.value, ...session } satisfies SessionRoute);
		}
	}
	return { value: routes, problem };
}

const sessionHeaderDefault = "x-session";

/** A cookie is for the path of the match: another rule of the host may have one of its own. */
function sessionPersistence(
	{ type = "Cookie", sessionName, absoluteTimeout, cookieConfig }: NonNullable<Rule["sessionPersistence"]>,
	ruleName: string,
	uri: StringMatch | undefined,
): SessionPersistence {
	if (type === "Header") return { type: "header", name: sessionName ?? sessionHeaderDefault, path: "", ttl: undefined };
	const ttl = cookieConfig?.lifetimeType === "Permanent" ? absoluteTimeout : undefined;
	return { type: "cookie", name: sessionName ?? ruleName, path: uri === undefined ? "/" : (uri.exact ?? uri.prefix ?? ""), ttl };
}

function compileAction(rule: Rule, input: RuleInput, statusWithoutBackends: number): Outcome<Partial<HTTPRoute>> {
	const filters = compileFilters(rule.filters ?? [], input);
	if (filters.value === undefined) return filters;
	const backends = rule.backendRefs ?? [];
	if (weightSum(backends) === 0 && !filters.value.redirect) {
		const status = backends.length === 0 ? statusWithoutBackends : 500;
		return { value: { ...filters.value, directResponse: { status } }, problem: filters.problem };
	}
	const route: HTTPRouteDestination[] = [];
	let problem = filters.problem;
	for (const { ref, weight } of weighted<(typeof backends)[number]>(backends)) {
		const destination = resolveBackend(ref, input.user, input.context);
		if (destination.value === undefined) return destination;
		problem = destination.problem ?? problem;
		const headers = backendHeaders(ref.filters ?? []);
		if (headers.value === undefined) return headers;
		route.push({ destination: destination.value, weight, ...(Object.keys(headers.value).length > 0 && { headers: headers.value }) });
	}
	return { value: { ...filters.value, ...(route.length > 0 && { route }) }, problem };
}

type Filter = HTTPRouteFilter | GRPCRouteFilter;

const unsupported = ({ type }: Filter): { readonly value: undefined; readonly problem: Problem } => ({
	value: undefined,
	problem: { reason: "UnsupportedValue", message: `unsupported filter type ${JSON.stringify(type)}` },
});

function backendHeaders(filters: readonly Filter[]): Outcome<Headers> {
	const headers: { request?: Headers["request"]; response?: Headers["response"] } = {};
	for (const filter of filters) {
		if (filter.type === "RequestHeaderModifier") headers.request = headerOperations(filter.requestHeaderModifier ?? {});
		else if (filter.type === "ResponseHeaderModifier") headers.response = headerOperations(filter.responseHeaderModifier ?? {});
		else return unsupported(filter);
	}
	return { value: headers };
}

const modifiers: ReadonlySet<Filter["type"]> = new Set(["RequestHeaderModifier", "ResponseHeaderModifier"]);
const supported: ReadonlySet<Filter["type"]> = new Set([...modifiers, "RequestMirror", "RequestRedirect", "URLRewrite", "CORS"]);

function compileFilters(filters: readonly Filter[], input: RuleInput): Outcome<Partial<HTTPRoute>> {
	const unknown = filters.find(({ type }) => !supported.has(type));
	if (unknown) return unsupported(unknown);
	const headers = backendHeaders(filters.filter(({ type }) => modifiers.has(type))).value ?? {};
	const { mirrors, problem } = compileMirrors(filters, input);
	const fields = filters.map(fieldsOf);
	const value = Object.assign({}, ...fields, Object.keys(headers).length > 0 ? { headers } : {}, mirrors.length > 0 ? { mirrors } : {}) as Partial<HTTPRoute>;
	return { value, problem };
}

/** What a filter says that stands once in a rule. */
function fieldsOf(filter: Filter): Partial<HTTPRoute> {
	switch (filter.type) {
		case "RequestRedirect":
			return { redirect: redirect(filter.requestRedirect ?? {}) };
		case "URLRewrite": {
			const value = rewrite(filter.urlRewrite ?? {});
			return value ? { rewrite: value } : {};
		}
		case "CORS":
			return { corsPolicy: cors(filter.cors ?? {}) };
		default:
			return {};
	}
}

function compileMirrors(
	filters: readonly Filter[],
	input: RuleInput,
): { readonly mirrors: readonly HTTPMirrorPolicy[]; readonly problem: Problem | undefined } {
	const wanted = filters.flatMap(({ requestMirror }) => requestMirror ?? []);
	const found = wanted.map((mirror) => ({ mirror, destination: resolveBackend(mirror.backendRef, input.user, input.context) }));
	// A mirror that is not there costs the request nothing.
	const mirrors = found.flatMap(({ mirror, destination: { value: destination, problem } }): HTTPMirrorPolicy[] => {
		if (problem || destination === undefined) return [];
		const value = mirrorPercentage(mirror);
		return [{ destination, ...(value !== undefined && { percentage: { value } }) }];
	});
	return { mirrors, problem: found.findLast(({ destination }) => destination.problem)?.destination.problem };
}

/** A connection that failed before the request was seen is always tried again; status codes as the rule says. */
const retryConditions = ["connect-failure", "refused-stream", "unavailable", "cancelled"];
const retryAttemptsDefault = 2;

/** `0s` means no limit. Where there are retries, the backend's timeout is that of one try. */
function limitFields(timeouts: HTTPRouteRule["timeouts"], retry: HTTPRouteRule["retry"]): Partial<HTTPRoute> {
	const given = (text: string | undefined) => (text !== undefined && parseDurationMs(text) ? text : undefined);
	const request = given(timeouts?.request);
	const backend = given(timeouts?.backendRequest);
	const timeout = retry === undefined ? (backend ?? request) : request;
	return { ...(timeout !== undefined && { timeout }), ...(retry && { retries: retryPolicy(retry, backend) }) };
}

function retryPolicy({ attempts = retryAttemptsDefault, codes, backoff }: NonNullable<HTTPRouteRule["retry"]>, perTryTimeout: string | undefined): HTTPRetry {
	return {
		attempts,
		retryOn: attempts === 0 ? "" : [...retryConditions, ...(codes ?? []).map(String)].join(),
		...(backoff && { backoff }),
		...(perTryTimeout !== undefined && { perTryTimeout }),
	};
}

function httpMatch({ path, headers, queryParams, method }: HTTPRouteMatch): HTTPMatchRequest {
	return {
		// What the API server would fill in.
		uri: pathMatch(path?.type ?? "PathPrefix", path?.value ?? "/"),
		...(headers?.length && { headers: valueMatches(headers, true) }),
		...(queryParams?.length && { queryParams: valueMatches(queryParams, false) }),
		...(method && { method: { exact: method } }),
	};
}

function pathMatch(type: "Exact" | "PathPrefix" | "RegularExpression", value: string): StringMatch {
	if (type === "Exact") return { exact: value };
	if (type === "RegularExpression") return { regex: value };
	return { prefix: value === "/" ? value : value.replace(/\/$/, "") };
}

/** The first of several entries for one name counts; header names are alike in any case. */
function valueMatches(values: readonly ValueMatch[], foldCase: boolean): Record<string, StringMatch> {
	const map: Record<string, StringMatch> = {};
	const seen = new Set<string>();
	for (const { type, name, value } of values) {
		const key = foldCase ? name.toLowerCase() : name;
		if (seen.has(key)) continue;
		seen.add(key);
		map[name] = type === "RegularExpression" ? { regex: value } : { exact: value };
	}
	return map;
}

function grpcMatch({ method, headers }: GRPCRouteMatch): HTTPMatchRequest {
	return { ...(method && { uri: methodMatch(method) }), ...(headers?.length && { headers: valueMatches(headers, true) }) };
}

/** A call's path is `/service/method`. */
function methodMatch({ type, service, method }: NonNullable<GRPCRouteMatch["method"]>): StringMatch {
	if (service === undefined) return { regex: `/[^/]+/${method ?? ""}` };
	if (type === "RegularExpression") return { regex: `/${service}/${method ?? ".+"}` };
	return method === undefined ? { prefix: `/${service}/` } : { exact: `/${service}/${method}` };
}
