import type { MatcherCases, MatcherInput, MatcherPredicate, MatcherTree, OnMatch } from "../../config/matcher-tree.ts";
import { compileCelNode } from "../cel/cel.ts";
import { parseIpPort } from "../lb/host-entry.ts";
import { headerReader } from "../headers/headers-view.ts";
import { filterStateOf } from "../log/filter-state.ts";
import type { StreamInfo, TlsInfo } from "../log/stream-info.ts";
import { matchCidr, parseCidr, parseIp } from "./cidr.ts";
import type { CompileContext } from "./compile-context.ts";
import { compileMetadataMatch } from "./metadata-match.ts";
import { compileStringMatch } from "./string-match.ts";

/** What a tree asks for is never there on such a connection: then it decides nothing, not even by its last word. */
const unavailable = Symbol("unavailable");
type Unavailable = typeof unavailable;

/** undefined: nothing matched. */
type Decide<A> = (info: StreamInfo) => A | undefined | Unavailable;
type Test = (info: StreamInfo) => boolean | Unavailable;
/** undefined: there is no such thing, which no match is for. */
type Read = (info: StreamInfo) => string | undefined | Unavailable;

/** Gives the action for a request or a connection; undefined: there is none. What is wrong with the tree is reported to `context`. */
export function compileMatcherTree<A>(tree: MatcherTree<A>, context: CompileContext): (info: StreamInfo) => A | undefined {
	const decide = compileTree(tree, context);
	return (info) => {
		const action = decide(info);
		return action === unavailable ? undefined : action;
	};
}

function compileTree<A>(tree: MatcherTree<A>, context: CompileContext): Decide<A> {
	const decide = compileCases(tree, context);
	const otherwise = tree.onNoMatch && compileOnMatch(tree.onNoMatch, context);
	return otherwise === undefined ? decide : (info) => decide(info) ?? otherwise(info);
}

/** A tree in which nothing matches counts as no match of what led to it: the search goes on. */
function compileOnMatch<A>(onMatch: OnMatch<A>, context: CompileContext): Decide<A> {
	if (onMatch.kind === "matcher") return compileTree(onMatch.matcher, context);
	const { action } = onMatch;
	return () => action;
}

function compileCases<A>(cases: MatcherCases<A>, context: CompileContext): Decide<A> {
	switch (cases.kind) {
		case "list": {
			const compiled = cases.cases.map(({ predicate, onMatch }) => ({
				test: compilePredicate(predicate, context),
				decideThen: compileOnMatch(onMatch, context),
			}));
			return (info) => {
				for (const { test, decideThen } of compiled) {
					const holds = test(info);
					const action = holds === true ? decideThen(info) : holds === false ? undefined : unavailable;
					if (action !== undefined) return action;
				}
				return undefined;
			};
		}
		case "exact": {
			const entries = compileEntries(cases.entries, context);
			return onText(cases.input, (value, info) => entries.get(value)?.(info));
		}
		case "prefix": {
			const entries = [...compileEntries(cases.entries, context)].sort(([a], [b]) => b.length - a.length);
			return onText(cases.input, (value, info) => {
				for (const [prefix, decideThen] of entries) {
					const action = value.startsWith(prefix) ? decideThen(info) : undefined;
					if (action !== undefined) return action;
				}
				return undefined;
			});
		}
		case "ip":
			return compileRanges(cases, context);
		case "serverName":
			return compileDomains(cases, context);
	}
}

const compileEntries = <A>(entries: readonly (readonly [string, OnMatch<A>])[], context: CompileContext): ReadonlyMap<string, Decide<A>> =>
	new Map(entries.map(([key, onMatch]) => [key, compileOnMatch(onMatch, context)]));

function onText<T>(input: MatcherInput, apply: (value: string, info: StreamInfo) => T | undefined): (info: StreamInfo) => T | undefined | Unavailable {
	const read = compileInput(input);
	return (info) => {
		const value = read(info);
		return value === undefined || value === unavailable ? value : apply(value, info);
	};
}

/** The longest range first; of equal ones, the first in the list. */
function compileRanges<A>({ input, ranges }: Extract<MatcherCases<A>, { kind: "ip" }>, context: CompileContext): Decide<A> {
	const compiled = ranges
		.flatMap(({ cidr, isExclusive, onMatch }) => {
			const range = parseCidr(cidr);
			if (range === undefined) context.errors.push(`${JSON.stringify(cidr)} is not an address range`);
			return range === undefined ? [] : [{ range, isExclusive, decideThen: compileOnMatch(onMatch, context) }];
		})
		.sort((a, b) => b.range.prefixBits - a.range.prefixBits);
	return onText(input, (text, info) => {
		const ip = parseIp(text);
		if (ip === undefined) return undefined;
		let isFirst = true;
		for (const { range, isExclusive, decideThen } of compiled) {
			if (!matchCidr(range, ip) || (isExclusive && !isFirst)) continue;
			isFirst = false;
			const action = decideThen(info);
			if (action !== undefined) return action;
		}
		return undefined;
	});
}

