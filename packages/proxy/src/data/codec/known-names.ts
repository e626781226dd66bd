import { hashName } from "./bytes.ts";

/** Header names that the codec or the connection manager acts upon; a head notes their presence while it is parsed. */
export const knownNames = [
	"",
	"host",
	"content-length",
	"transfer-encoding",
	"connection",
	"keep-alive",
	"proxy-connection",
	"te",
	"upgrade",
	"expect",
	"trailer",
	"http2-settings",
	"x-request-id",
	"x-forwarded-for",
	"x-forwarded-proto",
	"x-forwarded-client-cert",
	"content-type",
	"server",
	"date",
	"via",
	"grpc-timeout",
] as const;

export type KnownName = Exclude<(typeof knownNames)[number], "">;

export const known: Readonly<Record<KnownName, number>> = Object.fromEntries(
	knownNames.map((name, id) => [name, id] as const).filter(([name]) => name !== ""),
) as Readonly<Record<KnownName, number>>;

/** Open addressing by hash; so many places that most other names meet an empty one. */
const placeBits = 9;
const places = 1 << placeBits;
const placeOf = (hash: number): number => Math.imul(hash, 0x9e3779b1) >>> (32 - placeBits);
const ids = new Uint8Array(places);
export const knownHashes = new Int32Array(knownNames.length);
const nameBytesMax = Math.max(...knownNames.map((name) => name.length));
const nameBytes = Buffer.alloc(knownNames.length * nameBytesMax);
const nameLengths = Uint8Array.from(knownNames, (name) => name.length);

for (const [id, name] of knownNames.entries()) {
	if (name === "") continue;
	const hash = hashName(name);
	knownHashes[id] = hash;
	nameBytes.write(name, id * nameBytesMax, "latin1");
	let place = placeOf(hash);
	while (ids[place] !== 0) place = (place + 1) & (places - 1);
	ids[place] = id;
}

/** 0: not one of them. The caller has hashed the lower-case name; bytes are compared, so a collision cannot pass for a known name. */
export function lookupKnown(bytes: Uint8Array, start: number, end: number, hash: number): number {
	for (let place = placeOf(hash); ; place = (place + 1) & (places - 1)) {
		const id = ids[place] as number;
		if (id === 0) return 0;
		if (knownHashes[id] !== hash) continue;
		const length = nameLengths[id] as number;
		if (length !== end - start) continue;
		const base = id * nameBytesMax;
		let i = 0;
		while (i < length && bytes[start + i] === nameBytes[base + i]) i++;
		if (i === length) return id;
	}
}
