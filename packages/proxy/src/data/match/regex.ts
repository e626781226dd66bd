import { RE2JS } from "re2js";
import { regexTooLarge } from "../../config/regex-limit.ts";

/** A user's RE2 expression, ready for use; `error` instead when it does not compile. */
export type CompiledRegex =
	| {
			readonly kind: "regex";
			/** The whole value must match. */
			readonly matches: (value: string) => boolean;
			/** Compiles a replacement of every match; `\1` in its text is the first group, `\\` a backslash. */
			readonly substitution: (text: string) => (value: string) => string;
	  }
	| { readonly kind: "error"; readonly message: string };

export function compileRegex(pattern: string): CompiledRegex {
	const tooLarge = regexTooLarge(pattern);
	if (tooLarge !== undefined) return { kind: "error", message: `invalid regular expression: ${tooLarge}` };
	try {
		const compiled = RE2JS.compile(pattern);
		const native = toLinearRegExp(pattern);
		return {
			kind: "regex",
			matches: native ? (value) => native.test(value) : (value) => compiled.testExact(value),
			substitution: (text) => {
				const build = compileSubstitution(text);
				return (value) => compiled.matcher(value).replaceAll(build);
			},
		};
	} catch (cause) {
		return { kind: "error", message: `invalid regular expression ${JSON.stringify(pattern)}: ${cause instanceof Error ? cause.message : String(cause)}` };
	}
}

const literal = "[A-Za-z0-9/_~@:,;=&%#!\"'<> -]|\\\\[.*+?()|[\\]{}^$\\/\\\\-]";
const simpleClass = "\\[\\^?(?:[A-Za-z0-9](?:-[A-Za-z0-9])?|[_./~@:,;=%+])+-?\\]";
const linearShape = new RegExp(`^\\^?(?:(?:${literal}|${simpleClass}|\\.)[*+]?)*\\$?$`);

/** A path with any query, or none: what control planes write behind a path that is to be equal. */
const anyQuery = "(?:[?].*)?";

/**
 * The engine's own RegExp for the patterns for which it cannot backtrack beyond linear time: atoms of one character in a
 * row with at most one unbounded repetition, anchored on both sides, or without one before an optional query. Everything else
 * runs on RE2.
 */
function toLinearRegExp(pattern: string): RegExp | undefined {
	const tail = pattern.endsWith(anyQuery) ? "(?:[?][^\\n]*)?" : "";
	const row = tail === "" ? pattern : pattern.slice(0, -anyQuery.length);
	if (pattern.length > 256 || !linearShape.test(row) || (tail !== "" && row.endsWith("$"))) return undefined;
	const repetitions =
		row
			.replace(/\\./g, "")
			.replace(/\[[^\]]*\]/g, "x")
			.match(/[*+]/g)?.length ?? 0;
	if (repetitions > (tail === "" ? 1 : 0)) return undefined;
	const body = row.replace(/^\^/, "").replace(/(?<!\\)\$$/, "");
	// RE2's dot leaves out the line feed only.
	return new RegExp(`^(?:${body.replace(/\\.|\[[^\]]*\]|\./g, (atom) => (atom === "." ? "[^\\n]" : atom))}${tail})$`);
}

/** The text of one match, built from its groups. */
function compileSubstitution(substitution: string): (...groups: readonly unknown[]) => string {
	const parts = substitution.match(/\\[\s\S]?|[^\\]+/g) ?? [];
	return (...groups) =>
		parts
			.map((part) => {
				if (!part.startsWith("\\")) return part;
				const group = groups[Number(part.slice(1))];
				return /^\\\d$/.test(part) ? (typeof group === "string" ? group : "") : part.slice(1);
			})
			.join("");
}
