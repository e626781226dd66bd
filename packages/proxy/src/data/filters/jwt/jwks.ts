import { constants, createHmac, createPublicKey, type KeyObject, timingSafeEqual, verify } from "node:crypto";
import { decodeBase64Url, type Jwt } from "./jwt.ts";
import { type JwtFailure, jwtStatus } from "./jwt-status.ts";

/** One key that tokens may be signed with. What it is decides which algorithms it takes, whatever a token says. */
interface Key {
	/** "" : not told. */
	readonly kid: string;
	readonly alg: string;
	readonly algorithms: readonly string[];
	readonly secret: Buffer | undefined;
	readonly publicKey: KeyObject | undefined;
}

export interface Jwks {
	/** undefined: signed by one of the keys. */
	verify(jwt: Jwt): JwtFailure | undefined;
}

const keysMax = 1000;
const rsaAlgorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
const hmacAlgorithms = ["HS256", "HS384", "HS512"];
const curves: Readonly<Record<string, string>> = { "P-256": "ES256", "P-384": "ES384", "P-521": "ES512" };

/** A JSON Web Key Set (RFC 7517), or certificates by key id. A string says what is wrong. */
export function parseJwks(json: string): Jwks | JwtFailure {
	let set: unknown;
	try {
		set = JSON.parse(json);
	} catch {
		// Not JSON is what there is to know.
		return jwtStatus.jwksParse;
	}
	if (typeof set !== "object" || set === null) return jwtStatus.jwksParse;
	const { keys } = set as { keys?: unknown };
	if (Array.isArray(set)) return jwtStatus.jwksNoKeys;
	if (keys === undefined) {
		const certified = Object.entries(set).flatMap(([kid, pem]) => readCertificate(kid, pem));
		return certified.length === 0 ? jwtStatus.jwksNoKeys : createJwks(certified);
	}
	if (!Array.isArray(keys)) return jwtStatus.jwksBadKeys;
	const usable = keys.slice(0, keysMax).flatMap((key: unknown) => (typeof key === "object" && key !== null ? readKey(key as Record<string, unknown>) : []));
	return usable.length === 0 ? jwtStatus.jwksNoValidKeys : createJwks(usable);
}

function readCertificate(kid: string, pem: unknown): readonly Key[] {
	if (typeof pem !== "string" || !pem.startsWith("-----BEGIN")) return [];
	try {
		const publicKey = createPublicKey(pem);
		const algorithms = publicKey.asymmetricKeyType === "rsa" ? rsaAlgorithms : [];
		return [{ kid, alg: "", algorithms, secret: undefined, publicKey }];
	} catch {
		// As every key that cannot be used.
		return [];
	}
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

/** None when it cannot be used: the others still can. */
function readKey(jwk: Readonly<Record<string, unknown>>): readonly Key[] {
	const base = { kid: textOf(jwk["kid"]), alg: textOf(jwk["alg"]) };
	try {
		switch (jwk["kty"]) {
			case "RSA":
				return withPublicKey(base, jwk, rsaAlgorithms);
			case "EC": {
				const algorithm = curves[textOf(jwk["crv"])];
				return algorithm === undefined ? [] : withPublicKey(base, jwk, [algorithm]);
			}
			case "OKP":
				return jwk["crv"] === "Ed25519" ? withPublicKey(base, jwk, ["EdDSA"]) : [];
			case "oct": {
				const secret = decodeBase64Url(textOf(jwk["k"]));
				return secret === undefined ? [] : usableFor(base, { algorithms: hmacAlgorithms, secret, publicKey: undefined });
			}
		}
	} catch {
		// A key that OpenSSL does not take.
	}
	return [];
}

function withPublicKey(base: Pick<Key, "kid" | "alg">, jwk: Readonly<Record<string, unknown>>, algorithms: readonly string[]): readonly Key[] {
	const { kty, crv, x, y, n, e } = jwk;
	// What is not base64url would be read as far as it goes.
	if ([x, y, n, e].some((part) => part !== undefined && decodeBase64Url(textOf(part)) === undefined)) return [];
	const key = JSON.parse(JSON.stringify({ kty, crv, x, y, n, e })) as Record<string, string>;
	return usableFor(base, { algorithms, secret: undefined, publicKey: createPublicKey({ key, format: "jwk" }) });
}

/** A key that says what it is for is for nothing else; one that says what it cannot be is no key. */
function usableFor(base: Pick<Key, "kid" | "alg">, key: Omit<Key, "kid" | "alg">): readonly Key[] {
	return base.alg === "" || key.algorithms.includes(base.alg) ? [{ ...base, ...key }] : [];
}

function createJwks(keys: readonly Key[]): Jwks {
	return {
		verify(jwt) {
			let isMatched = false;
			for (const key of keys) {
				if (jwt.kid !== "" && key.kid !== "" && key.kid !== jwt.kid) continue;
				if (key.alg !== "" && key.alg !== jwt.alg) continue;
				isMatched = true;
				if (key.algorithms.includes(jwt.alg) && isSignedBy(key, jwt)) return undefined;
			}
			return isMatched ? jwtStatus.verificationFails : jwtStatus.jwksMismatch;
		},
	};
}

function isSignedBy({ secret, publicKey }: Key, { alg, signedText, signature }: Jwt): boolean {
	const hash = `sha${alg.slice(2)}`;
	const data = Buffer.from(signedText, "latin1");
	if (secret !== undefined) {
		const expected = createHmac(hash, secret).update(data).digest();
		return expected.length === signature.length && timingSafeEqual(expected, signature);
	}
	if (publicKey === undefined) return false;
	if (alg === "EdDSA") return verify(undefined, data, publicKey, signature);
	if (alg.startsWith("ES")) return verify(hash, data, { key: publicKey, dsaEncoding: "ieee-p1363" }, signature);
	if (alg.startsWith("PS"))
		return verify(hash, data, { key: publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }, signature);
	return verify(hash, data, { key: publicKey, padding: constants.RSA_PKCS1_PADDING }, signature);
}
