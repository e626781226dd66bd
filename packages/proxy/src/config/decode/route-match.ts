import type { RouteMatch } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { FilterStateMatcher } from "@weft/xds/generated/envoy/type/matcher/v3/filter_state.ts";
import type { UriTemplateMatchConfig } from "@weft/xds/generated/envoy/extensions/path/match/uri_template/v3/uri_template_match.ts";
import type { RequestMatch } from "../jwt-authentication.ts";
import type { CookieMatch, FilterStateMatch, PathMatch } from "../matchers.ts";
import { parseUriTemplate } from "../uri-template.ts";
import { openAny } from "./any.ts";
import { type At, onlySupports, report, under } from "./issues.ts";
import { decodeHeaderMatches, decodeMetadataMatch, decodeQueryMatch, decodeRegex, decodeRuntimeFraction, decodeStringMatch } from "./matchers.ts";

const supported = [
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
	"dynamicMetadata",
	"filterState",
	"cookies",
];

/** Of a route, or of a filter's own rule. */
export function decodeRouteMatch(at: At, match: RouteMatch | undefined): RequestMatch {
	if (match !== undefined) onlySupports(at, "envoy.config.route.v3.RouteMatch", match, supported);
	return {
		path: decodePath(at, match),
		headers: decodeHeaderMatches(at, match?.headers ?? []),
		query: (match?.queryParameters ?? []).map((query, i) => decodeQueryMatch(under(at, `queryParameters[${i}]`), query)),
		dynamicMetadata: (match?.dynamicMetadata ?? []).map((metadata, i) => decodeMetadataMatch(under(at, `dynamicMetadata[${i}]`), metadata)),
		...(match !== undefined &&
			match.filterState.length > 0 && { filterState: match.filterState.map((one, i) => decodeFilterState(under(at, `filterState[${i}]`), one)) }),
		...(match !== undefined && match.cookies.length > 0 && { cookies: match.cookies.map((one, i) => decodeCookie(under(at, `cookies[${i}]`), one)) }),
		grpcOnly: match?.grpc !== undefined,
		runtimeFraction: decodeRuntimeFraction(under(at, "runtimeFraction"), match?.runtimeFraction),
	};
}

function decodeFilterState(at: At, { key, stringMatch, addressMatch }: FilterStateMatcher): FilterStateMatch {
	if (addressMatch !== undefined) report(under(at, "addressMatch"), "address_match is not implemented");
	return {
		key,
		match: addressMatch === undefined ? decodeStringMatch(under(at, "stringMatch"), stringMatch) : { kind: "exact", value: "", ignoreCase: false },
	};
}

function decodeCookie(at: At, { name, stringMatch, invertMatch }: RouteMatch["cookies"][number]): CookieMatch {
	return { name, match: decodeStringMatch(under(at, "stringMatch"), stringMatch), invert: invertMatch };
}

function decodePath(at: At, match: RouteMatch | undefined): PathMatch {
	const caseSensitive = match?.caseSensitive ?? true;
	if (match?.prefix !== undefined) return { kind: "prefix", value: match.prefix, caseSensitive };
	if (match?.path !== undefined) return { kind: "exact", value: match.path, caseSensitive };
	if (match?.pathSeparatedPrefix !== undefined) return { kind: "pathSeparatedPrefix", value: match.pathSeparatedPrefix, caseSensitive };
	if (match?.safeRegex !== undefined) return { kind: "regex", value: decodeRegex(under(at, "safeRegex"), match.safeRegex) };
	if (match?.connectMatcher !== undefined) return { kind: "connect" };
	if (match?.pathMatchPolicy !== undefined) return decodePolicy(under(at, "pathMatchPolicy"), match.pathMatchPolicy);
	return { kind: "prefix", value: "/", caseSensitive };
}

function decodePolicy(at: At, policy: NonNullable<RouteMatch["pathMatchPolicy"]>): PathMatch {
	const opened = openAny(at, policy.typedConfig, `path match policy ${policy.name}`);
	if (opened?.typeName === "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig") {
		const parsed = parseUriTemplate((opened.message as UriTemplateMatchConfig).pathTemplate);
		if (parsed.kind === "template") return { kind: "regex", value: parsed.regex };
		report(at, `invalid path template: ${parsed.message}`);
	} else if (opened !== undefined) report(at, `path match policy of type ${opened.typeName} is not implemented`);
	return { kind: "regex", value: "" };
}
