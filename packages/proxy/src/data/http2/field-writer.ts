import { hashBytes, isValueByte } from "../codec/bytes.ts";
import { envoyHeaderBit, type HeaderBlock, indexWords } from "../codec/header-block.ts";
import { known, lookupKnown } from "../codec/known-names.ts";

/** 1: may stand in a field name, which is in lower case here (RFC 9113 §8.2.1). */
const isNameByte = new Uint8Array(256);
for (const char of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") isNameByte[char.charCodeAt(0)] = 1;

/** Beyond its name and value a line takes ": " and its end. */
export const lineExtraBytes = 4;
const loopBytesMax = 48;
const initialBytes = 1024;

export function hasRoom(head: HeaderBlock, at: number, count: number): void {
	if (head.bytes.length >= at + count) return;
	const larger = Buffer.allocUnsafeSlow(Math.max(2 * head.bytes.length, at + count, initialBytes));
	head.bytes.copy(larger, 0, 0, at);
	head.bytes = larger;
}

export function copyBytes(source: Buffer, start: number, end: number, target: Buffer, at: number): number {
	const count = end - start;
	if (count > loopBytesMax) source.copy(target, at, start, end);
	else for (let i = 0; i < count; i++) target[at + i] = source[start + i] as number;
	return at + count;
}

export function isFieldName(bytes: Buffer, start: number, end: number): boolean {
	for (let i = start; i < end; i++) if (isNameByte[bytes[i] as number] === 0) return false;
	return end > start;
}

/** RFC 9113 §8.2.1, and no other control either: the field may have to stand in a line of HTTP/1. White space around it is for `trimStart` and `trimEnd`. */
export function isFieldValue(bytes: Buffer, start: number, end: number): boolean {
	for (let i = start; i < end; i++) if (isValueByte[bytes[i] as number] === 0) return false;
	return true;
}

/** White space around a value would end up as none in HTTP/1; as Envoy does it, it is dropped rather than its message. */
export function trimStart(bytes: Buffer, start: number, end: number): number {
	let at = start;
	while (at < end && isSpace(bytes[at] as number)) at++;
	return at;
}

export function trimEnd(bytes: Buffer, start: number, end: number): number {
	let at = end;
	while (at > start && isSpace(bytes[at - 1] as number)) at--;
	return at;
}

function isSpace(byte: number): boolean {
	return byte === 32 || byte === 9;
}

/**
 * Writes a field as the line that HTTP/1 has for it, at `head.length`, and enters it into the index. `entry`: of the
 * index. Gives the id of the known name, 0 for another.
 */
export function writeLine(
	head: HeaderBlock,
	nameBytes: Buffer,
	nameStart: number,
	nameEnd: number,
	valueBytes: Buffer,
	valueFrom: number,
	valueTo: number,
	isNeverIndexed: boolean,
	entry: number,
): number {
	const valueStart = trimStart(valueBytes, valueFrom, valueTo);
	const valueEnd = trimEnd(valueBytes, valueStart, valueTo);
	const from = head.length;
	hasRoom(head, from, nameEnd - nameStart + valueEnd - valueStart + lineExtraBytes);
	const { bytes } = head;
	let at = copyBytes(nameBytes, nameStart, nameEnd, bytes, from);
	const lineNameEnd = at;
	bytes[at++] = 58;
	bytes[at++] = 32;
	const lineValueStart = at;
	at = copyBytes(valueBytes, valueStart, valueEnd, bytes, at);
	const lineValueEnd = at;
	bytes[at++] = 13;
	bytes[at++] = 10;
	head.length = at;
	const hash = hashBytes(bytes, from, lineNameEnd);
	const id = lookupKnown(bytes, from, lineNameEnd, hash);
	if (head.index.length < (head.count + 1) * indexWords) head.growIndex();
	const { index } = head;
	const word = head.count++ * indexWords;
	index[word] = from;
	index[word + 1] = lineNameEnd;
	index[word + 2] = lineValueStart;
	index[word + 3] = lineValueEnd;
	index[word + 4] = hash;
	index[word + 5] = id;
	index[word + 6] = entry;
	if (isNeverIndexed) head.markNeverIndexed(head.count - 1);
	if (id !== 0) head.present |= 1 << id;
	else if (lineNameEnd - from > 8 && bytes[from] === 120 && bytes[from + 2] === 101 && bytes[from + 7] === 45) head.present |= envoyHeaderBit;
	return id;
}

/** Ends the head as HTTP/1 does, so that it can go out that way by one copy. */
export function endLines(head: HeaderBlock): void {
	hasRoom(head, head.length, 2);
	head.bytes[head.length++] = 13;
	head.bytes[head.length++] = 10;
}

const connectionSpecific =
	(1 << known.connection) | (1 << known["keep-alive"]) | (1 << known["proxy-connection"]) | (1 << known["transfer-encoding"]) | (1 << known.upgrade);

/** RFC 9113 §8.2.2: fields that speak of the connection make a message malformed, and `te` may only say `trailers`. */
export function hasConnectionField(head: HeaderBlock): boolean {
	if ((head.present & connectionSpecific) !== 0) return true;
	return head.hasKnown(known.te) && head.get("te") !== "trailers";
}

const lengthDigitsMax = 15;

/** -1: none; -2: malformed (RFC 9110 §8.6). */
export function readContentLength(head: HeaderBlock): number {
	if (!head.hasKnown(known["content-length"])) return -1;
	let length = -1;
	for (let at = 0; at < head.count * indexWords; at += indexWords) {
		if (head.index[at + 5] !== known["content-length"]) continue;
		const start = head.index[at + 2] as number;
		const end = head.index[at + 3] as number;
		if (length >= 0 || end === start || end - start > lengthDigitsMax) return -2;
		length = 0;
		for (let i = start; i < end; i++) {
			const digit = (head.bytes[i] as number) - 48;
			if (digit < 0 || digit > 9) return -2;
			length = length * 10 + digit;
		}
	}
	return length;
}
