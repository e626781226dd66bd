/// <reference path="./node-forge.d.ts" />
import asn1 from "node-forge/lib/asn1.js";
import type { Asn1 } from "node-forge/lib/asn1.js";
import { accepted, type Checked, checkedCall, refused } from "./checked.ts";

export type DerNode = Asn1;

/** Universal tag numbers (X.680 §8.6) that certificates use. */
export const tags = {
	boolean: 1,
	integer: 2,
	bitString: 3,
	octetString: 4,
	null: 5,
	oid: 6,
	utf8String: 12,
	sequence: 16,
	set: 17,
	utcTime: 23,
	generalizedTime: 24,
} as const;

const universal = 0x00;
const contextSpecific = 0x80;
// A certificate nests about a dozen levels; hostile input nests ten thousand.
const depthMax = 32;

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
const primitive = (type: number, value: string): DerNode => asn1.create(universal, type, false, value);

/** DER writers: each returns a node; `encodeDer` makes the bytes. */
export const der = {
	sequence: (...items: readonly DerNode[]): DerNode => asn1.create(universal, tags.sequence, true, items),
	set: (...items: readonly DerNode[]): DerNode => asn1.create(universal, tags.set, true, items),
	oid: (oid: string): DerNode => primitive(tags.oid, asn1.oidToDer(oid).getBytes()),
	null: (): DerNode => primitive(tags.null, ""),
	boolean: (value: boolean): DerNode => primitive(tags.boolean, value ? "\xff" : "\x00"),
	/** `magnitude` is unsigned, big-endian. */
	integer: (magnitude: Uint8Array): DerNode => primitive(tags.integer, text(unsigned(magnitude))),
	octetString: (bytes: Uint8Array): DerNode => primitive(tags.octetString, text(bytes)),
	/** `unusedBits` of the last octet carry nothing. */
	bitString: (bytes: Uint8Array, unusedBits = 0): DerNode => primitive(tags.bitString, String.fromCharCode(unusedBits) + text(bytes)),
	utf8String: (value: string): DerNode => primitive(tags.utf8String, text(Buffer.from(value, "utf8"))),
	time: (epochMs: number): DerNode => time(epochMs),
	/** `[number] IMPLICIT` over raw octets. */
	contextBytes: (number: number, bytes: Uint8Array): DerNode => asn1.create(contextSpecific, number, false, text(bytes)),
	/** `[number] EXPLICIT`, or IMPLICIT over a constructed type. */
	context: (number: number, ...items: readonly DerNode[]): DerNode => asn1.create(contextSpecific, number, true, items),
};

// INTEGER is signed: a leading one bit needs a zero octet before it, redundant zero octets are not DER.
function unsigned(magnitude: Uint8Array): Uint8Array {
	let start = 0;
	while (start < magnitude.length - 1 && magnitude[start] === 0) start++;
	const trimmed = magnitude.subarray(start);
	return trimmed.length === 0 || (trimmed[0] ?? 0) >= 0x80 ? Uint8Array.from([0, ...trimmed]) : trimmed;
}

// RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050, always to the second and in Zulu.
function time(epochMs: number): DerNode {
	const digits = new Date(epochMs)
		.toISOString()
		.replace(/\.\d+Z$/, "Z")
		.replace(/[-:T]/g, "");
	return new Date(epochMs).getUTCFullYear() < 2050 ? primitive(tags.utcTime, digits.slice(2)) : primitive(tags.generalizedTime, digits);
}

export function encodeDer(node: DerNode): Buffer {
	return Buffer.from(asn1.toDer(node).getBytes(), "latin1");
}

/** Reads one DER value that fills `bytes`. BER freedoms are refused, so that what was read is exactly what was signed. */
export function decodeDer(bytes: Uint8Array): Checked<DerNode> {
	const read = checkedCall("not DER", () => asn1.fromDer(text(bytes), { strict: true, parseAllBytes: true, decodeBitStrings: false, maxDepth: depthMax }));
	if (!read.ok) return read;
	return encodeDer(read.value).equals(bytes) ? accepted(read.value) : refused("not DER: the encoding is not canonical");
}

/** Embeds bytes that another encoder made, such as node:crypto's SubjectPublicKeyInfo. Throws on bytes that are not DER. */
export function embedDer(bytes: Uint8Array): DerNode {
	const read = decodeDer(bytes);
	if (!read.ok) throw new TypeError(read.reason);
	return read.value;
}

/** The children of a universal constructed node of `type`, else undefined. */
export function childrenOf(node: DerNode | undefined, type: number): readonly DerNode[] | undefined {
	if (node === undefined || node.tagClass !== universal || node.type !== type || typeof node.value === "string") return undefined;
	return node.value;
}

/** The contents of a universal primitive node of `type`, else undefined. */
export function contentsOf(node: DerNode | undefined, type: number): Buffer | undefined {
	if (node === undefined || node.tagClass !== universal || node.type !== type || typeof node.value !== "string") return undefined;
	return Buffer.from(node.value, "latin1");
}

/** A context-specific node's number, with its octets (primitive) or children (constructed). */
export function contextOf(node: DerNode): { readonly number: number; readonly bytes?: Buffer; readonly items?: readonly DerNode[] } | undefined {
	if (node.tagClass !== contextSpecific) return undefined;
	if (typeof node.value === "string") return { number: node.type, bytes: Buffer.from(node.value, "latin1") };
	return { number: node.type, items: node.value };
}

export function oidOf(node: DerNode | undefined): string | undefined {
	const contents = contentsOf(node, tags.oid);
	return contents === undefined ? undefined : asn1.derToOid(text(contents));
}
