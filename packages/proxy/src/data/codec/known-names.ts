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
] as const;

export type KnownName = Exclude<(typeof knownNames)[number], "">;

export const known: Readonly<Record<KnownName, number>> = Object.fromEntries(
	knownNames.map((name, id) => [name, id] as const).filter(([name]) => name !== ""),
) as Readonly<Record<KnownName, number>>;

/** Open addressing by hash; 64 places for about 20 names. */
const places = 64;
const ids = new Uint8Array(places);
export const knownHashes = new Int32Array(knownNames.length);

for (const [id, name] of knownNames.entries()) {
	if (name === "") continue;
	const hash = hashName(name);
	knownHashes[id] = hash;
	let place = hash & (places - 1);
	while (ids[place] !== 0) place = (place + 1) & (places - 1);
	ids[place] = id;
}

/** 0: not one of them. The caller has hashed the lower-case name; bytes are compared, so a collision cannot pass for a known name. */
export function lookupKnown(bytes: Uint8Array, start: number, end: number, hash: number): number {
	for (let place = hash & (places - 1); ; place = (place + 1) & (places - 1)) {
		const id = ids[place] as number;
		if (id === 0) return 0;
		if (knownHashes[id] !== hash) continue;
		const name = knownNames[id] as string;
		if (name.length !== end - start) continue;
		let i = 0;
		while (i < name.length && bytes[start + i] === name.charCodeAt(i)) i++;
		if (i === name.length) return id;
	}
}
