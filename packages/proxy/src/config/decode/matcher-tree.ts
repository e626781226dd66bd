import type { CidrRange } from "@weft/xds/generated/xds/core/v3/cidr.ts";
import type { TypedExtensionConfig } from "@weft/xds/generated/xds/core/v3/extension.ts";
import type { DynamicMetadataInput } from "@weft/xds/generated/envoy/extensions/matching/common_inputs/network/v3/dynamic_metadata_input.ts";
import type { FilterStateInput } from "@weft/xds/generated/envoy/extensions/matching/common_inputs/network/v3/network_inputs.ts";
import type { Ip } from "@weft/xds/generated/envoy/extensions/matching/input_matchers/ip/v3/ip.ts";
import type { Metadata } from "@weft/xds/generated/envoy/extensions/matching/input_matchers/metadata/v3/metadata.ts";
import type { HttpRequestHeaderMatchInput } from "@weft/xds/generated/envoy/type/matcher/v3/http_inputs.ts";
import type { CelMatcher } from "@weft/xds/generated/xds/type/matcher/v3/cel.ts";
import type { ServerNameMatcher } from "@weft/xds/generated/xds/type/matcher/v3/domain.ts";
import type { IPMatcher } from "@weft/xds/generated/xds/type/matcher/v3/ip.ts";
import type {
	Matcher,
	Matcher_MatcherList_Predicate as Predicate,
	Matcher_MatcherList_Predicate_SinglePredicate as SinglePredicate,
	Matcher_MatcherTree as TreeMessage,
	Matcher_OnMatch as OnMatchMessage,
} from "@weft/xds/generated/xds/type/matcher/v3/matcher.ts";
import type { MatcherCases, MatcherInput, MatcherPredicate, MatcherTree, OnMatch } from "../matcher-tree.ts";
import { type Opened, openAny } from "./any.ts";
import { decodeCelExpression } from "./cel-expression.ts";
import { type At, report, under } from "./issues.ts";
import { decodeMetadataMatch, decodeStringMatch } from "./matchers.ts";

/** Where a tree stands: what it may look at, and what it decides. */
export interface MatcherUse<A> {
	/** Full names of the messages of inputs. */
	readonly inputs: ReadonlySet<string>;
	/** Reported of another input, before its name. */
	readonly refusal: string;
	readonly decodeAction: (at: At, action: Opened) => A | undefined;
}

const network = "envoy.extensions.matching.common_inputs.network.v3";
const ssl = "envoy.extensions.matching.common_inputs.ssl.v3";
const celInput = "xds.type.matcher.v3.HttpAttributesCelMatchInput";
const metadataInput = `${network}.DynamicMetadataInput`;
const headerInput = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput";

const plainInputs: Readonly<
	Record<string, Exclude<MatcherInput["kind"], "header" | "filterState" | "transportProtocol" | "applicationProtocol" | "sourceType">>
> = {
	[`${network}.DestinationIPInput`]: "destinationIp",
	[`${network}.DestinationPortInput`]: "destinationPort",
	[`${network}.SourceIPInput`]: "sourceIp",
	[`${network}.SourcePortInput`]: "sourcePort",
	[`${network}.DirectSourceIPInput`]: "directSourceIp",
	[`${network}.ServerNameInput`]: "serverName",
	[`${ssl}.UriSanInput`]: "uriSan",
	[`${ssl}.DnsSanInput`]: "dnsSan",
	[`${ssl}.SubjectInput`]: "subject",
};

const detectedInputs: Readonly<Record<string, "transportProtocol" | "applicationProtocol" | "sourceType">> = {
	[`${network}.TransportProtocolInput`]: "transportProtocol",
	[`${network}.ApplicationProtocolInput`]: "applicationProtocol",
	[`${network}.SourceTypeInput`]: "sourceType",
};

/** Inputs of connections that have no filter chain yet. */
export const listenerInputs: readonly string[] = [
	...["DestinationIP", "DestinationPort", "SourceIP", "SourcePort", "DirectSourceIP", "ServerName"].map((name) => `${network}.${name}Input`),
	...Object.keys(detectedInputs),
];
/** Inputs of connections, which requests have, too. */
export const connectionInputs: readonly string[] = [...Object.keys(plainInputs), `${network}.FilterStateInput`];
export const requestInputs: readonly string[] = [...connectionInputs, headerInput, celInput, metadataInput];
/** Inputs of route tables. */
export const routeInputs: readonly string[] = [headerInput, `${network}.FilterStateInput`];

