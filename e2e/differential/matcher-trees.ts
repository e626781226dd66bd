import { extension } from "./config.ts";

/** Pieces of `xds.type.matcher.v3.Matcher`, as JSON. */

type Json = Readonly<Record<string, unknown>>;

export const nested = (matcher: Json) => ({ matcher });
export const network = (name: string, fields: Json = {}) => extension(name, `extensions.matching.common_inputs.network.v3.${name}`, fields);
export const ssl = (name: string) => extension(name, `extensions.matching.common_inputs.ssl.v3.${name}`);
export const header = (header_name: string) => extension("header", "type.matcher.v3.HttpRequestHeaderMatchInput", { header_name });
export const xds = (name: string, fields: Json = {}) => ({ name, typed_config: { "@type": `type.googleapis.com/xds.type.matcher.v3.${name}`, ...fields } });
export const value = (input: object, value_match: Json) => ({ single_predicate: { input, value_match } });
export const custom = (input: object, custom_match: object) => ({ single_predicate: { input, custom_match } });
export const list = (cases: readonly (readonly [predicate: Json, onMatch: Json])[], more: Json = {}) => ({
	matcher_list: { matchers: cases.map(([predicate, on_match]) => ({ predicate, on_match })) },
	...more,
});
export const exact = (input: object, map: Json, more: Json = {}) => ({ matcher_tree: { input, exact_match_map: { map } }, ...more });
export const prefix = (input: object, map: Json, more: Json = {}) => ({ matcher_tree: { input, prefix_match_map: { map } }, ...more });
export const path = header(":path");
export const range = (text: string) => ({ address_prefix: text.split("/")[0], prefix_len: Number(text.split("/")[1]) });
export const ranges = (...list: readonly (readonly [cidrs: readonly string[], onMatch: Json, exclusive?: boolean])[]) =>
	xds("IPMatcher", { range_matchers: list.map(([cidrs, on_match, exclusive = false]) => ({ ranges: cidrs.map(range), on_match, exclusive })) });
export const domains = (...list: readonly (readonly [domains: readonly string[], onMatch: Json])[]) =>
	xds("ServerNameMatcher", { domain_matchers: list.map(([names, on_match]) => ({ domains: names, on_match })) });
