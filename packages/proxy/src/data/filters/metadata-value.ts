import type { MetadataWrite } from "../../config/stream-data.ts";

export type MetadataValue = { readonly kind: "value"; readonly value: unknown } | { readonly kind: "badBase64" | "invalid" };

/** Of `google.protobuf.Value`; loaded only where rules ask for it. */
export interface ValueDecoder {
	/** Throws on bytes that are none. undefined: it is still being loaded. */
	decode: ((bytes: Uint8Array) => unknown) | undefined;
	readonly loaded: Promise<void>;
}

export function loadValueDecoder(): ValueDecoder {
	const loaded = import("@weft/xds/generated/google/protobuf/struct.ts").then(({ Value }) => {
		decoder.decode = (bytes) => Value.unwrap(Value.decode(bytes));
	});
	const decoder: ValueDecoder = { decode: undefined, loaded };
	return decoder;
}

/** The text of a header as a value of metadata. `text` is not empty. */
export function metadataValue(text: string, type: MetadataWrite["type"], isBase64: boolean, decoder: ValueDecoder | undefined): MetadataValue {
	const bytes = isBase64 ? decodeBase64(text) : undefined;
	if (isBase64 && bytes === undefined) return { kind: "badBase64" };
	if (type === "value") return decodeValue(bytes ?? Buffer.from(text, "latin1"), decoder?.decode);
	const plain = bytes?.toString("utf8") ?? text;
	if (type === "string") return { kind: "value", value: plain };
	const number = parseNumber(plain.trim());
	return number === undefined ? { kind: "invalid" } : { kind: "value", value: number };
}

/** RFC 4648 §4, with padding or without; undefined: it is none, or empty. */
function decodeBase64(text: string): Buffer | undefined {
	const bare = withoutPadding(text);
	const bytes = Buffer.from(bare, "base64");
	return bytes.length > 0 && withoutPadding(bytes.toString("base64")) === bare ? bytes : undefined;
}

const withoutPadding = (text: string): string => text.replace(/={1,2}$/, "");

/** As `strtod` reads it. */
function parseNumber(text: string): number | undefined {
	const word = /^([+-]?)(?:(inf|infinity)|nan)$/i.exec(text);
	if (word !== null) return word[2] === undefined ? Number.NaN : word[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
	const hex = /^([+-]?)0x(?=\.?[0-9a-f])([0-9a-f]*)\.?([0-9a-f]*)(?:p([+-]?\d+))?$/i.exec(text);
	if (hex !== null) return hexNumber(hex);
	return /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined;
}

function hexNumber([, sign, whole = "", fraction = "", exponent = "0"]: RegExpExecArray): number {
	const digits = Array.from(whole + fraction, (digit) => Number.parseInt(digit, 16));
	const mantissa = digits.reduce((value, digit) => value * 16 + digit, 0);
	return (sign === "-" ? -1 : 1) * mantissa * 2 ** (Number(exponent) - 4 * fraction.length);
}

function decodeValue(bytes: Uint8Array, decode: ValueDecoder["decode"]): MetadataValue {
	if (decode === undefined) return { kind: "invalid" };
	try {
		return { kind: "value", value: decode(bytes) };
	} catch {
		return { kind: "invalid" };
	}
}
