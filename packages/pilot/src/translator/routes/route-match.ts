import type { HTTPMatchRequest, StringMatch } from "@weft/api";
import { anyText, claimListMatcher } from "../policy/matchers.ts";
import { stringMatcherOf, type StringMatcherValue } from "./values.ts";

/** The part of envoy.config.route.v3.RouteMatch that a VirtualService can ask for. */
export interface RouteMatchValue {
	readonly prefix?: string;
	readonly path?: string;
	readonly safeRegex?: { readonly regex: string };
	readonly caseSensitive?: boolean;
	readonly headers?: readonly HeaderMatcherValue[];
	readonly queryParameters?: readonly QueryParameterMatcherValue[];
	/** Claims of the request's token. */
	readonly dynamicMetadata?: readonly object[];
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
export function buildRouteMatch(match: HTTPMatchRequest | undefined): RouteMatchValue {
	if (match === undefined) return anyPath;
	const headers = [
		...withoutClaims(match.headers).map(([name, value]) => headerMatcher(name, value)),
		...withoutClaims(match.withoutHeaders).map(([name, value]) => withoutHeaderMatcher(name, value)),
		...pseudoHeader(":method", match.method),
		...pseudoHeader(":authority", match.authority),
		...pseudoHeader(":scheme", match.scheme),
	];
	const queryParameters = sortedEntries(match.queryParams).map(([name, value]) => queryMatcher(name, value));
	const dynamicMetadata = [...claimMatchers(match.headers, false), ...claimMatchers(match.withoutHeaders, true)];
	return {
		...pathMatch(match.uri),
		caseSensitive: !match.ignoreUriCase,
		...(headers.length > 0 ? { headers } : {}),
		...(queryParameters.length > 0 ? { queryParameters } : {}),
		...(dynamicMetadata.length > 0 ? { dynamicMetadata } : {}),
	};
}

/** Nothing after such a route can be reached: istiod sends no more of them, and so do we. */
export function isCatchAll(match: RouteMatchValue): boolean {
	const everyPath = match.prefix === "/" || match.safeRegex?.regex === "*";
	return everyPath && match.headers === undefined && match.queryParameters === undefined && match.dynamicMetadata === undefined;
}

/** The path as it stands in a decorator's operation: `/api*`, `/exact`, or the regular expression. */
export function pathLabel(match: RouteMatchValue): string {
	if (match.path !== undefined) return match.path;
	if (match.safeRegex !== undefined) return match.safeRegex.regex;
	return `${match.prefix ?? "/"}*`;
}

function pathMatch(uri: StringMatch | undefined): RouteMatchValue {
	if (uri?.exact !== undefined) return { path: uri.exact };
	if (uri?.prefix !== undefined) return { prefix: uri.prefix };
	if (uri?.regex !== undefined) return { safeRegex: { regex: uri.regex } };
	return anyPath;
}

const claimPrefix = "@request.auth.claims";

/** `@request.auth.claims.a.b` or `@request.auth.claims[a][b]`: no header but a claim. https://istio.io/latest/docs/tasks/security/authentication/jwt-route/ */
function claimPath(name: string): readonly string[] | undefined {
	if (!name.toLowerCase().startsWith(claimPrefix)) return undefined;
	const rest = name.slice(claimPrefix.length);
	if (rest.length > 1 && rest.startsWith(".")) return rest.slice(1).split(".");
	return rest.length > 2 && rest.startsWith("[") && rest.endsWith("]") ? rest.slice(1, -1).split("][") : undefined;
}

function withoutClaims(map: Readonly<Record<string, StringMatch>> | undefined): [string, StringMatch][] {
	return sortedEntries(map).filter(([name]) => claimPath(name) === undefined);
}

function claimMatchers(map: Readonly<Record<string, StringMatch>> | undefined, invert: boolean): readonly object[] {
	return sortedEntries(map).flatMap(([name, match]) => {
		const path = claimPath(name);
		const stringMatch = presence(match) ? anyText : stringMatcherOf(match);
		return path ? [{ ...claimListMatcher(path, { stringMatch }), ...(invert ? { invert } : {}) }] : [];
	});
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
