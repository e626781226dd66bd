import { messageFns, stripTypeUrl } from "./any.ts";
import { enumName, enumValues, type FieldSchema, type MessageSchema, messageSchema } from "./schema.ts";
import { durationFromJson, durationToJson, timestampFromJson, timestampToJson, wrappedScalar } from "./well-known.ts";

/** proto3 JSON (https://protobuf.dev/programming-guides/json/) of the generated messages, both ways, with Any opened by its type. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

type Fields = Record<string, unknown>;

export class JsonError extends Error {
	/** Where in the JSON, e.g. `staticResources.clusters[0].connectTimeout`. */
	readonly path: string;
	constructor(path: string, message: string) {
		super(path === "" ? message : `${path}: ${message}`);
		this.path = path;
	}
}

export interface FromJsonOptions {
	/** Called for a field that the message does not have; without it such a field is an error. */
	readonly onUnknownField?: (path: string, typeName: string) => void;
}

// ---- message → JSON

export function toJson(typeName: string, message: unknown): Json {
	switch (typeName) {
		case "google.protobuf.Any":
			return anyToJson(message as { typeUrl: string; value: Uint8Array });
		case "google.protobuf.Duration":
			return durationToJson(message as { seconds: bigint; nanos: number });
		case "google.protobuf.Timestamp":
			return timestampToJson(message as { seconds: bigint; nanos: number });
		case "google.protobuf.Struct":
		case "google.protobuf.Value":
		case "google.protobuf.ListValue":
			return (message ?? null) as Json;
		case "google.protobuf.FieldMask":
			return (message as readonly string[]).map(camelCase).join(",");
		case "google.protobuf.Empty":
			return {};
	}
	const scalar = wrappedScalar(typeName);
	if (scalar !== undefined) return scalarToJson(scalar, message);
	const schema = messageSchema(typeName);
	if (!schema) throw new JsonError("", `unknown message type ${typeName}`);
	return messageToJson(schema, message as Fields);
}

function messageToJson(schema: MessageSchema, message: Fields): Json {
	const out: Record<string, Json> = {};
	for (const field of schema.fields) {
		const value = message[field.json];
		if (value === undefined || isDefault(field, value)) continue;
		if (field.map) out[field.json] = mapToJson(field, value as Readonly<Record<string, unknown>>);
		else if (field.repeated) out[field.json] = (value as readonly unknown[]).map((v) => valueToJson(field, v));
		else out[field.json] = valueToJson(field, value);
	}
	return out;
}

function isDefault(field: FieldSchema, value: unknown): boolean {
	if (field.map) return Object.keys(value as object).length === 0;
	// Lists of google.protobuf.ListValue kind are messages: an empty one is still present.
	if (field.repeated) return (value as readonly unknown[]).length === 0;
	if (field.oneof !== undefined || field.optional || field.kind === "message") return false;
	if (field.kind === "bytes") return (value as Uint8Array).length === 0;
	return value === 0 || value === 0n || value === "" || value === false;
}

function mapToJson(field: FieldSchema, entries: Readonly<Record<string, unknown>>): Json {
	const keys = Object.keys(entries).sort();
	return Object.fromEntries(keys.map((key) => [key, valueToJson(field, entries[key])]));
}

function valueToJson(field: FieldSchema, value: unknown): Json {
	if (field.kind === "message") return toJson(field.type ?? "", value);
	if (field.kind === "enum") return field.type === "google.protobuf.NullValue" ? null : (enumName(field.type ?? "", value as number) ?? (value as number));
	return scalarToJson(field.kind, value);
}

function scalarToJson(kind: string, value: unknown): Json {
	if (typeof value === "bigint") return value.toString();
	if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
	if (typeof value === "number" && !Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
	if (kind === "float") return shortestFloat(value as number);
	return value as Json;
}

/** The shortest decimal that is the same 32-bit float: 0.1, not 0.10000000149011612. */
function shortestFloat(value: number): number {
	for (let digits = 6; digits < 9; digits++) {
		const short = Number(value.toPrecision(digits));
		if (Math.fround(short) === Math.fround(value)) return short;
	}
	return value;
}

function anyToJson({ typeUrl, value }: { typeUrl: string; value: Uint8Array }): Json {
	const typeName = stripTypeUrl(typeUrl);
	const fns = messageFns(typeName);
	// A type that nobody registered still shows what it is and what it holds.
	if (!fns) return { "@type": typeUrl, value: Buffer.from(value).toString("base64") };
	const json = toJson(typeName, nativeOf(typeName, fns.decode(value)));
	if (typeName.startsWith("google.protobuf.")) return { "@type": typeUrl, value: json };
	return { "@type": typeUrl, ...(json as object) };
}

/** A well-known type decoded alone is a message; inside other messages ts-proto shows the native value. */
function nativeOf(typeName: string, message: unknown): unknown {
	if (wrappedScalar(typeName) !== undefined) return (message as { value: unknown }).value;
	if (typeName === "google.protobuf.Struct") return (message as { fields: unknown }).fields;
	if (typeName === "google.protobuf.ListValue") return (message as { values: unknown }).values;
	if (typeName === "google.protobuf.FieldMask") return (message as { paths: unknown }).paths;
	return message;
}

const camelCase = (path: string) => path.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase());
const snakeCase = (path: string) => path.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);

