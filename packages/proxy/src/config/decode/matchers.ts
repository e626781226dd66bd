import type { RuntimeFeatureFlag, RuntimeFractionalPercent } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import type { HeaderMatcher, QueryParameterMatcher } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { MetadataMatcher } from "@weft/xds/generated/envoy/type/matcher/v3/metadata.ts";
import type { RegexMatchAndSubstitute, RegexMatcher } from "@weft/xds/generated/envoy/type/matcher/v3/regex.ts";
import type { StringMatcher } from "@weft/xds/generated/envoy/type/matcher/v3/string.ts";
import type { ValueMatcher } from "@weft/xds/generated/envoy/type/matcher/v3/value.ts";
import type { FractionalPercent } from "@weft/xds/generated/envoy/type/v3/percent.ts";
import { RE2JS } from "re2js";
import type { RuntimeFlag } from "../runtime-values.ts";
import type { Fraction, HeaderMatch, MetadataMatch, QueryMatch, StringMatch, ValueMatch } from "../matchers.ts";
import { regexTooLarge } from "../regex-limit.ts";
import { type At, report, under } from "./issues.ts";

export function decodeRegex(at: At, regex: Pick<RegexMatcher, "regex"> | undefined): string {
	const pattern = regex?.regex ?? "";
	if (pattern === "") {
		report(at, "regex is empty");
		return pattern;
	}
	const tooLarge = regexTooLarge(pattern);
	if (tooLarge !== undefined) {
		report(at, `invalid regex: ${tooLarge}`);
		return pattern;
	}
	try {
		RE2JS.compile(pattern);
	} catch (error) {
		report(at, `invalid regex "${pattern}": ${(error as Error).message}`);
	}
	return pattern;
}

export interface Rewrite {
	readonly pattern: string;
	readonly substitution: string;
}

export function decodeRewrite(at: At, rewrite: RegexMatchAndSubstitute): Rewrite {
	return { pattern: decodeRegex(under(at, "pattern"), rewrite.pattern), substitution: rewrite.substitution };
}

/** Envoy's, or xDS' own, which knows no custom matchers. */
type TextMatcher = Omit<StringMatcher, "safeRegex" | "custom"> & { readonly safeRegex?: { readonly regex: string }; readonly custom?: StringMatcher["custom"] };

export function decodeStringMatch(at: At, matcher: TextMatcher | undefined): StringMatch {
	const ignoreCase = matcher?.ignoreCase ?? false;
	if (matcher?.exact !== undefined) return { kind: "exact", value: matcher.exact, ignoreCase };
	if (matcher?.prefix !== undefined) return { kind: "prefix", value: matcher.prefix, ignoreCase };
	if (matcher?.suffix !== undefined) return { kind: "suffix", value: matcher.suffix, ignoreCase };
	if (matcher?.contains !== undefined) return { kind: "contains", value: matcher.contains, ignoreCase };
	if (matcher?.safeRegex !== undefined) return { kind: "regex", value: decodeRegex(under(at, "safeRegex"), matcher.safeRegex) };
	report(at, matcher?.custom ? `string matcher ${matcher.custom.name} is not implemented` : "string matcher has no pattern");
	return { kind: "exact", value: "", ignoreCase };
}

export function decodeHeaderMatch(at: At, header: HeaderMatcher): HeaderMatch {
	const base = { name: header.name.toLowerCase(), treatMissingAsEmpty: header.treatMissingHeaderAsEmpty };
	// present_match: false matches when the header is absent.
	if (header.presentMatch !== undefined) return { ...base, match: { kind: "present" }, invert: header.invertMatch !== !header.presentMatch };
	return { ...base, match: decodeHeaderValue(at, header), invert: header.invertMatch };
}

