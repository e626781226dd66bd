import type { KeyObject } from "node:crypto";
import { accepted, type Checked, refused } from "./checked.ts";
import { readExtensions, readNames } from "./certificate-fields.ts";
import { childrenOf, contentsOf, contextOf, decodeDer, der, type DerNode, embedDer, encodeDer, oidOf, tags } from "./der.ts";
import { subjectAltNameExtension } from "./extensions.ts";
import { decodePublicKey, encodePublicKey, type KeyPair } from "./keys.ts";
import { oids } from "./oids.ts";
import { encodePem, splitPem } from "./pem.ts";
import { signatureAlgorithmOf, signDer, verifyDer } from "./signature.ts";

/** PKCS#9 extensionRequest: how a CSR asks for certificate extensions (RFC 2985 §5.4.2). */
const extensionRequest = "1.2.840.113549.1.9.14";
const csrLabels: ReadonlySet<string> = new Set(["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"]);
export const csrBytesMax = 64 * 1024;

export interface CsrRequest {
	readonly keys: KeyPair;
	/** Asked for as URI SANs. Our own authority ignores them; others, such as cert-manager's istio-csr, compare them with the caller. */
	readonly uris: readonly string[];
	readonly dnsNames?: readonly string[];
	/** Textual IPv4 or IPv6 addresses. */
	readonly ipAddresses?: readonly string[];
}

/** A PKCS#10 request (RFC 2986) as PEM, with empty subject, for an RSA or EC key. */
export function buildCsr({ keys, uris, dnsNames = [], ipAddresses = [] }: CsrRequest): string {
	const extensions = der.sequence(subjectAltNameExtension({ uris, dnsNames, ipAddresses }));
	const attributes = uris.length + dnsNames.length + ipAddresses.length === 0 ? [] : [der.sequence(der.oid(extensionRequest), der.set(extensions))];
	const info = der.sequence(der.integer(Uint8Array.of(0)), der.sequence(), embedDer(encodePublicKey(keys.publicKey)), der.context(0, ...attributes));
	const signature = signDer(encodeDer(info), keys.privateKey);
	return encodePem("CERTIFICATE REQUEST", encodeDer(der.sequence(info, signatureAlgorithmOf(keys.privateKey), der.bitString(signature))));
}

/** All that our own authority takes from a request: a key whose owner signed it. Subject and extensions are never looked at. */
export interface Csr {
	readonly publicKey: KeyObject;
	readonly publicKeyDer: Buffer;
}

/** What a request asks to be called, for whoever passes it on to a signer that gives what is asked. */
export interface RequestedNames {
	readonly uris: readonly string[];
	readonly dnsNames: readonly string[];
	/** Raw address octets in hexadecimal. */
	readonly ipAddresses: readonly string[];
	/** SANs of any further kind. */
	readonly otherNames: number;
}

/** Reads exactly one PEM request of at most `csrBytesMax` characters and checks the key's strength and the signature. */
export function decodeCsr(pem: string): Checked<Csr> {
	const opened = openCsr(pem);
	if (!opened.ok) return opened;
	const { publicKey, publicKeyDer } = opened.value;
	return accepted({ publicKey, publicKeyDer });
}

/** The same, with the names that it asks for; refuses extensions that stand twice. */
export function decodeNamedCsr(pem: string): Checked<Csr & { readonly names: RequestedNames }> {
	const opened = openCsr(pem);
	if (!opened.ok) return opened;
	const { publicKey, publicKeyDer, info } = opened.value;
	const attributes = contextOf(childrenOf(info, tags.sequence)?.[3] ?? der.null())?.items ?? [];
	const asked = attributes.map((node) => childrenOf(node, tags.sequence) ?? []).filter(([type]) => oidOf(type) === extensionRequest);
	if (asked.length > 1) return refused("CSR asks for extensions twice");
	const values = childrenOf(asked[0]?.[1], tags.set) ?? [];
	if (values.length > 1) return refused("CSR asks for extensions twice");
	const extensions = readExtensions("CSR", childrenOf(values[0], tags.sequence) ?? []);
	if (!extensions.ok) return extensions;
	const { uris, dnsNames, ipAddresses, otherNames } = readNames(extensions.value.get(oids.subjectAltName));
	return accepted({ publicKey, publicKeyDer, names: { uris, dnsNames, ipAddresses, otherNames } });
}

function openCsr(pem: string): Checked<Csr & { readonly info: DerNode }> {
	if (pem.length > csrBytesMax) return refused(`CSR of ${pem.length} bytes: at most ${csrBytesMax} are accepted`);
	const blocks = splitPem(pem);
	const [request] = blocks;
	if (request === undefined || blocks.length !== 1 || !csrLabels.has(request.label)) {
		return refused("CSR is not one PEM block CERTIFICATE REQUEST");
	}
	const root = decodeDer(request.der);
	if (!root.ok) return refused(`CSR is ${root.reason}`);
	const [info, algorithm, signatureNode, ...rest] = childrenOf(root.value, tags.sequence) ?? [];
	const [version, , spki] = childrenOf(info, tags.sequence) ?? [];
	const signature = contentsOf(signatureNode, tags.bitString);
	const v1 = contentsOf(version, tags.integer)?.equals(Uint8Array.of(0)) === true;
	if (!v1 || info === undefined || spki === undefined || signature === undefined || signature[0] !== 0 || rest.length > 0) {
		return refused("CSR is not a PKCS#10 version 1 request");
	}
	const publicKeyDer = encodeDer(spki);
	const publicKey = decodePublicKey(publicKeyDer);
	if (!publicKey.ok) return refused(`CSR public key: ${publicKey.reason}`);
	const verified = verifyDer(encodeDer(info), algorithm, signature.subarray(1), publicKey.value);
	return verified.ok ? accepted({ publicKey: publicKey.value, publicKeyDer, info }) : refused(`CSR ${verified.reason}`);
}