// ---- JSON → message

/** Depth of nesting that fromJson accepts; deeper input is refused, not recursed into. */
export const jsonDepthMax = 100;

export function fromJson(typeName: string, json: unknown, options: FromJsonOptions = {}): unknown {
	return messageFromJson(typeName, json, "", 0, options);
}

function messageFromJson(typeName: string, json: unknown, path: string, depth: number, options: FromJsonOptions): unknown {
	if (depth > jsonDepthMax) throw new JsonError(path, `nested deeper than ${jsonDepthMax}`);
	const known = wellKnownFromJson(typeName, json, path, depth, options);
	if (known) return known.value;
	const schema = messageSchema(typeName);
	if (!schema) throw new JsonError(path, `unknown message type ${typeName}`);
	if (!isObject(json)) throw new JsonError(path, `expected an object (${typeName}), got ${describe(json)}`);
	const out: Fields = {};
	const seen = new Map<string, string>();
	const index = fieldIndex(schema);
	for (const [key, value] of Object.entries(json)) {
		const at = path === "" ? key : `${path}.${key}`;
		const field = index.get(key);
		if (!field) {
			if (!options.onUnknownField) throw new JsonError(at, `${typeName} has no field "${key}"`);
			options.onUnknownField(at, typeName);
			continue;
		}
		if (value === null && field.type !== "google.protobuf.Value") continue;
		if (field.oneof !== undefined) {
			const other = seen.get(field.oneof);
			if (other !== undefined) throw new JsonError(at, `only one of "${other}" and "${key}" may be set`);
			seen.set(field.oneof, key);
		}
		out[field.json] = fieldFromJson(field, value, at, depth, options);
	}
	const fns = messageFns(typeName);
	return fns ? fns.fromPartial(out) : out;
}

const indexes = new WeakMap<MessageSchema, Map<string, FieldSchema>>();

function fieldIndex(schema: MessageSchema): Map<string, FieldSchema> {
	let index = indexes.get(schema);
	if (!index) {
		index = new Map(schema.fields.flatMap((f) => [[f.name, f] as const, [f.json, f] as const]));
		indexes.set(schema, index);
	}
	return index;
}

function fieldFromJson(field: FieldSchema, value: unknown, path: string, depth: number, options: FromJsonOptions): unknown {
	if (field.map) {
		if (!isObject(value)) throw new JsonError(path, `expected an object, got ${describe(value)}`);
		const out: Record<string, unknown> = Object.create(null);
		for (const [k, v] of Object.entries(value)) out[k] = valueFromJson(field, v, `${path}.${k}`, depth, options);
		return out;
	}
	if (field.repeated) {
		if (!Array.isArray(value)) throw new JsonError(path, `expected a list, got ${describe(value)}`);
		return value.map((v, i) => valueFromJson(field, v, `${path}[${i}]`, depth, options));
	}
	return valueFromJson(field, value, path, depth, options);
}

function valueFromJson(field: FieldSchema, value: unknown, path: string, depth: number, options: FromJsonOptions): unknown {
	if (field.kind === "message") return messageFromJson(field.type ?? "", value, path, depth + 1, options);
	if (field.kind === "enum") return enumFromJson(field.type ?? "", value, path);
	return scalarFromJson(field.kind, value, path);
}

function enumFromJson(typeName: string, value: unknown, path: string): number {
	if (typeName === "google.protobuf.NullValue") return 0;
	if (typeof value === "number" && Number.isInteger(value)) return value;
	const values = enumValues(typeName);
	if (typeof value === "string" && Object.hasOwn(values, value)) return values[value] as number;
	throw new JsonError(path, `${describe(value)} is not one of ${Object.keys(values).join(", ")}`);
}

function scalarFromJson(kind: string, value: unknown, path: string): unknown {
	switch (kind) {
		case "bool":
			if (typeof value === "boolean") return value;
			break;
		case "string":
			if (typeof value === "string") return value;
			break;
		case "bytes":
			if (typeof value === "string") return new Uint8Array(Buffer.from(value, value.includes("-") || value.includes("_") ? "base64url" : "base64"));
			break;
		case "double":
		case "float":
			return floatFromJson(value, path);
		default:
			return integerFromJson(kind, value, path);
	}
	throw new JsonError(path, `expected a ${kind}, got ${describe(value)}`);
}