/** Its constraints (no list or map is empty, actions are there) are checked with those of the resource that it is in. */
export function decodeMatcherTree<A>(at: At, message: Matcher, use: MatcherUse<A>): MatcherTree<A> {
	const onNoMatch = message.onNoMatch && decodeOnMatch(under(at, "onNoMatch"), message.onNoMatch, use);
	const { matcherList, matcherTree } = message;
	if (matcherTree !== undefined) return { ...decodeTree(under(at, "matcherTree"), matcherTree, use), onNoMatch };
	const cases = (matcherList?.matchers ?? []).flatMap(({ predicate, onMatch: then }, i) => {
		const here = under(at, `matcherList.matchers[${i}]`);
		const test = predicate && decodePredicate(under(here, "predicate"), predicate, use);
		const onMatch = then && decodeOnMatch(under(here, "onMatch"), then, use);
		return test === undefined || onMatch === undefined ? [] : [{ predicate: test, onMatch }];
	});
	return { kind: "list", cases, onNoMatch };
}

function decodeOnMatch<A>(at: At, message: OnMatchMessage, use: MatcherUse<A>): OnMatch<A> | undefined {
	if (message.keepMatching) report(under(at, "keepMatching"), "keep_matching is not supported in this context");
	if (message.matcher !== undefined) return { kind: "matcher", matcher: decodeMatcherTree(under(at, "matcher"), message.matcher, use) };
	if (message.action === undefined) return undefined;
	const here = under(at, "action");
	const opened = openAny(here, message.action.typedConfig, `action ${message.action.name}`);
	const action = opened && use.decodeAction(here, opened);
	return action && { kind: "action", action };
}

function decodeTree<A>(at: At, message: TreeMessage, use: MatcherUse<A>): MatcherCases<A> {
	const input = openInput(under(at, "input"), message.input, use);
	const text = input?.kind === "text" ? input.input : undefined;
	if (input !== undefined && text === undefined) report(under(at, "input"), `${input.kind} is no text, which a tree needs`);
	const { exactMatchMap, prefixMatchMap, customMatch } = message;
	const map = exactMatchMap ?? prefixMatchMap;
	if (text === undefined) return nothing;
	if (map !== undefined) {
		const kind = exactMatchMap === undefined ? "prefix" : "exact";
		const name = `${kind}MatchMap.map`;
		const entries = Object.entries(map.map).flatMap(([key, one]) => entryOf(key, decodeOnMatch(under(at, `${name}[${JSON.stringify(key)}]`), one, use)));
		return { kind, input: text, entries };
	}
	const here = under(at, "customMatch");
	const opened = openAny(here, customMatch?.typedConfig, `matcher ${customMatch?.name}`);
	switch (opened?.typeName) {
		case undefined:
			return nothing;
		case "xds.type.matcher.v3.IPMatcher":
			return { kind: "ip", input: text, ranges: decodeRanges(here, opened.message as IPMatcher, use) };
		case "xds.type.matcher.v3.ServerNameMatcher":
			return { kind: "serverName", input: text, domains: decodeDomains(here, opened.message as ServerNameMatcher, use) };
	}
	report(here, `matcher of type ${opened?.typeName} is not implemented`);
	return nothing;
}

/** Stands where there was an error. */
const nothing: MatcherCases<never> = { kind: "list", cases: [] };

function entryOf<A>(key: string, onMatch: OnMatch<A> | undefined): readonly (readonly [string, OnMatch<A>])[] {
	return onMatch === undefined ? [] : [[key, onMatch]];
}

function decodeRanges<A>(at: At, { rangeMatchers }: IPMatcher, use: MatcherUse<A>) {
	return rangeMatchers.flatMap(({ ranges, onMatch: then, exclusive }, i) => {
		const here = under(at, `rangeMatchers[${i}]`);
		const onMatch = then && decodeOnMatch(under(here, "onMatch"), then, use);
		return onMatch === undefined ? [] : ranges.map((range) => ({ cidr: cidrOf(range), isExclusive: exclusive, onMatch }));
	});
}

function decodeDomains<A>(at: At, { domainMatchers }: ServerNameMatcher, use: MatcherUse<A>) {
	const seen = new Set<string>();
	return domainMatchers.flatMap(({ domains, onMatch: then }, i) => {
		const here = under(at, `domainMatchers[${i}]`);
		const onMatch = then && decodeOnMatch(under(here, "onMatch"), then, use);
		return domains.flatMap((name) => {
			if (seen.has(name)) report(here, `duplicate domain ${name}`);
			if (!/^(\*|(\*\.)?[^*]+)$/.test(name)) report(here, `invalid wildcard domain ${name}: "*" stands alone, or for the first labels ("*.example.com")`);
			seen.add(name);
			return entryOf(name, onMatch);
		});
	});
}

