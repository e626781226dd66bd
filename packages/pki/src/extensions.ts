import { createHash } from "node:crypto";
import { isIPv4, isIPv6 } from "node:net";
import { childrenOf, contentsOf, type DerNode, der, embedDer, encodeDer, tags } from "./der.ts";
import { oids } from "./oids.ts";

export interface SubjectAltNames {
	readonly uris: readonly string[];
	readonly dnsNames: readonly string[];
	/** Textual IPv4 or IPv6 addresses. */
	readonly ipAddresses: readonly string[];
}

function extension(oid: string, critical: boolean, value: DerNode): DerNode {
	const octets = der.octetString(encodeDer(value));
	// RFC 5280 §4.1: critical is DEFAULT FALSE, so DER leaves a false out.
	return critical ? der.sequence(der.oid(oid), der.boolean(true), octets) : der.sequence(der.oid(oid), octets);
}

/** Critical, since the subject is empty (RFC 5280 §4.2.1.6). */
export function subjectAltNameExtension({ uris, dnsNames, ipAddresses }: SubjectAltNames): DerNode {
	const names = [
		...uris.map((uri) => der.contextBytes(6, Buffer.from(uri, "ascii"))),
		...dnsNames.map((name) => der.contextBytes(2, Buffer.from(name, "ascii"))),
		...ipAddresses.map((address) => der.contextBytes(7, addressBytes(address))),
	];
	return extension(oids.subjectAltName, true, der.sequence(...names));
}

/** digitalSignature and keyEncipherment; an authority: keyCertSign and cRLSign. First bit is the most significant (X.680 §22). */
export function keyUsageExtension(authority: boolean): DerNode {
	return extension(oids.keyUsage, true, authority ? der.bitString(Uint8Array.of(0x06), 1) : der.bitString(Uint8Array.of(0xa0), 5));
}

export function extKeyUsageExtension(): DerNode {
	return extension(oids.extKeyUsage, false, der.sequence(der.oid(oids.serverAuth), der.oid(oids.clientAuth)));
}

export function basicConstraintsExtension(authority: boolean): DerNode {
	return extension(oids.basicConstraints, true, authority ? der.sequence(der.boolean(true)) : der.sequence());
}

export function subjectKeyIdExtension(keyId: Uint8Array): DerNode {
	return extension(oids.subjectKeyIdentifier, false, der.octetString(keyId));
}

export function authorityKeyIdExtension(keyId: Uint8Array): DerNode {
	return extension(oids.authorityKeyIdentifier, false, der.sequence(der.contextBytes(0, keyId)));
}

/** RFC 5280 §4.2.1.2 method 1: SHA-1 over the subjectPublicKey bits. A label, not a protection. */
export function keyIdOf(spkiDer: Uint8Array): Buffer {
	const bits = contentsOf(childrenOf(embedDer(spkiDer), tags.sequence)?.[1], tags.bitString);
	if (bits === undefined) throw new TypeError("SubjectPublicKeyInfo without a key");
	return createHash("sha1").update(bits.subarray(1)).digest();
}

/** The octets of a textual IPv4 or IPv6 address. Throws TypeError on anything else. */
export function addressBytes(address: string): Buffer {
	if (isIPv4(address)) return Buffer.from(address.split(".").map(Number));
	if (!isIPv6(address) || address.includes("%")) throw new TypeError(`${JSON.stringify(address)} is not an IP address`);
	// The URL parser writes every IPv6 form, dotted tails included, as hexadecimal groups.
	const [head = "", tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split("::");
	const groups = (part: string) => (part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16)));
	const left = groups(head);
	const right = groups(tail ?? "");
	const all = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
	return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}
