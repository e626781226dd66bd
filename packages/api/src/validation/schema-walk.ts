import type { TSchema } from "typebox";
import { diagnosticCodes, type Severity } from "../diagnostic.ts";
import { parseDurationMs } from "../duration.ts";
import { regexProblem } from "./regex.ts";
import type { Finding, Path } from "./report.ts";
import { didYouMean, quote } from "./suggestion.ts";

/** The JSON Schema keywords that our schemas use; the builders make no others. */
interface Schema {
	readonly type?: "object" | "array" | "string" | "integer" | "number" | "boolean";
	readonly properties?: Readonly<Record<string, Schema>>;
	readonly required?: readonly string[];
	readonly additionalProperties?: boolean | Schema;
	readonly items?: Schema;
	readonly enum?: readonly string[];
	readonly minimum?: number;
	readonly maximum?: number;
	readonly "x-kubernetes-int-or-string"?: boolean;
	readonly "x-kubernetes-preserve-unknown-fields"?: boolean;
	readonly "x-weft-one-of"?: readonly (readonly string[])[];
	readonly "x-weft-deprecated"?: string;
	readonly "x-weft-deprecated-found"?: boolean;
	readonly "x-weft-format"?: "duration" | "regex" | "regex-or-any";
}

/** Deepest nesting that is copied where a schema allows any value. */
const anyDepthMax = 100;

export interface WalkOptions {
	/** What an unknown field is in a closed object. */
	readonly unknownFields: Severity;
}

/** A value that fits its schema, and why the given one did not. */
export interface Walked {
	/**
	 * The given value without its nulls, unknown fields and ill-typed parts; required parts that were not there are empty.
	 * So rules can read it by its type; the findings say where it differs from what was written.
	 */
	readonly value: unknown;
	readonly findings: readonly Finding[];
}

/** Checks `input` against a schema made by the builders, reporting every problem. Never throws. */
export function walkSchema(schema: TSchema, input: unknown, path: Path, options: WalkOptions): Walked {
	const findings: Finding[] = [];
	const value = walk(schema, input, path, { findings, options });
	return { value, findings };
}

interface Context {
	readonly findings: Finding[];
	readonly options: WalkOptions;
}

function walk(schema: Schema, input: unknown, path: Path, context: Context): unknown {
	if (schema["x-kubernetes-preserve-unknown-fields"]) return copyAny(input, path, context, 0);
	if (schema["x-kubernetes-int-or-string"]) {
		if (typeof input === "string" || Number.isInteger(input)) return input;
		return mistyped("an integer or a string", input, path, context, 0);
	}
	switch (schema.type) {
		case "object":
			return walkObject(schema, input, path, context);
		case "array":
			if (!Array.isArray(input)) return mistyped("a list", input, path, context, []);
			return input.map((item, index) => walk(schema.items ?? {}, item, [...path, index], context));
		case "string":
			return walkString(schema, input, path, context);
		case "integer":
		case "number":
			return walkNumber(schema, input, path, context);
		default:
			return typeof input === "boolean" ? input : mistyped("true or false", input, path, context, false);
	}
}

function walkObject(schema: Schema, input: unknown, path: Path, context: Context): Record<string, unknown> {
	const out: Record<string, unknown> = {};
	const source = isRecord(input) ? input : {};
	if (!isRecord(input)) mistyped("an object", input, path, context, out);
	for (const [key, value] of Object.entries(source)) {
		if (key === "__proto__") report(context, "error", diagnosticCodes.limit, `the name "__proto__" is not allowed`, [...path, key], true);
		else if (value !== null && value !== undefined) walkField(schema, key, value, path, context, out);
	}
	for (const key of schema.required ?? []) {
		if (Object.hasOwn(out, key)) continue;
		const message = `the field "${key}" is required; add it`;
		if (isRecord(input)) context.findings.push({ severity: "error", code: diagnosticCodes.schema, message, path: [...path, key], isMissing: true });
		out[key] = empty(schema.properties?.[key] ?? {});
	}
	for (const group of schema["x-weft-one-of"] ?? []) {
		const set = group.filter((key) => Object.hasOwn(out, key));
		if (set.length < 2) continue;
		const message = `only one of ${set.join(", ")} may be set; keep one`;
		context.findings.push({ severity: "error", code: diagnosticCodes.schema, message, path, wellFormed: true });
	}
	return out;
}

