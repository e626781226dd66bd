/** How requests are matched: strings, paths, headers, queries, metadata, shares. */

export type StringMatch =
	| { readonly kind: "exact" | "prefix" | "suffix" | "contains"; readonly value: string; readonly ignoreCase: boolean }
	/** RE2 syntax, the whole value must match. */
	| { readonly kind: "regex"; readonly value: string };

export type PathMatch =
	| { readonly kind: "prefix" | "exact" | "pathSeparatedPrefix"; readonly value: string; readonly caseSensitive: boolean }
	| { readonly kind: "regex"; readonly value: string }
	| { readonly kind: "connect" };

export interface HeaderMatch {
	/** Lower case; `:method`, `:authority`, `:path`, `:scheme` included. */
	readonly name: string;
	readonly match: { readonly kind: "present" } | { readonly kind: "range"; readonly start: number; readonly end: number } | StringMatch;
	readonly invert: boolean;
	readonly treatMissingAsEmpty: boolean;
}

export interface QueryMatch {
	readonly name: string;
	/** undefined: the parameter is there, whatever its value; `absent`: it is not. */
	readonly match: StringMatch | "absent" | undefined;
}

/** A cookie that is not there matches where the match is inverted. */
export interface CookieMatch {
	readonly name: string;
	readonly match: StringMatch;
	readonly invert: boolean;
}

export interface FilterStateMatch {
	readonly key: string;
	readonly match: StringMatch;
}

/** A value that a filter wrote as dynamic metadata under `filter`, found by the path of its keys. */
export interface MetadataMatch {
	readonly filter: string;
	readonly path: readonly string[];
	readonly value: ValueMatch;
	readonly invert: boolean;
}

export type ValueMatch =
	| { readonly kind: "null" }
	/** `end` excluded. */
	| { readonly kind: "range"; readonly start: number; readonly end: number }
	| { readonly kind: "number"; readonly value: number }
	| { readonly kind: "string"; readonly match: StringMatch }
	| { readonly kind: "bool"; readonly value: boolean }
	| { readonly kind: "present"; readonly present: boolean }
	| { readonly kind: "listOneOf"; readonly element: ValueMatch }
	| { readonly kind: "or"; readonly any: readonly ValueMatch[] };

/** A share of requests: numerator of denominator. */
export interface Fraction {
	readonly numerator: number;
	readonly denominator: 100 | 10_000 | 1_000_000;
	/** Where the runtime may say otherwise; absent: nowhere. */
	readonly runtimeKey?: string;
}
