import { parseDurationMs } from "../duration.ts";
import type {
	BackendRef,
	GRPCRouteSpec,
	HTTPRouteFilter,
	HTTPRouteMatch,
	HTTPRouteRule,
	HTTPRouteSpec,
	L4RouteRule,
	ParentReference,
	ValueMatch,
} from "../schema/gateway-api.ts";
import { regexProblem } from "./regex.ts";
import type { Report } from "./report.ts";
import { checkHeaderName, checkPort } from "./rules-common.ts";
import { checkHostname } from "./rules-gateway-api.ts";
import { quote } from "./suggestion.ts";

// What the Gateway API's own CRDs refuse of routes: https://gateway-api.sigs.k8s.io/reference/spec/

const rulesMax = 16;
const weightMax = 1_000_000;

export function checkHttpRoute(report: Report, spec: HTTPRouteSpec): void {
	checkCommon(report, spec);
	for (const [i, rule] of (spec.rules ?? []).entries()) checkHttpRule(report.at("rules", i), rule);
}

export function checkGrpcRoute(report: Report, spec: GRPCRouteSpec): void {
	checkCommon(report, spec);
	for (const [i, rule] of (spec.rules ?? []).entries()) {
		const at = report.at("rules", i);
		for (const [j, { method, headers }] of (rule.matches ?? []).entries()) {
			const match = at.at("matches", j);
			if (method && !method.service && !method.method) match.at("method").error("a method match needs service or method");
			if (method?.type === "RegularExpression") for (const field of ["service", "method"] as const) checkRegex(match.at("method", field), method[field]);
			checkValues(match.at("headers"), headers);
		}
		checkFilters(at.at("filters"), rule.filters ?? []);
		checkBackends(at.at("backendRefs"), rule.backendRefs);
		checkSession(at.at("sessionPersistence"), rule);
	}
}

export function checkL4Route(
	report: Report,
	spec: { readonly hostnames?: readonly string[]; readonly rules: readonly L4RouteRule[]; readonly parentRefs?: readonly ParentReference[] },
): void {
	checkCommon(report, spec);
	if (spec.rules.length === 0) report.at("rules").error("a route must have a rule");
	for (const [i, rule] of spec.rules.entries()) {
		if (!rule.backendRefs?.length) report.at("rules", i, "backendRefs").error("name at least one backend");
		checkBackends(report.at("rules", i, "backendRefs"), rule.backendRefs);
	}
}

interface CommonRoute {
	readonly hostnames?: readonly string[];
	readonly rules?: readonly unknown[];
	readonly parentRefs?: readonly ParentReference[];
}

function checkCommon(report: Report, { hostnames, rules, parentRefs }: CommonRoute): void {
	for (const [i, hostname] of (hostnames ?? []).entries()) checkHostname(report.at("hostnames", i), hostname);
	if ((rules?.length ?? 0) > rulesMax) report.at("rules").error(`a route may have ${rulesMax} rules at most; split it`);
	for (const [i, { name, port }] of (parentRefs ?? []).entries()) {
		if (name === "") report.at("parentRefs", i, "name").error("the name must be set");
		checkPort(report.at("parentRefs", i, "port"), port);
	}
}

function checkSession(report: Report, { sessionPersistence: session, backendRefs }: Pick<HTTPRouteRule, "sessionPersistence" | "backendRefs">): void {
	if (session === undefined) return;
	if ((backendRefs?.length ?? 0) > 1)
		report.warn("a session holds among the endpoints of one backend: which of several backends serves is chosen for each request");
	const { type = "Cookie", sessionName, absoluteTimeout, idleTimeout, cookieConfig } = session;
	const isPermanent = cookieConfig?.lifetimeType === "Permanent";
	if (type === "Header" && sessionName) checkHeaderName(report.at("sessionName"), sessionName);
	if (type === "Header" && cookieConfig) report.at("cookieConfig").error("a session of type Header has no cookie; remove it");
	if (isPermanent && absoluteTimeout === undefined) report.at("absoluteTimeout").error("must be set where lifetimeType is Permanent");
	if (idleTimeout !== undefined) report.at("idleTimeout").warn("idleTimeout is not implemented: a session does not end because it is idle");
	if (absoluteTimeout !== undefined && !isPermanent)
		report.at("absoluteTimeout").warn("absoluteTimeout counts where cookieConfig.lifetimeType is Permanent only");
}

function checkHttpRule(report: Report, rule: HTTPRouteRule): void {
	for (const [i, match] of (rule.matches ?? []).entries()) checkHttpMatch(report.at("matches", i), match);
	const filters = rule.filters ?? [];
	checkFilters(report.at("filters"), filters);
	const types = new Set(filters.map(({ type }) => type));
	if (types.has("RequestRedirect") && types.has("URLRewrite")) report.at("filters").error("a rule cannot both redirect and rewrite; keep one");
	if (types.has("RequestRedirect") && rule.backendRefs?.length) report.at("backendRefs").error("a rule that redirects sends nothing to backends; remove them");
	for (const [i, filter] of filters.entries()) checkPrefixReplacement(report.at("filters", i), filter, rule.matches ?? []);
	checkBackends(report.at("backendRefs"), rule.backendRefs);
	for (const [i, backend] of (rule.backendRefs ?? []).entries()) checkFilters(report.at("backendRefs", i, "filters"), backend.filters ?? []);
	checkTimeouts(report.at("timeouts"), rule);
	checkSession(report.at("sessionPersistence"), rule);
	for (const [i, code] of (rule.retry?.codes ?? []).entries()) {
		if (code < 400 || code > 599) report.at("retry", "codes", i).error(`${code} is no status to retry on; write one from 400 to 599`);
	}
}

