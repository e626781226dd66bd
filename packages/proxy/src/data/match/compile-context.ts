import { type CompiledRegex, compileRegex } from "./regex.ts";

/**
 * Collects what is wrong while a resource is compiled, so that all of it can be reported at once, and compiles each
 * distinct expression once.
 */
export interface CompileContext {
	readonly errors: string[];
	/** A regex that does not compile is reported and matches nothing. */
	regex(pattern: string): Extract<CompiledRegex, { kind: "regex" }>;
}

export function createCompileContext(): CompileContext {
	const errors: string[] = [];
	const known = new Map<string, Extract<CompiledRegex, { kind: "regex" }>>();
	return {
		errors,
		regex(pattern) {
			const found = known.get(pattern);
			if (found) return found;
			const compiled = compileRegex(pattern);
			if (compiled.kind === "error") errors.push(compiled.message);
			const usable = compiled.kind === "regex" ? compiled : matchesNothing;
			known.set(pattern, usable);
			return usable;
		},
	};
}

const matchesNothing = { kind: "regex", matches: () => false, substitution: () => (value: string) => value } as const;