function walkField(schema: Schema, key: string, value: unknown, path: Path, context: Context, out: Record<string, unknown>): void {
	const at = [...path, key];
	const known = schema.properties && Object.hasOwn(schema.properties, key) ? schema.properties[key] : undefined;
	if (known) {
		const deprecated = known["x-weft-deprecated"];
		const code = known["x-weft-deprecated-found"] ? diagnosticCodes.deprecated : diagnosticCodes.schemaWarning;
		if (deprecated) report(context, "warning", code, `the field "${key}" is deprecated: ${deprecated}`, at, true);
		out[key] = walk(known, value, at, context);
	} else if (typeof schema.additionalProperties === "object") {
		out[key] = walk(schema.additionalProperties, value, at, context);
	} else if (schema.additionalProperties === false) {
		const hint = didYouMean(key, Object.keys(schema.properties ?? {})) || "; remove it";
		report(context, context.options.unknownFields, diagnosticCodes.schema, `unknown field ${quote(key)}${hint}`, at, true);
	} else {
		out[key] = copyAny(value, at, context, 0);
	}
}

function walkString(schema: Schema, input: unknown, path: Path, context: Context): string {
	if (typeof input !== "string") {
		const scalar = typeof input === "number" || typeof input === "boolean";
		const hint = scalar ? `; put it in quotes: "${String(input)}"` : "";
		return mistyped("a string", input, path, context, schema.enum?.[0] ?? "", hint);
	}
	if (schema.enum && !schema.enum.includes(input)) {
		const message = `${quote(input)} is not one of ${schema.enum.join(", ")}${didYouMean(input, schema.enum)}`;
		report(context, "error", diagnosticCodes.schema, message, path);
		return schema.enum[0] ?? "";
	}
	if (schema["x-weft-format"] === "duration" && parseDurationMs(input) === undefined) {
		report(context, "error", diagnosticCodes.schema, `${quote(input)} is no duration; write it like "1.5s", "100ms" or "1h2m"`, path);
		return "1s";
	}
	const isAny = schema["x-weft-format"] === "regex-or-any" && input === "*";
	const problem = schema["x-weft-format"]?.startsWith("regex") && !isAny ? regexProblem(input) : undefined;
	if (problem) report(context, "error", diagnosticCodes.schema, problem, path);
	return input;
}

function walkNumber(schema: Schema, input: unknown, path: Path, context: Context): number {
	const wanted = schema.type === "integer" ? "an integer" : "a number";
	if (typeof input !== "number" || !Number.isFinite(input) || (schema.type === "integer" && !Number.isInteger(input))) {
		const hint = typeof input === "string" && input.trim() !== "" && Number.isFinite(Number(input)) ? "; write it without quotes" : "";
		return mistyped(wanted, input, path, context, Math.max(0, schema.minimum ?? 0), hint);
	}
	const low = schema.minimum ?? Number.NEGATIVE_INFINITY;
	const high = schema.maximum ?? Number.POSITIVE_INFINITY;
	if (input >= low && input <= high) return input;
	report(context, "error", diagnosticCodes.schema, `${input} is out of range: it must be from ${low} to ${high}`, path);
	return Math.min(Math.max(input, low), high);
}

function copyAny(input: unknown, path: Path, context: Context, depth: number): unknown {
	if (depth > anyDepthMax) {
		report(context, "error", diagnosticCodes.limit, `nested deeper than ${anyDepthMax} levels`, path);
		return undefined;
	}
	if (Array.isArray(input)) return input.map((item, index) => copyAny(item, [...path, index], context, depth + 1));
	if (!isRecord(input)) return input;
	const out: Record<string, unknown> = {};
	for (const [key, value] of Object.entries(input)) {
		if (key === "__proto__") report(context, "error", diagnosticCodes.limit, `the name "__proto__" is not allowed`, [...path, key], true);
		else out[key] = copyAny(value, [...path, key], context, depth + 1);
	}
	return out;
}

/** The smallest value that has the schema's type. */
function empty(schema: Schema): unknown {
	if (schema.enum) return schema.enum[0];
	switch (schema.type) {
		case "object":
			return Object.fromEntries((schema.required ?? []).map((key) => [key, empty(schema.properties?.[key] ?? {})]));
		case "array":
			return [];
		case "integer":
		case "number":
			return Math.max(0, schema.minimum ?? 0);
		case "boolean":
			return false;
		default:
			return schema["x-weft-format"] === "duration" ? "1s" : "";
	}
}

export function isRecord(value: unknown): value is Record<string, unknown> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

function nameType(value: unknown): string {
	if (value === null) return "null";
	if (Array.isArray(value)) return "a list";
	if (typeof value === "object") return "an object";
	return `the ${typeof value} ${quote(value)}`;
}

function mistyped<T>(wanted: string, input: unknown, path: Path, context: Context, instead: T, hint = ""): T {
	report(context, "error", diagnosticCodes.schema, `must be ${wanted}, not ${nameType(input)}${hint}`, path);
	return instead;
}

function report(context: Context, severity: Severity, code: string, message: string, path: Path, onKey = false): void {
	context.findings.push({ severity, code, message, path, onKey });
}