function checkTimeouts(report: Report, { timeouts }: HTTPRouteRule): void {
	const request = parseDurationMs(timeouts?.request ?? "");
	const backend = parseDurationMs(timeouts?.backendRequest ?? "");
	if (request && backend && backend > request) report.at("backendRequest").error("backendRequest cannot be longer than request, which contains it");
}

function checkHttpMatch(report: Report, { path, headers, queryParams }: HTTPRouteMatch): void {
	const value = path?.value;
	if (value !== undefined && (path?.type ?? "PathPrefix") !== "RegularExpression") {
		if (!value.startsWith("/")) report.at("path", "value").error(`the path ${quote(value)} must begin with /`);
		const odd = ["//", "/./", "/../", "%2f", "%2F", "#"].find((part) => value.includes(part)) ?? (/\/\.{1,2}$/.test(value) ? "/." : undefined);
		if (odd) report.at("path", "value").error(`the path ${quote(value)} must not contain ${quote(odd)}: requests are normalised before they are matched`);
	} else checkRegex(report.at("path", "value"), value);
	checkValues(report.at("headers"), headers);
	checkValues(report.at("queryParams"), queryParams);
}

function checkValues(report: Report, values: readonly ValueMatch[] | undefined): void {
	for (const [i, { type, name, value }] of (values ?? []).entries()) {
		if (name === "") report.at(i, "name").error("the name must be set");
		if (type === "RegularExpression") checkRegex(report.at(i, "value"), value);
	}
}

function checkRegex(report: Report, pattern: string | undefined): void {
	const problem = pattern === undefined ? undefined : regexProblem(pattern);
	if (problem) report.error(problem);
}

/** The field that each type of filter reads. */
const fields = {
	RequestHeaderModifier: "requestHeaderModifier",
	ResponseHeaderModifier: "responseHeaderModifier",
	RequestMirror: "requestMirror",
	RequestRedirect: "requestRedirect",
	URLRewrite: "urlRewrite",
	CORS: "cors",
	ExtensionRef: "extensionRef",
	ExternalAuth: "externalAuth",
} as const;

const repeatable: ReadonlySet<string> = new Set(["RequestMirror", "ExtensionRef"]);

function checkFilters(report: Report, filters: readonly HTTPRouteFilter[]): void {
	const seen = new Set<string>();
	for (const [i, filter] of filters.entries()) {
		const at = report.at(i);
		const own = fields[filter.type];
		if (filter[own] === undefined) at.error(`a filter of type ${filter.type} needs ${own}`);
		for (const other of Object.values(fields))
			if (other !== own && filter[other] !== undefined) at.at(other).error(`${other} does not belong to a filter of type ${filter.type}; remove it`);
		if (seen.has(filter.type) && !repeatable.has(filter.type)) at.error(`${filter.type} may stand once in a rule; join the two`);
		seen.add(filter.type);
		if (filter.type === "ExtensionRef" || filter.type === "ExternalAuth")
			at.at("type").warn(`filters of type ${filter.type} are not supported: the whole route is left out`);
		for (const field of ["requestHeaderModifier", "responseHeaderModifier"] as const) {
			for (const part of ["set", "add"] as const)
				for (const [j, { name }] of (filter[field]?.[part] ?? []).entries()) checkHeaderName(at.at(field, part, j, "name"), name);
		}
		if (filter.requestMirror) checkBackends(at.at("requestMirror", "backendRef"), filter.requestMirror.backendRef);
	}
}

function checkPrefixReplacement(report: Report, { urlRewrite, requestRedirect }: HTTPRouteFilter, matches: readonly HTTPRouteMatch[]): void {
	for (const [field, value] of [["urlRewrite", urlRewrite] as const, ["requestRedirect", requestRedirect] as const]) {
		const path = value?.path;
		if (!path) continue;
		const [own, other] =
			path.type === "ReplacePrefixMatch" ? (["replacePrefixMatch", "replaceFullPath"] as const) : (["replaceFullPath", "replacePrefixMatch"] as const);
		if (path[own] === undefined) report.at(field, "path").error(`a path of type ${path.type} needs ${own}`);
		if (path[other] !== undefined) report.at(field, "path", other).error(`${other} does not belong to type ${path.type}; remove it`);
		const byPrefix = matches.every((match) => (match.path?.type ?? "PathPrefix") === "PathPrefix");
		if (path.type === "ReplacePrefixMatch" && !(byPrefix && matches.length <= 1)) {
			report.at(field, "path").error("ReplacePrefixMatch needs exactly one match, of type PathPrefix; split the rule");
		}
	}
}

function checkBackends(report: Report, backends: readonly BackendRef[] | BackendRef | undefined): void {
	const list =
		backends === undefined
			? []
			: Array.isArray(backends)
				? (backends as readonly BackendRef[]).map((ref, i) => [report.at(i), ref] as const)
				: [[report, backends as BackendRef] as const];
	for (const [at, { group, kind, name, port, weight }] of list) {
		if (name === "") at.at("name").error("the name must be set");
		const service = (group ?? "") === "" && (kind ?? "Service") === "Service";
		if (service && port === undefined) at.at("port").error("the port of the Service must be given");
		checkPort(at.at("port"), port);
		if (weight !== undefined && (weight < 0 || weight > weightMax)) at.at("weight").error(`${weight} is no weight; write one from 0 to ${weightMax}`);
	}
}
