import { createPublicKey, generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import { accepted, type Checked, checkedCall, refused } from "./checked.ts";
import { childrenOf, decodeDer, oidOf, tags } from "./der.ts";

/** What a key is made of; the mesh's own keys are P-256 unless asked otherwise, as it costs a twentieth of RSA-2048 to make. */
export const keyAlgorithms = ["ecdsa-p256", "ecdsa-p384", "rsa-2048"] as const;
export type KeyAlgorithm = (typeof keyAlgorithms)[number];

export interface KeyPair {
	readonly publicKey: KeyObject;
	readonly privateKey: KeyObject;
}

const generate = promisify(generateKeyPair);

/** A new pair, made off the event loop by node:crypto. */
export function generateKeys(algorithm: KeyAlgorithm = "ecdsa-p256"): Promise<KeyPair> {
	if (algorithm === "rsa-2048") return generate("rsa", { modulusLength: 2048 });
	return generate("ec", { namedCurve: algorithm === "ecdsa-p384" ? "secp384r1" : "prime256v1" });
}

/** PKCS#8 PEM, unencrypted: for a file of mode 0600 or for memory only. */
export function encodePrivateKey(key: KeyObject): string {
	return key.export({ type: "pkcs8", format: "pem" });
}

/** SubjectPublicKeyInfo DER of a public key, or of the public half of a private one. */
export function encodePublicKey(key: KeyObject): Buffer {
	return (key.type === "private" ? createPublicKey(key) : key).export({ type: "spki", format: "der" });
}

// Upper bounds too: verifying with a 16 384-bit key or a huge exponent is work an attacker makes us do.
const rsaBitsMin = 2048;
const rsaBitsMax = 8192;
const exponentMin = 65537n;
const exponentMax = 2n ** 32n;
const curves: ReadonlySet<string> = new Set(["prime256v1", "secp384r1"]);

/** Reads a SubjectPublicKeyInfo and holds it against what the mesh accepts: RSA of 2048 to 8192 bits, P-256, P-384. */
export function decodePublicKey(spkiDer: Buffer): Checked<KeyObject> {
	const key = checkedCall("unreadable public key", () => createPublicKey({ key: spkiDer, type: "spki", format: "der" }));
	if (!key.ok) return key;
	const { modulusLength = 0, publicExponent = 0n, namedCurve = "without a name" } = key.value.asymmetricKeyDetails ?? {};
	switch (key.value.asymmetricKeyType) {
		case "rsa":
			if (modulusLength < rsaBitsMin || modulusLength > rsaBitsMax) {
				return refused(`RSA key of ${modulusLength} bits: ${rsaBitsMin} to ${rsaBitsMax} are accepted`);
			}
			if (publicExponent < exponentMin || publicExponent > exponentMax || publicExponent % 2n === 0n) {
				return refused("RSA public exponent: odd ones from 65537 below 2^32 are accepted");
			}
			return accepted(key.value);
		case "ec":
			// RFC 5480 §2.1.1: a certificate names its curve. OpenSSL recognises spelled-out parameters, other verifiers refuse or trust them.
			if (!namesItsCurve(spkiDer)) return refused("EC curve with explicit parameters: prime256v1 and secp384r1 are accepted");
			return curves.has(namedCurve) ? accepted(key.value) : refused(`EC curve ${namedCurve}: prime256v1 and secp384r1 are accepted`);
		default:
			return refused(`public key of type ${key.value.asymmetricKeyType ?? "unknown"}: RSA and EC are accepted`);
	}
}

function namesItsCurve(spkiDer: Buffer): boolean {
	const spki = decodeDer(spkiDer);
	const algorithm = spki.ok ? childrenOf(spki.value, tags.sequence)?.[0] : undefined;
	return oidOf(childrenOf(algorithm, tags.sequence)?.[1]) !== undefined;
}
