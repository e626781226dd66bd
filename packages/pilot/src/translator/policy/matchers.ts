/** envoy.type.matcher.v3.StringMatcher. */
export interface StringMatcher {
	readonly exact?: string;
	readonly prefix?: string;
	readonly suffix?: string;
	readonly safeRegex?: { readonly regex: string };
	readonly ignoreCase?: boolean;
}

export const anyText: StringMatcher = { safeRegex: { regex: ".+" } };

/** A user's text as a part of an RE2 expression that matches nothing but this text. */
export function literal(text: string): string {
	return text.replace(/[\\.+*?()|[\]{}^$]/g, "\\$&");
}

/** `*` for anything that is there, `*x`, `x*` or the text itself. Strings stay strings: only a wildcard behind a prefix needs an expression. */
export function stringMatcher(value: string, prefix = ""): StringMatcher {
	if (value === "*") return anyText;
	if (value.startsWith("*")) {
		const rest = value.slice(1);
		return prefix === "" ? { suffix: rest } : { safeRegex: { regex: `${literal(prefix)}.*${literal(rest)}` } };
	}
	return value.endsWith("*") ? { prefix: prefix + value.slice(0, -1) } : { exact: prefix + value };
}

export function headerMatcher(name: string, value: string, ignoreCase = false): object {
	if (value === "*") return { name, presentMatch: true };
	return { name, stringMatch: { ...stringMatcher(value), ...(ignoreCase ? { ignoreCase } : {}) } };
}

/** `a.b` as the steps that lead to it. */
export function metadataMatcher(filter: string, keys: readonly string[], value: object): object {
	return { filter, path: keys.map((key) => ({ key })), value };
}

const jwtFilter = "envoy.filters.http.jwt_authn";

/** The claim itself, as jwt_authn leaves it in the metadata. */
export function claimMatcher(claims: readonly string[], value: object): object {
	return metadataMatcher(jwtFilter, ["payload", ...claims], value);
}

/** A claim that is the text or a list with it. */
export function claimListMatcher(claims: readonly string[], value: object): object {
	return claimMatcher(claims, { orMatch: { valueMatchers: [{ listMatch: { oneOf: value } }, value] } });
}

/** Any of several values; one alone stands for itself. */
export function anyValue(values: readonly object[]): object {
	const [only] = values;
	return values.length === 1 && only ? only : { orMatch: { valueMatchers: values } };
}

/** `[a][b]` → a, b; a name with brackets in it is one name. Undefined where it is not in brackets. */
export function bracketed(text: string): readonly string[] | undefined {
	if (!text.startsWith("[") || !text.endsWith("]")) return undefined;
	return /^(?:\[[^[\]]*\])+$/.test(text) ? text.slice(1, -1).split("][") : [text.slice(1, -1)];
}
