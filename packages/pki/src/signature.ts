import { type KeyObject, sign, verify } from "node:crypto";
import { type Checked, accepted, refused } from "./checked.ts";
import { childrenOf, type DerNode, der, oidOf, tags } from "./der.ts";
import { oids } from "./oids.ts";

interface SignatureAlgorithm {
	readonly keyType: "rsa" | "ec";
	readonly digest: "sha256" | "sha384" | "sha512";
	readonly oid: string;
}

// PKCS#1 v1.5 and ECDSA with SHA-2: what Istio's agents, Envoy and the Web PKI agree on. SHA-1 and MD5 are absent on purpose.
const algorithms: readonly SignatureAlgorithm[] = [
	{ keyType: "rsa", digest: "sha256", oid: oids.sha256WithRSAEncryption },
	{ keyType: "rsa", digest: "sha384", oid: oids.sha384WithRSAEncryption },
	{ keyType: "rsa", digest: "sha512", oid: oids.sha512WithRSAEncryption },
	{ keyType: "ec", digest: "sha256", oid: oids.ecdsaWithSHA256 },
	{ keyType: "ec", digest: "sha384", oid: oids.ecdsaWithSHA384 },
	{ keyType: "ec", digest: "sha512", oid: oids.ecdsaWithSHA512 },
];

export const isAcceptedSignature = (oid: string): boolean => algorithms.some((algorithm) => algorithm.oid === oid);

function algorithmOf(key: KeyObject): SignatureAlgorithm {
	// FIPS 186-5 §6.1: the digest is as strong as the curve.
	const digest = key.asymmetricKeyDetails?.namedCurve === "secp384r1" ? "sha384" : "sha256";
	const found = algorithms.find((a) => a.keyType === key.asymmetricKeyType && a.digest === digest);
	if (found === undefined) throw new TypeError(`no signature algorithm for keys of type ${key.asymmetricKeyType}`);
	return found;
}

/** AlgorithmIdentifier of what `signDer` makes with `key`. RFC 4055 §5: RSA carries NULL parameters; RFC 5758 §3.2: ECDSA none. */
export function signatureAlgorithmOf(key: KeyObject): DerNode {
	const { keyType, oid } = algorithmOf(key);
	return keyType === "rsa" ? der.sequence(der.oid(oid), der.null()) : der.sequence(der.oid(oid));
}

/** Signs with node:crypto: PKCS#1 v1.5 for RSA, a DER Ecdsa-Sig-Value for EC. */
export function signDer(bytes: Uint8Array, privateKey: KeyObject): Buffer {
	return sign(algorithmOf(privateKey).digest, bytes, privateKey);
}

/** Verifies with node:crypto under the algorithm that the message names, which must be of the key's type. */
export function verifyDer(bytes: Uint8Array, algorithm: DerNode | undefined, signature: Buffer, publicKey: KeyObject): Checked<true> {
	const oid = oidOf(childrenOf(algorithm, tags.sequence)?.[0]);
	const found = algorithms.find((a) => a.oid === oid);
	if (found === undefined) return refused(`signature algorithm ${oid ?? "unreadable"} is not accepted`);
	if (found.keyType !== publicKey.asymmetricKeyType) return refused("signature algorithm does not fit the public key");
	return verify(found.digest, bytes, publicKey, signature) ? accepted(true as const) : refused("signature does not verify");
}
