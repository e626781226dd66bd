import type { MetadataWrite } from "../../config/stream-data.ts";

export type MetadataValue = { readonly kind: "value"; readonly value: unknown } | { readonly kind: "badBase64" | "invalid" };

/** Loaded only where it is needed. */
export interface ValueDecoder {
	/** Throws on bytes that are no `google.protobuf.Value`. */
	decode: ((bytes: Uint8Array) => unknown) | undefined;
}

export function loadValueDecoder(decoder: ValueDecoder): void {
	void import("@weft/xds/generated/google/protobuf/struct.ts").then(({ Value }) => (decoder.decode = (bytes) => Value.unwrap(Value.decode(bytes))));
}

/** The text of a header as a value of metadata. `text` is not empty. */
export function metadataValue(text: string, type: MetadataWrite["type"], isBase64: boolean, { decode }: ValueDecoder): MetadataValue {
	const bytes = isBase64 ? decodeBase64(text) : undefined;
	if (isBase64 && bytes === undefined) return { kind: "badBase64" };
	if (type === "value") return decodeValue(bytes ?? Buffer.from(text, "latin1"), decode);
	const plain = bytes?.toString("utf8") ?? text;
	if (type === "string") return { kind: "value", value: plain };
	const number = parseNumber(plain.trim());
	return number === undefined ? { kind: "invalid" } : { kind: "value", value: number };
}

/** RFC 4648 §4, with padding or without; undefined: it is none, or empty. */
function decodeBase64(text: string): Buffer | undefined {
	const bare = text.replace(/=+$/, "");
	const bytes = Buffer.from(bare, "base64");
	return bytes.length > 0 && bytes.toString("base64").replace(/=+$/, "") === bare ? bytes : undefined;
}

function parseNumber(text: string): number | undefined {
	return /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined;
}

function decodeValue(bytes: Uint8Array, decode: ValueDecoder["decode"]): MetadataValue {
	if (decode === undefined) return { kind: "invalid" };
	try {
		return { kind: "value", value: decode(bytes) };
	} catch {
		return { kind: "invalid" };
	}
}
