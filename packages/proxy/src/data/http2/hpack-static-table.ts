import { hashBytes } from "../codec/bytes.ts";

/** RFC 7541, appendix A, from index 1 on. */
const entries: readonly (readonly [name: string, value: string])[] = [
	[":authority", ""],
	[":method", "GET"],
	[":method", "POST"],
	[":path", "/"],
	[":path", "/index.html"],
	[":scheme", "http"],
	[":scheme", "https"],
	[":status", "200"],
	[":status", "204"],
	[":status", "206"],
	[":status", "304"],
	[":status", "400"],
	[":status", "404"],
	[":status", "500"],
	["accept-charset", ""],
	["accept-encoding", "gzip, deflate"],
	["accept-language", ""],
	["accept-ranges", ""],
	["accept", ""],
	["access-control-allow-origin", ""],
	["age", ""],
	["allow", ""],
	["authorization", ""],
	["cache-control", ""],
	["content-disposition", ""],
	["content-encoding", ""],
	["content-language", ""],
	["content-length", ""],
	["content-location", ""],
	["content-range", ""],
	["content-type", ""],
	["cookie", ""],
	["date", ""],
	["etag", ""],
	["expect", ""],
	["expires", ""],
	["from", ""],
	["host", ""],
	["if-match", ""],
	["if-modified-since", ""],
	["if-none-match", ""],
	["if-range", ""],
	["if-unmodified-since", ""],
	["last-modified", ""],
	["link", ""],
	["location", ""],
	["max-forwards", ""],
	["proxy-authenticate", ""],
	["proxy-authorization", ""],
	["range", ""],
	["referer", ""],
	["refresh", ""],
	["retry-after", ""],
	["server", ""],
	["set-cookie", ""],
	["strict-transport-security", ""],
	["transfer-encoding", ""],
	["user-agent", ""],
	["vary", ""],
	["via", ""],
	["www-authenticate", ""],
];

export const staticCount: number = entries.length;

/** All names and values one after the other; the positions below refer to this. */
export const staticBytes: Buffer = Buffer.from(entries.map(([name, value]) => name + value).join(""), "latin1");
export const staticStart = new Int32Array(staticCount + 1);
export const staticNameLength = new Int32Array(staticCount + 1);
export const staticValueLength = new Int32Array(staticCount + 1);

let start = 0;
for (const [i, [name, value]] of entries.entries()) {
	staticStart[i + 1] = start;
	staticNameLength[i + 1] = name.length;
	staticValueLength[i + 1] = value.length;
	start += name.length + value.length;
}

/** First index of each name, by open addressing over its hash. */
const placeBits = 8;
const places = 1 << placeBits;
const placeOf = (hash: number): number => Math.imul(hash, 0x9e3779b1) >>> (32 - placeBits);
const firstIndex = new Uint8Array(places);
const nameHashes = new Int32Array(staticCount + 1);

for (let i = 1; i <= staticCount; i++) {
	const at = staticStart[i] as number;
	const end = at + (staticNameLength[i] as number);
	nameHashes[i] = hashBytes(staticBytes, at, end);
	if (findStaticName(staticBytes, at, end, nameHashes[i] as number) !== 0) continue;
	let place = placeOf(nameHashes[i] as number);
	while (firstIndex[place] !== 0) place = (place + 1) & (places - 1);
	firstIndex[place] = i;
}

/** `hash`: of `hashBytes`. 0: none. */
export function findStaticName(bytes: Uint8Array, from: number, end: number, hash: number): number {
	for (let place = placeOf(hash); ; place = (place + 1) & (places - 1)) {
		const index = firstIndex[place] as number;
		if (index === 0) return 0;
		const length = staticNameLength[index] as number;
		if (nameHashes[index] !== hash || length !== end - from) continue;
		const base = staticStart[index] as number;
		let i = 0;
		while (i < length && staticBytes[base + i] === bytes[from + i]) i++;
		if (i === length) return index;
	}
}

/** Names with several entries stand together: the index with this value, or 0. */
export function findStaticValue(nameIndex: number, bytes: Uint8Array, from: number, end: number): number {
	for (let index = nameIndex; index <= staticCount && nameHashes[index] === nameHashes[nameIndex]; index++) {
		const length = staticValueLength[index] as number;
		if (length !== end - from || length === 0) continue;
		const base = (staticStart[index] as number) + (staticNameLength[index] as number);
		let i = 0;
		while (i < length && staticBytes[base + i] === bytes[from + i]) i++;
		if (i === length) return index;
	}
	return 0;
}
