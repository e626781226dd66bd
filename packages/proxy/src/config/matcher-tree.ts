import type { CelNode } from "./cel-node.ts";
import type { MetadataMatch, StringMatch } from "./matchers.ts";

/** `xds.type.matcher.v3.Matcher`: which of its actions is for a request, or a connection. */
export type MatcherTree<A> = MatcherCases<A> & { readonly onNoMatch: OnMatch<A> | undefined };

export type OnMatch<A> = { readonly kind: "action"; readonly action: A } | { readonly kind: "matcher"; readonly matcher: MatcherTree<A> };

export type MatcherCases<A> =
	/** Tried in this order. */
	| { readonly kind: "list"; readonly cases: readonly { readonly predicate: MatcherPredicate; readonly onMatch: OnMatch<A> }[] }
	| { readonly kind: "exact" | "prefix"; readonly input: MatcherInput; readonly entries: readonly (readonly [key: string, onMatch: OnMatch<A>])[] }
	| { readonly kind: "ip"; readonly input: MatcherInput; readonly ranges: readonly MatcherRange<A>[] }
	/** `a.b`, `*.b` or `*`, compared as they are written. */
	| { readonly kind: "serverName"; readonly input: MatcherInput; readonly domains: readonly (readonly [domain: string, onMatch: OnMatch<A>])[] };

export interface MatcherRange<A> {
	readonly cidr: string;
	/** Not for addresses that a longer range holds, too. */
	readonly isExclusive: boolean;
	readonly onMatch: OnMatch<A>;
}

export type MatcherPredicate =
	| { readonly kind: "and" | "or"; readonly predicates: readonly MatcherPredicate[] }
	| { readonly kind: "not"; readonly predicate: MatcherPredicate }
	| { readonly kind: "value"; readonly input: MatcherInput; readonly match: StringMatch }
	| { readonly kind: "ip"; readonly input: MatcherInput; readonly cidrs: readonly string[] }
	| { readonly kind: "metadata"; readonly match: MetadataMatch }
	| { readonly kind: "cel"; readonly expression: CelNode };

/** Where text comes from. */
export type MatcherInput =
	| {
			readonly kind: "destinationIp" | "destinationPort" | "sourceIp" | "sourcePort" | "directSourceIp" | "serverName" | "uriSan" | "dnsSan" | "subject";
	  }
	/** What the listener filters found of a connection. */
	| {
			readonly kind: "transportProtocol" | "applicationProtocol" | "sourceType";
	  }
	| { readonly kind: "header"; readonly name: string }
	| { readonly kind: "filterState"; readonly key: string };