/** The name itself, then `*.b.c`, `*.c`, `*`. */
function compileDomains<A>({ input, domains }: Extract<MatcherCases<A>, { kind: "serverName" }>, context: CompileContext): Decide<A> {
	const entries = compileEntries(domains, context);
	return onText(input, (name, info) => {
		let action = entries.get(name)?.(info);
		for (let dot = name.indexOf("."); action === undefined && dot >= 0; dot = name.indexOf(".", dot + 1)) action = entries.get(`*${name.slice(dot)}`)?.(info);
		return action ?? entries.get("*")?.(info);
	});
}

function compilePredicate(predicate: MatcherPredicate, context: CompileContext): Test {
	switch (predicate.kind) {
		case "and": {
			const tests = predicate.predicates.map((one) => compilePredicate(one, context));
			return (info) => {
				for (const test of tests) {
					const holds = test(info);
					if (holds !== true) return holds;
				}
				return true;
			};
		}
		case "or": {
			const tests = predicate.predicates.map((one) => compilePredicate(one, context));
			return (info) => {
				let result: boolean | Unavailable = false;
				for (const test of tests) {
					const holds = test(info);
					if (holds === true) return true;
					if (holds === unavailable) result = unavailable;
				}
				return result;
			};
		}
		case "not": {
			const test = compilePredicate(predicate.predicate, context);
			return (info) => {
				const holds = test(info);
				return holds === unavailable ? holds : !holds;
			};
		}
		case "value": {
			const test = compileStringMatch(predicate.match, context);
			return onValue(predicate.input, test);
		}
		case "ip": {
			const ranges = predicate.cidrs.flatMap((cidr) => {
				const range = parseCidr(cidr);
				if (range === undefined) context.errors.push(`${JSON.stringify(cidr)} is not an address range`);
				return range ?? [];
			});
			return onValue(predicate.input, (text) => {
				const ip = parseIp(text);
				return ip !== undefined && ranges.some((range) => matchCidr(range, ip));
			});
		}
		case "metadata": {
			const test = compileMetadataMatch(predicate.match, context);
			return ({ dynamicMetadata }) => test(dynamicMetadata);
		}
		case "cel":
			return compileCelNode(predicate.expression, "CEL matcher", context);
	}
}

function onValue(input: MatcherInput, test: (value: string) => boolean): Test {
	const read = onText(input, test);
	return (info) => read(info) ?? false;
}

const someOf = (text: string | undefined): string | undefined => (text === "" ? undefined : text);
const ipOf = (address: string): string | undefined => parseIpPort(address)?.address;
const portOf = (address: string): string | undefined => parseIpPort(address)?.port.toString();

function compileInput(input: MatcherInput): Read {
	switch (input.kind) {
		case "destinationIp":
			return ({ connection }) => ipOf(connection.localAddress);
		case "destinationPort":
			return ({ connection }) => portOf(connection.localAddress);
		case "sourceIp":
			return ({ connection }) => ipOf(connection.remoteAddress);
		case "sourcePort":
			return ({ connection }) => portOf(connection.remoteAddress);
		case "directSourceIp":
			return ({ connection }) => ipOf(connection.directRemoteAddress);
		case "serverName":
			return ({ connection }) => someOf(connection.requestedServerName);
		case "uriSan":
			return ofPeer(({ peerUriSans }) => peerUriSans.join(","));
		case "dnsSan":
			return ofPeer(({ peerDnsSans }) => peerDnsSans.join(","));
		case "subject":
			return ofPeer(({ peerSubject }) => peerSubject);
		case "transportProtocol":
			return ({ connection }) => connection.detected?.transportProtocol;
		case "applicationProtocol":
			return ({ connection: { detected } }) => someOf(detected?.applicationProtocols.map((name) => `'${name}'`).join(","));
		case "sourceType":
			return ({ connection }) => (connection.detected?.isLocalSource === true ? "local" : undefined);
		case "filterState":
			return (info) => filterStateOf(info, input.key);
		case "header": {
			const read = headerReader(input.name);
			return ({ request }) => request && read(request);
		}
	}
}

function ofPeer(read: (tls: TlsInfo) => string): Read {
	return ({ connection: { tls } }) => (tls === undefined ? unavailable : someOf(read(tls)));
}
