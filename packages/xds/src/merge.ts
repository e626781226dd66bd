import { messageFns, stripTypeUrl } from "./any.ts";
import { type FieldSchema, messageSchema } from "./schema.ts";
import { wrappedScalar } from "./well-known.ts";

type Fields = Record<string, unknown>;

export interface MergeOptions {
	/** Lists of the patch replace those of the message instead of being appended. */
	readonly replaceLists?: boolean;
}

/**
 * `patch` laid over `message`, both of this type, as protobuf merges messages: what the patch sets counts, messages are merged
 * field by field, lists appended, entries of maps replaced. Durations are replaced whole; an Any is merged with one of its own type
 * and replaced otherwise. Neither argument is changed.
 */
export function mergeMessages<T>(typeName: string, message: T, patch: T, options: MergeOptions = {}): T {
	return mergeFields(typeName, message as Fields, patch as Fields, options) as T;
}

function mergeFields(typeName: string, message: Fields, patch: Fields, options: MergeOptions): Fields {
	const schema = messageSchema(typeName);
	if (!schema) throw new RangeError(`unknown message type ${typeName}`);
	const merged: Fields = { ...message };
	for (const field of schema.fields) {
		const value = patch[field.json];
		if (!isSet(field, value)) continue;
		// Of a oneof the patch's member alone is left.
		if (field.oneof !== undefined) for (const other of schema.fields) if (other.oneof === field.oneof && other !== field) merged[other.json] = undefined;
		merged[field.json] = mergeField(field, message[field.json], value, options);
	}
	return merged;
}

function isSet(field: FieldSchema, value: unknown): boolean {
	if (value === undefined || value === null) return false;
	if (field.map) return Object.keys(value).length > 0;
	if (field.repeated) return (value as readonly unknown[]).length > 0;
	if (field.oneof !== undefined || field.optional || field.kind === "message") return true;
	return field.kind === "bytes" ? (value as Uint8Array).length > 0 : value !== 0 && value !== 0n && value !== "" && value !== false;
}

function mergeField(field: FieldSchema, before: unknown, value: unknown, options: MergeOptions): unknown {
	if (field.map) return { ...(before as Fields | undefined), ...(value as Fields) };
	if (field.repeated) return options.replaceLists ? value : [...((before ?? []) as readonly unknown[]), ...(value as readonly unknown[])];
	if (field.kind !== "message" || before === undefined) return value;
	return mergeValues(field.type ?? "", before, value, options);
}

function mergeValues(typeName: string, before: unknown, value: unknown, options: MergeOptions): unknown {
	if (typeName === "google.protobuf.Any") return mergeAny(before as AnyValue, value as AnyValue, options);
	if (typeName === "google.protobuf.Struct") return { ...(before as Fields), ...(value as Fields) };
	// The other well-known types are values, not messages with parts of their own.
	if (typeName.startsWith("google.protobuf.") || wrappedScalar(typeName) !== undefined) return value;
	return mergeFields(typeName, before as Fields, value as Fields, options);
}

interface AnyValue {
	readonly typeUrl: string;
	readonly value: Uint8Array;
}

/** Two packed messages of one type as one; of different types, or of one that nobody registered, the second. */
export function mergeAny(before: AnyValue, value: AnyValue, options: MergeOptions = {}): AnyValue {
	const typeName = stripTypeUrl(value.typeUrl);
	const fns = stripTypeUrl(before.typeUrl) === typeName ? messageFns(typeName) : undefined;
	if (fns === undefined || messageSchema(typeName) === undefined) return value;
	const merged = mergeFields(typeName, fns.decode(before.value) as Fields, fns.decode(value.value) as Fields, options);
	return { typeUrl: before.typeUrl, value: fns.encode(merged).finish() };
}