function decodePredicate(at: At, message: Predicate, use: MatcherUse<unknown>): MatcherPredicate | undefined {
	const all = (kind: "and" | "or", list: readonly Predicate[]): MatcherPredicate => ({
		kind,
		predicates: list.flatMap((one, i) => decodePredicate(under(at, `${kind}Matcher.predicate[${i}]`), one, use) ?? []),
	});
	if (message.orMatcher !== undefined) return all("or", message.orMatcher.predicate);
	if (message.andMatcher !== undefined) return all("and", message.andMatcher.predicate);
	if (message.singlePredicate !== undefined) return decodeSingle(under(at, "singlePredicate"), message.singlePredicate, use);
	const inner = message.notMatcher && decodePredicate(under(at, "notMatcher"), message.notMatcher, use);
	return inner && { kind: "not", predicate: inner };
}

function decodeSingle(at: At, { input: from, valueMatch, customMatch }: SinglePredicate, use: MatcherUse<unknown>): MatcherPredicate | undefined {
	const input = openInput(under(at, "input"), from, use);
	if (valueMatch !== undefined) {
		if (input !== undefined && input.kind !== "text") report(at, `value_match is for text, not for ${input.kind}`);
		const match = decodeStringMatch(under(at, "valueMatch"), valueMatch);
		return input?.kind === "text" ? { kind: "value", input: input.input, match } : undefined;
	}
	const here = under(at, "customMatch");
	const opened = openAny(here, customMatch?.typedConfig, `matcher ${customMatch?.name}`);
	const predicate = input && opened && decodeCustom(here, input, opened);
	if (input !== undefined && opened !== undefined && predicate === undefined)
		report(here, `matcher of type ${opened.typeName} is not implemented for an input of ${input.kind}`);
	return predicate;
}

function decodeCustom(at: At, input: OpenInput, { typeName, message }: Opened): MatcherPredicate | undefined {
	switch (`${input.kind} ${typeName}`) {
		case "text envoy.extensions.matching.input_matchers.ip.v3.Ip":
			return input.kind === "text" ? { kind: "ip", input: input.input, cidrs: (message as Ip).cidrRanges.map(cidrOf) } : undefined;
		case "metadata envoy.extensions.matching.input_matchers.metadata.v3.Metadata": {
			const { value, invert } = message as Metadata;
			if (input.kind !== "metadata") return undefined;
			return { kind: "metadata", match: decodeMetadataMatch(at, { filter: input.message.filter, path: input.message.path, value, invert }) };
		}
		case "cel xds.type.matcher.v3.CelMatcher": {
			const { celExprParsed, celExprChecked, parsedExpr, checkedExpr, celExprString } = (message as CelMatcher).exprMatch ?? {};
			const tree = celExprParsed ?? celExprChecked ?? parsedExpr ?? checkedExpr;
			if (tree === undefined)
				report(
					under(at, "exprMatch"),
					celExprString === undefined ? "CEL expression not set" : "cel_expr_string is for formatters: give the expression parsed",
				);
			return { kind: "cel", expression: decodeCelExpression(under(at, "exprMatch"), tree?.expr) };
		}
	}
	return undefined;
}

type OpenInput =
	| { readonly kind: "text"; readonly input: MatcherInput }
	| { readonly kind: "metadata"; readonly message: DynamicMetadataInput }
	| { readonly kind: "cel" };

function openInput(at: At, extension: TypedExtensionConfig | undefined, use: MatcherUse<unknown>): OpenInput | undefined {
	const opened = openAny(at, extension?.typedConfig, `input ${extension?.name}`);
	if (opened === undefined) return undefined;
	const { typeName, message } = opened;
	if (!use.inputs.has(typeName)) {
		report(at, `${use.refusal} '${typeName}'`);
		return undefined;
	}
	const kind = plainInputs[typeName] ?? detectedInputs[typeName];
	if (kind !== undefined) return { kind: "text", input: { kind } };
	switch (typeName) {
		case celInput:
			return { kind: "cel" };
		case metadataInput:
			return { kind: "metadata", message: message as DynamicMetadataInput };
		case headerInput:
			return { kind: "text", input: { kind: "header", name: (message as HttpRequestHeaderMatchInput).headerName.toLowerCase() } };
		default:
			return { kind: "text", input: { kind: "filterState", key: (message as FilterStateInput).key } };
	}
}

/** Without a prefix length, no bit of the address counts. */
function cidrOf({ addressPrefix, prefixLen }: Pick<CidrRange, "addressPrefix" | "prefixLen">): string {
	return `${addressPrefix}/${prefixLen ?? 0}`;
}
