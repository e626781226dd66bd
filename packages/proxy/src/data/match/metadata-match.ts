import type { MetadataMatch, ValueMatch } from "../../config/matchers.ts";
import type { CompileContext } from "./compile-context.ts";
import { compileStringMatch } from "./string-match.ts";

/** By namespace (a filter's name), what filters wrote about a request. */
export type DynamicMetadata = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export type MetadataPredicate = (metadata: DynamicMetadata | undefined) => boolean;

type ValuePredicate = (value: unknown) => boolean;

/** A value that is not there is undefined, and matches nothing by itself (Envoy's ValueMatcher). */
export function compileMetadataMatch({ filter, path, value, invert }: MetadataMatch, context: CompileContext): MetadataPredicate {
	const test = compileValue(value, context);
	return (metadata) => test(readMetadata(metadata, filter, path)) !== invert;
}

export function compileMetadataMatches(matches: readonly MetadataMatch[], context: CompileContext): MetadataPredicate | undefined {
	const tests = matches.map((match) => compileMetadataMatch(match, context));
	return tests.length <= 1 ? tests[0] : (metadata) => tests.every((test) => test(metadata));
}

export function readMetadata(metadata: DynamicMetadata | undefined, filter: string, path: readonly string[]): unknown {
	let at: unknown = metadata !== undefined && Object.hasOwn(metadata, filter) ? metadata[filter] : undefined;
	for (const key of path) at = isStruct(at) && Object.hasOwn(at, key) ? at[key] : undefined;
	return at;
}

function isStruct(value: unknown): value is Readonly<Record<string, unknown>> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

function compileValue(match: ValueMatch, context: CompileContext): ValuePredicate {
	switch (match.kind) {
		case "null":
			return (value) => value === null;
		case "number":
			return (value) => value === match.value;
		case "range":
			return (value) => typeof value === "number" && value >= match.start && value < match.end;
		case "string": {
			const test = compileStringMatch(match.match, context);
			return (value) => typeof value === "string" && test(value);
		}
		case "bool":
			return (value) => value === match.value;
		case "present":
			return (value) => match.present && value !== undefined;
		case "listOneOf": {
			const test = compileValue(match.element, context);
			return (value) => Array.isArray(value) && value.some(test);
		}
		case "or": {
			const tests = match.any.map((value) => compileValue(value, context));
			return (value) => tests.some((test) => test(value));
		}
	}
}
