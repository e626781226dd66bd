/** Byte classes of RFC 9110 §5.6.2 and RFC 9112, as tables: one load a byte. */

const tokenExtra = "!#$%&'*+-.^_`|~";

/** 1: may stand in a token (header name, method). */
export const isTokenByte = new Uint8Array(256);
/** 1: may stand in a field value: no control but tab, obs-text allowed. */
export const isValueByte = new Uint8Array(256);
/** 1: may stand in a request target. */
export const isTargetByte = new Uint8Array(256);
export const lowerByte = new Uint8Array(256);
/** 0-15, or 255. */
export const hexValue = new Uint8Array(256).fill(255);

for (let c = 0; c < 256; c++) {
	const char = String.fromCharCode(c);
	const isAlphanumeric = /[0-9A-Za-z]/.test(char);
	isTokenByte[c] = isAlphanumeric || tokenExtra.includes(char) ? 1 : 0;
	isValueByte[c] = c === 9 || (c >= 32 && c !== 127) ? 1 : 0;
	isTargetByte[c] = c > 32 && c !== 127 ? 1 : 0;
	lowerByte[c] = c >= 65 && c <= 90 ? c + 32 : c;
	if (/[0-9a-fA-F]/.test(char)) hexValue[c] = Number.parseInt(char, 16);
}

export const CR = 13;
export const LF = 10;
export const SP = 32;
export const TAB = 9;
export const COLON = 58;
export const SEMICOLON = 59;

/** The hash by which heads find names: of lower-case bytes. */
export function hashName(name: string): number {
	let hash = 0;
	for (let i = 0; i < name.length; i++) hash = (Math.imul(hash, 31) + name.charCodeAt(i)) | 0;
	return hash;
}

const hashes = new Map<string, number>();
const hashesMax = 4096;

export function hashOfName(name: string): number {
	const known = hashes.get(name);
	if (known !== undefined) return known;
	const hash = hashName(name);
	if (hashes.size < hashesMax) hashes.set(name, hash);
	return hash;
}
