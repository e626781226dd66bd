import { type KeyObject, sign, X509Certificate } from "node:crypto";
import { readCertificate } from "./certificate-fields.ts";
import type { Signer } from "./certificate.ts";
import { type DerNode, der, embedDer, encodeDer } from "./der.ts";
import { oids } from "./oids.ts";
import { encodePem } from "./pem.ts";
import { testNowMs } from "./test-authority.ts";

/** One extension; `value` is what stands inside its octets. */
export const rawExtension = (oid: string, critical: boolean, value: DerNode): DerNode =>
	critical ? der.sequence(der.oid(oid), der.boolean(true), der.octetString(encodeDer(value))) : der.sequence(der.oid(oid), der.octetString(encodeDer(value)));

const name = (number: number, bytes: string | Uint8Array): DerNode => der.contextBytes(number, Buffer.from(bytes));

export const rawExtensions = {
	uris: (...uris: readonly (string | Uint8Array)[]): DerNode => rawExtension(oids.subjectAltName, true, der.sequence(...uris.map((uri) => name(6, uri)))),
	dnsNames: (...names: readonly string[]): DerNode => rawExtension(oids.subjectAltName, true, der.sequence(...names.map((text) => name(2, text)))),
	usages: (...usages: readonly string[]): DerNode => rawExtension(oids.extKeyUsage, false, der.sequence(...usages.map((oid) => der.oid(oid)))),
	keyUsage: (octet: number, unusedBits: number): DerNode => rawExtension(oids.keyUsage, true, der.bitString(Uint8Array.of(octet), unusedBits)),
	authority: (isAuthority: boolean): DerNode => rawExtension(oids.basicConstraints, true, isAuthority ? der.sequence(der.boolean(true)) : der.sequence()),
} as const;

export interface RawCertificate {
	readonly issuer: Signer;
	readonly publicKeyDer: Uint8Array;
	readonly extensions: readonly DerNode[];
	readonly commonName?: string;
	readonly notBeforeMs?: number;
	readonly notAfterMs?: number;
	/** Default: SHA-256 under the issuer's EC key. */
	readonly signature?: { readonly oid: string; readonly digest: string; readonly key: KeyObject };
}

/** A certificate that no encoder of ours would make, for verifiers to refuse. */
export function signRawCertificate(raw: RawCertificate): X509Certificate {
	const { issuer, publicKeyDer, extensions, commonName, notBeforeMs = testNowMs - 60_000, notAfterMs = testNowMs + 3_600_000 } = raw;
	const { oid, digest, key } = raw.signature ?? { oid: oids.ecdsaWithSHA256, digest: "sha256", key: issuer.privateKey };
	const fields = readCertificate(issuer.certificate);
	if (!fields.ok) throw new TypeError(fields.reason);
	const subject = commonName === undefined ? der.sequence() : der.sequence(der.set(der.sequence(der.oid(oids.commonName), der.utf8String(commonName))));
	const algorithm = der.sequence(der.oid(oid));
	const tbs = der.sequence(
		der.context(0, der.integer(Uint8Array.of(2))),
		der.integer(Uint8Array.of(0x42)),
		algorithm,
		embedDer(fields.value.subjectDer),
		der.sequence(der.time(notBeforeMs), der.time(notAfterMs)),
		subject,
		embedDer(publicKeyDer),
		der.context(3, der.sequence(...extensions)),
	);
	const signature = sign(digest, encodeDer(tbs), key);
	return new X509Certificate(encodePem("CERTIFICATE", encodeDer(der.sequence(tbs, algorithm, der.bitString(signature)))));
}