function decodeHeaderValue(at: At, header: HeaderMatcher): HeaderMatch["match"] {
	const plain = (kind: "exact" | "prefix" | "suffix" | "contains", value: string): StringMatch => ({ kind, value, ignoreCase: false });
	if (header.rangeMatch !== undefined) return { kind: "range", start: Number(header.rangeMatch.start), end: Number(header.rangeMatch.end) };
	if (header.stringMatch !== undefined) return decodeStringMatch(under(at, "stringMatch"), header.stringMatch);
	if (header.exactMatch !== undefined) return plain("exact", header.exactMatch);
	if (header.prefixMatch !== undefined) return plain("prefix", header.prefixMatch);
	if (header.suffixMatch !== undefined) return plain("suffix", header.suffixMatch);
	if (header.containsMatch !== undefined) return plain("contains", header.containsMatch);
	if (header.safeRegexMatch !== undefined) return { kind: "regex", value: decodeRegex(under(at, "safeRegexMatch"), header.safeRegexMatch) };
	// Without a specifier the header has only to be there.
	return { kind: "present" };
}

export function decodeHeaderMatches(at: At, headers: readonly HeaderMatcher[]): readonly HeaderMatch[] {
	return headers.map((header, i) => decodeHeaderMatch(under(at, `headers[${i}]`), header));
}

export function decodeQueryMatch(at: At, query: QueryParameterMatcher): QueryMatch {
	if (query.presentMatch === false) return { name: query.name, match: "absent" };
	return { name: query.name, match: query.stringMatch === undefined ? undefined : decodeStringMatch(under(at, "stringMatch"), query.stringMatch) };
}

export function decodeMetadataMatch(at: At, matcher: MetadataMatcher): MetadataMatch {
	return {
		filter: matcher.filter,
		path: matcher.path.map(({ key }) => key ?? ""),
		value: decodeValueMatch(under(at, "value"), matcher.value),
		invert: matcher.invert,
	};
}

function decodeValueMatch(at: At, value: ValueMatcher | undefined): ValueMatch {
	if (value?.nullMatch !== undefined) return { kind: "null" };
	if (value?.doubleMatch?.exact !== undefined) return { kind: "number", value: value.doubleMatch.exact };
	if (value?.doubleMatch?.range !== undefined) return { kind: "range", ...value.doubleMatch.range };
	if (value?.stringMatch !== undefined) return { kind: "string", match: decodeStringMatch(under(at, "stringMatch"), value.stringMatch) };
	if (value?.boolMatch !== undefined) return { kind: "bool", value: value.boolMatch };
	if (value?.presentMatch !== undefined) return { kind: "present", present: value.presentMatch };
	if (value?.listMatch?.oneOf !== undefined) return { kind: "listOneOf", element: decodeValueMatch(under(at, "listMatch.oneOf"), value.listMatch.oneOf) };
	if (value?.orMatch !== undefined) {
		return { kind: "or", any: value.orMatch.valueMatchers.map((any, i) => decodeValueMatch(under(at, `orMatch.valueMatchers[${i}]`), any)) };
	}
	report(at, "value matcher has no pattern");
	return { kind: "or", any: [] };
}

const denominators = [100, 10_000, 1_000_000] as const;

export function decodeFraction(at: At, percent: FractionalPercent): Fraction {
	const denominator = denominators[percent.denominator];
	if (denominator === undefined) report(at, `unknown denominator ${percent.denominator}`);
	return { numerator: percent.numerator, denominator: denominator ?? 100 };
}

export function decodeRuntimeFraction(at: At, fraction: RuntimeFractionalPercent | undefined): Fraction | undefined {
	if (fraction?.defaultValue === undefined) return undefined;
	const { defaultValue, runtimeKey } = fraction;
	return { ...decodeFraction(under(at, "defaultValue"), defaultValue), ...(runtimeKey !== "" && { runtimeKey }) };
}

/** `absent`: what holds where the field is not set. */
export function decodeRuntimeFlag(flag: RuntimeFeatureFlag | undefined, absent: boolean): RuntimeFlag {
	if (flag === undefined) return { value: absent };
	return { value: flag.defaultValue ?? absent, runtimeKey: flag.runtimeKey };
}

export const always: Fraction = { numerator: 100, denominator: 100 };
export const never: Fraction = { numerator: 0, denominator: 100 };
