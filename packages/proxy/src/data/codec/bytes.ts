/** Byte classes of RFC 9110 §5.6.2 and RFC 9112, as tables: one load a byte. */

const tokenExtra = "!#$%&'*+-.^_`|~";

/** 1: may stand in a token (header name, method). */
export const isTokenByte = new Uint8Array(256);
/** 1: may stand in a field value: no control but tab, obs-text allowed. */
export const isValueByte = new Uint8Array(256);
/** 1: may stand in a request target. */
export const isTargetByte = new Uint8Array(256);
/** What a token's byte is in lower case; 0: no token byte. */
export const lowerTokenByte = new Uint8Array(256);
/** 0-15, or 255. */
export const hexValue = new Uint8Array(256).fill(255);

for (let c = 0; c < 256; c++) {
	const char = String.fromCharCode(c);
	const isAlphanumeric = /[0-9A-Za-z]/.test(char);
	isTokenByte[c] = isAlphanumeric || tokenExtra.includes(char) ? 1 : 0;
	isValueByte[c] = c === 9 || (c >= 32 && c !== 127) ? 1 : 0;
	isTargetByte[c] = c > 32 && c !== 127 ? 1 : 0;
	lowerTokenByte[c] = isTokenByte[c] === 0 ? 0 : c >= 65 && c <= 90 ? c + 32 : c;
	if (/[0-9a-fA-F]/.test(char)) hexValue[c] = Number.parseInt(char, 16);
}

export const CR = 13;
export const LF = 10;
export const SP = 32;
export const TAB = 9;
export const COLON = 58;
export const SEMICOLON = 59;

/** The hash by which heads find names, of a name in lower case: cheap, as whoever looks for a name compares its bytes too. */
export function hashBytes(bytes: Uint8Array, start: number, end: number): number {
	return hashOf(end - start, bytes[start] as number, bytes[start + ((end - start) >> 1)] as number, bytes[end - 1] as number);
}

export function hashName(name: string): number {
	const { length } = name;
	return length === 0 ? 0 : hashOf(length, name.charCodeAt(0), name.charCodeAt(length >> 1), name.charCodeAt(length - 1));
}

function hashOf(length: number, first: number, middle: number, last: number): number {
	return (length << 24) ^ (first << 16) ^ (middle << 8) ^ last ^ (middle << 3) ^ (first << 1) ^ length;
}

const textPlaces = 256;
const textBytesMax = 64;
const textBytes = new Uint8Array(textPlaces * textBytesMax);
const texts = new Array<string>(textPlaces).fill("");

/** Latin-1. Texts that come again and again (hosts, paths) are the same string each time, made and hashed once. */
export function readText(bytes: Buffer, start: number, end: number): string {
	const length = end - start;
	if (length === 0) return "";
	if (length > textBytesMax) return bytes.latin1Slice(start, end);
	const place = (Math.imul(bytes[end - 1] as number, 31) + Math.imul(bytes[start + (length >> 1)] as number, 7) + length) & (textPlaces - 1);
	const base = place * textBytesMax;
	const known = texts[place] as string;
	if (known.length === length) {
		let i = 0;
		while (i < length && textBytes[base + i] === bytes[start + i]) i++;
		if (i === length) return known;
	}
	const text = bytes.latin1Slice(start, end);
	for (let i = 0; i < length; i++) textBytes[base + i] = bytes[start + i] as number;
	texts[place] = text;
	return text;
}
