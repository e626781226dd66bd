import type { HTTPMatchRequest, StringMatch } from "@weft/api";
import type { VirtualService } from "../../model/push.ts";
import { stringMatcherOf, type StringMatcherValue } from "./values.ts";

/** The part of envoy.config.route.v3.RouteMatch that a VirtualService can ask for. */
export interface RouteMatchValue {
	readonly prefix?: string;
	readonly pathSeparatedPrefix?: string;
	readonly path?: string;
	readonly safeRegex?: { readonly regex: string };
	readonly caseSensitive?: boolean;
	readonly headers?: readonly HeaderMatcherValue[];
	/** envoy.type.matcher.v3.MetadataMatcher: claims of the request's token. */
	readonly dynamicMetadata?: readonly object[];
	readonly queryParameters?: readonly QueryParameterMatcherValue[];
}

export interface HeaderMatcherValue {
	readonly name: string;
	readonly stringMatch?: StringMatcherValue;
	readonly presentMatch?: boolean;
	readonly invertMatch?: boolean;
	readonly treatMissingHeaderAsEmpty?: boolean;
}

export interface QueryParameterMatcherValue {
	readonly name: string;
	readonly stringMatch?: StringMatcherValue;
	readonly presentMatch?: boolean;
}

const anyPath: RouteMatchValue = { prefix: "/" };

/** One HTTPMatchRequest; a route without matches takes every path. */
export function buildRouteMatch(match: HTTPMatchRequest | undefined, semantics: VirtualService["semantics"]): RouteMatchValue {
	if (match === undefined) return anyPath;
	const [wanted, unwanted] = [match.headers, match.withoutHeaders].map(sortedEntries);
	const headers = [
		...(wanted ?? []).filter(isHeader).map(([name, value]) => headerMatcher(name, value)),
		...(unwanted ?? []).filter(isHeader).map(([name, value]) => withoutHeaderMatcher(name, value)),
		...pseudoHeader(":method", match.method),
		...pseudoHeader(":authority", match.authority),
		...pseudoHeader(":scheme", match.scheme),
	];
	const claims = [...claimMatchers(wanted ?? [], false), ...claimMatchers(unwanted ?? [], true)];
	const queryParameters = sortedEntries(match.queryParams).map(([name, value]) => queryMatcher(name, value));
	return {
		...pathMatch(match.uri, semantics),
		caseSensitive: !match.ignoreUriCase,
		...(headers.length > 0 ? { headers } : {}),
		...(claims.length > 0 ? { dynamicMetadata: claims } : {}),
		...(queryParameters.length > 0 ? { queryParameters } : {}),
	};
}

/** Nothing after such a route can be reached: istiod sends no more of them, and so do we. */
export function isCatchAll(match: RouteMatchValue): boolean {
	const everyPath = match.prefix === "/" || match.safeRegex?.regex === ".*";
	return everyPath && match.headers === undefined && match.queryParameters === undefined && match.dynamicMetadata === undefined;
}

/** The path as it stands in a decorator's operation: `/api*`, `/exact`, or the regular expression. */
export function pathLabel(match: RouteMatchValue): string {
	if (match.path !== undefined) return match.path;
	if (match.safeRegex !== undefined) return match.safeRegex.regex;
	return `${match.prefix ?? "/"}*`;
}

function pathMatch(uri: StringMatch | undefined, semantics: VirtualService["semantics"]): RouteMatchValue {
	if (uri?.exact !== undefined) return { path: uri.exact };
	// Only in Istio's own API is `/api` a prefix of `/apis`.
	if (uri?.prefix !== undefined && uri.prefix !== "/" && semantics !== "istio") return { pathSeparatedPrefix: uri.prefix.replace(/\/$/, "") };
	if (uri?.prefix !== undefined) return { prefix: uri.prefix };
	if (uri?.regex !== undefined) return { safeRegex: { regex: uri.regex } };
	return anyPath;
}

function headerMatcher(name: string, match: StringMatch): HeaderMatcherValue {
	const stringMatch = presence(match) ? undefined : stringMatcherOf(match);
	return stringMatch === undefined ? { name, presentMatch: true } : { name, stringMatch };
}

function withoutHeaderMatcher(name: string, match: StringMatch): HeaderMatcherValue {
	const matcher = headerMatcher(name, match);
	// A missing header also counts as "does not have this value".
	return { ...matcher, invertMatch: true, ...(matcher.stringMatch === undefined ? {} : { treatMissingHeaderAsEmpty: true }) };
}

/** `@request.auth.claims.a.b` or `@request.auth.claims[a][b]`: a claim of the token that RequestAuthentication has checked. */
const claimPrefix = "@request.auth.claims";

/** Path to the claim; undefined for a header. https://istio.io/latest/docs/tasks/security/authentication/jwt-route/ */
function claimPath(name: string): readonly string[] | undefined {
	if (!name.toLowerCase().startsWith(claimPrefix)) return undefined;
	const rest = name.slice(claimPrefix.length);
	if (rest.startsWith(".") && rest.length > 1) return rest.slice(1).split(".");
	return rest.startsWith("[") && rest.endsWith("]") && rest.length > 2 ? rest.slice(1, -1).split("][") : undefined;
}

const isHeader = ([name]: readonly [string, StringMatch]): boolean => claimPath(name) === undefined;

/** A claim may be a text or a list of texts. */
function claimMatchers(entries: readonly (readonly [string, StringMatch])[], invert: boolean): readonly object[] {
	return entries.flatMap(([name, match]) => {
		const path = claimPath(name);
		if (path === undefined) return [];
		const stringMatch = presence(match) ? undefined : stringMatcherOf(match);
		const value =
			stringMatch === undefined ? { presentMatch: true } : { orMatch: { valueMatchers: [{ listMatch: { oneOf: { stringMatch } } }, { stringMatch }] } };
		return [{ filter: "envoy.filters.http.jwt_authn", path: ["payload", ...path].map((key) => ({ key })), value, ...(invert ? { invert } : {}) }];
	});
}

function pseudoHeader(name: string, match: StringMatch | undefined): readonly HeaderMatcherValue[] {
	const stringMatch = match === undefined ? undefined : stringMatcherOf(match);
	return stringMatch === undefined ? [] : [{ name, stringMatch }];
}

function queryMatcher(name: string, match: StringMatch): QueryParameterMatcherValue {
	const stringMatch = presence(match) ? undefined : stringMatcherOf(match);
	return stringMatch === undefined ? { name, presentMatch: true } : { name, stringMatch };
}

/** `{}` and the regular expression `*` both mean: it is there. */
function presence(match: StringMatch): boolean {
	return match.regex === "*" || stringMatcherOf(match) === undefined;
}

function sortedEntries(map: Readonly<Record<string, StringMatch>> | undefined): [string, StringMatch][] {
	return Object.entries(map ?? {}).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}
