import type { KeyObject } from "node:crypto";
import { accepted, type Checked, refused } from "./checked.ts";
import { childrenOf, contentsOf, decodeDer, der, embedDer, encodeDer, tags } from "./der.ts";
import { subjectAltNameExtension } from "./extensions.ts";
import { decodePublicKey, encodePublicKey, type KeyPair } from "./keys.ts";
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
}

/** A PKCS#10 request (RFC 2986) as PEM, with empty subject, for an RSA or EC key. */
export function buildCsr({ keys, uris }: CsrRequest): string {
	const extensions = der.sequence(subjectAltNameExtension({ uris, dnsNames: [], ipAddresses: [] }));
	const attributes = uris.length === 0 ? [] : [der.sequence(der.oid(extensionRequest), der.set(extensions))];
	const info = der.sequence(der.integer(Uint8Array.of(0)), der.sequence(), embedDer(encodePublicKey(keys.publicKey)), der.context(0, ...attributes));
	const signature = signDer(encodeDer(info), keys.privateKey);
	return encodePem("CERTIFICATE REQUEST", encodeDer(der.sequence(info, signatureAlgorithmOf(keys.privateKey), der.bitString(signature))));
}

/** All that an authority takes from a request: a key whose owner signed it. Subject and extensions are never looked at. */
export interface Csr {
	readonly publicKey: KeyObject;
	readonly publicKeyDer: Buffer;
}

/** Reads exactly one PEM request of at most `csrBytesMax` characters and checks the key's strength and the signature. */
export function decodeCsr(pem: string): Checked<Csr> {
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
	return verified.ok ? accepted({ publicKey: publicKey.value, publicKeyDer }) : refused(`CSR ${verified.reason}`);
}
