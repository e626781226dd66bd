import type { StringMatch } from "../../config/matchers.ts";
import type { CompileContext } from "./compile-context.ts";

export type StringPredicate = (value: string) => boolean;

export function compileStringMatch(match: StringMatch, context: CompileContext): StringPredicate {
	if (match.kind === "regex") return context.regex(match.value).matches;
	if (!match.ignoreCase) return compileLiteral(match.kind, match.value);
	const test = compileLiteral(match.kind, match.value.toLowerCase());
	return (value) => test(value.toLowerCase());
}

function compileLiteral(kind: "exact" | "prefix" | "suffix" | "contains", wanted: string): StringPredicate {
	switch (kind) {
		case "exact":
			return (value) => value === wanted;
		case "prefix":
			return (value) => value.startsWith(wanted);
		case "suffix":
			return (value) => value.endsWith(wanted);
		case "contains":
			return (value) => value.includes(wanted);
	}
}