function floatFromJson(value: unknown, path: string): number {
	if (typeof value === "number") return value;
	if (value === "NaN" || value === "Infinity" || value === "-Infinity") return Number(value);
	if (typeof value === "string" && value.trim() !== "" && Number.isFinite(Number(value))) return Number(value);
	throw new JsonError(path, `expected a number, got ${describe(value)}`);
}

const ranges: Readonly<Record<string, readonly [bigint, bigint]>> = {
	int32: [-(2n ** 31n), 2n ** 31n - 1n],
	uint32: [0n, 2n ** 32n - 1n],
	int64: [-(2n ** 63n), 2n ** 63n - 1n],
	uint64: [0n, 2n ** 64n - 1n],
};

function integerFromJson(kind: string, value: unknown, path: string): number | bigint {
	const wide = kind.endsWith("64");
	const integral = typeof value === "number" ? Number.isInteger(value) : typeof value === "string" && /^-?\d{1,20}(\.0+)?$/.test(value);
	if (!integral) throw new JsonError(path, `expected an integer, got ${describe(value)}`);
	const n = BigInt(typeof value === "string" ? value.replace(/\.0+$/, "") : (value as number));
	const [low, high] = ranges[kind.replace("sint", "int").replace("sfixed", "int").replace("fixed", "uint")] as readonly [bigint, bigint];
	if (n < low || n > high) throw new JsonError(path, `${n} is outside of ${kind}`);
	return wide ? n : Number(n);
}

/** `{ value }` when typeName is one of the well-known types, else undefined. */
function wellKnownFromJson(typeName: string, json: unknown, path: string, depth: number, options: FromJsonOptions): { value: unknown } | undefined {
	switch (typeName) {
		case "google.protobuf.Any":
			return { value: anyFromJson(json, path, depth, options) };
		case "google.protobuf.Duration":
			return { value: parsed(typeof json === "string" ? durationFromJson(json) : undefined, json, path, 'a duration such as "1.5s"') };
		case "google.protobuf.Timestamp":
			return { value: parsed(typeof json === "string" ? timestampFromJson(json) : undefined, json, path, "an RFC 3339 time") };
		case "google.protobuf.Struct":
			return { value: parsed(isObject(json) ? json : undefined, json, path, "an object") };
		case "google.protobuf.Value":
			return { value: json };
		case "google.protobuf.ListValue":
			return { value: parsed(Array.isArray(json) ? json : undefined, json, path, "a list") };
		case "google.protobuf.FieldMask":
			return { value: parsed(typeof json === "string" ? json.split(",").filter(Boolean).map(snakeCase) : undefined, json, path, "a field mask") };
		case "google.protobuf.Empty":
			return { value: {} };
	}
	const scalar = wrappedScalar(typeName);
	return scalar === undefined ? undefined : { value: scalarFromJson(scalar, json, path) };
}

function parsed<T>(value: T | undefined, json: unknown, path: string, wanted: string): T {
	if (value === undefined) throw new JsonError(path, `expected ${wanted}, got ${describe(json)}`);
	return value;
}

function anyFromJson(json: unknown, path: string, depth: number, options: FromJsonOptions): { typeUrl: string; value: Uint8Array } {
	if (!isObject(json)) throw new JsonError(path, `expected an object with "@type", got ${describe(json)}`);
	const { "@type": typeUrl, ...rest } = json;
	if (typeof typeUrl !== "string") throw new JsonError(path, 'has no "@type"');
	const typeName = stripTypeUrl(typeUrl);
	const fns = messageFns(typeName);
	if (!fns) throw new JsonError(path, `unknown type ${typeUrl}`);
	const known = typeName.startsWith("google.protobuf.") && typeName !== "google.protobuf.Empty";
	const message = messageFromJson(typeName, known ? rest["value"] : rest, path, depth + 1, options);
	return { typeUrl, value: fns.encode(known ? wrapped(typeName, message) : message).finish() };
}

/** The inverse of nativeOf. */
function wrapped(typeName: string, native: unknown): unknown {
	if (wrappedScalar(typeName) !== undefined) return { value: native };
	if (typeName === "google.protobuf.Struct") return { fields: native };
	if (typeName === "google.protobuf.ListValue") return { values: native };
	if (typeName === "google.protobuf.FieldMask") return { paths: native };
	return native;
}

function isObject(value: unknown): value is Record<string, unknown> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
	const text = JSON.stringify(value) ?? String(value);
	return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
