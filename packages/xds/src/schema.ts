import { readFileSync } from "node:fs";

/** One field of a message, as scripts/generate.mjs wrote it. */
export interface FieldSchema {
	/** The proto name, e.g. `connect_timeout`. */
	readonly name: string;
	/** The JSON name, which is also the name of the generated property. */
	readonly json: string;
	readonly number: number;
	/** A scalar type's name, `message` or `enum`. */
	readonly kind: string;
	/** Full name of the message or enum. */
	readonly type?: string;
	readonly repeated?: boolean;
	/** The key's scalar type, for maps. */
	readonly map?: string;
	readonly oneof?: string;
	readonly optional?: boolean;
	/** validate.FieldRules as JSON. */
	readonly rules?: Readonly<Record<string, unknown>>;
}

export interface MessageSchema {
	readonly file: string;
	readonly fields: readonly FieldSchema[];
	/** Names of oneofs of which one must be set. */
	readonly required?: readonly string[];
	/** Names of fields that Envoy has and the message lacks, by number. */
	readonly later?: Readonly<Record<number, string>>;
}

interface Schema {
	readonly messages: Readonly<Record<string, MessageSchema>>;
	readonly enums: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

let loaded: WeakRef<Schema> | undefined;

// Read on first use, and held weakly: a proxy needs it at start and when its configuration changes, and the six megabytes
// that it takes as objects are worth more than the ten milliseconds of reading it again.
function schema(): Schema {
	const known = loaded?.deref();
	if (known) return known;
	const read = JSON.parse(readFileSync(schemaFile(), "utf8")) as Schema;
	loaded = new WeakRef(read);
	return read;
}

/** Beside the bundle where this code was bundled, in the generated folder otherwise. */
function schemaFile(): URL {
	return new URL(import.meta.url.endsWith("/src/schema.ts") ? "./generated/schema.json" : "./schema.json", import.meta.url);
}

export function messageSchema(typeName: string): MessageSchema | undefined {
	const { messages } = schema();
	return Object.hasOwn(messages, typeName) ? messages[typeName] : undefined;
}

/** Value names of an enum to their numbers. */
export function enumValues(typeName: string): Readonly<Record<string, number>> {
	return schema().enums[typeName] ?? {};
}

const names = new Map<string, Map<number, string>>();

export function enumName(typeName: string, number: number): string | undefined {
	let byNumber = names.get(typeName);
	if (!byNumber) {
		byNumber = new Map();
		// The first name of a number is the canonical one (aliases come later).
		for (const [name, n] of Object.entries(enumValues(typeName))) if (!byNumber.has(n)) byNumber.set(n, name);
		names.set(typeName, byNumber);
	}
	return byNumber.get(number);
}
