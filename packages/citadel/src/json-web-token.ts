import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { accepted, type Checked, checkedCall, refused } from "@weft/pki";

interface Algorithm {
	readonly keyType: "rsa" | "ec";
	readonly digest: "sha256" | "sha384" | "sha512";
	/** Of an EC key. */
	readonly curve?: string;
}

// RFC 7518 §3.1, without `none`, without shared secrets, and without PSS, which Kubernetes and the usual issuers do not use.
const algorithms: Readonly<Record<string, Algorithm>> = {
	RS256: { keyType: "rsa", digest: "sha256" },
	RS384: { keyType: "rsa", digest: "sha384" },
	RS512: { keyType: "rsa", digest: "sha512" },
	ES256: { keyType: "ec", digest: "sha256", curve: "prime256v1" },
	ES384: { keyType: "ec", digest: "sha384", curve: "secp384r1" },
	ES512: { keyType: "ec", digest: "sha512", curve: "secp521r1" },
};

/** A public key that signs tokens. */
export interface TokenKey {
	/** "" : not told. */
	readonly id: string;
	readonly key: KeyObject;
}

const keysMax = 100;
const rsaBitsMin = 2048;

/** Reads a JSON Web Key Set (RFC 7517 §5). Keys of other kinds are passed over; a set without a usable key is refused. */
export function decodeTokenKeys(json: string): Checked<readonly TokenKey[]> {
	const set = checkedCall("the key set is not JSON", () => JSON.parse(json) as unknown);
	if (!set.ok) return set;
	const keys: unknown = fieldOf(set.value, "keys");
	if (!Array.isArray(keys)) return refused('the key set has no list "keys"');
	if (keys.length > keysMax) return refused(`the key set has ${keys.length} keys: at most ${keysMax} are accepted`);
	const usable = keys.flatMap(decodeKey);
	return usable.length === 0 ? refused("the key set has no RSA or EC key for signatures") : accepted(usable);
}

function decodeKey(jwk: unknown): readonly TokenKey[] {
	const [kty, use, kid] = [fieldOf(jwk, "kty"), fieldOf(jwk, "use"), fieldOf(jwk, "kid")];
	if ((kty !== "RSA" && kty !== "EC") || (use !== undefined && use !== "sig")) return [];
	// Public members only: a set that leaks a private key must not make one of ours.
	const members = Object.fromEntries(["kty", "n", "e", "crv", "x", "y"].flatMap((name) => [[name, fieldOf(jwk, name)]]));
	const key = checkedCall("key", () => createPublicKey({ key: members, format: "jwk" }));
	if (!key.ok || (key.value.asymmetricKeyDetails?.modulusLength ?? rsaBitsMin) < rsaBitsMin) return [];
	return [{ id: typeof kid === "string" ? kid : "", key: key.value }];
}

export interface DecodedToken {
	readonly algorithm: string;
	readonly keyId: string;
	readonly claims: Readonly<Record<string, unknown>>;
	readonly signed: Buffer;
	readonly signature: Buffer;
}

/** The three parts of a compact JWS (RFC 7515 §7.1); nothing of it is believed yet. */
export function decodeToken(text: string): Checked<DecodedToken> {
	const [head = "", payload = "", signature = "", ...rest] = text.split(".");
	if (rest.length > 0 || ![head, payload, signature].every((part) => /^[A-Za-z0-9_-]+$/.test(part))) return refused("the token is no JSON Web Token");
	const parts = checkedCall("the token is not JSON", () =>
		[head, payload].map((part) => JSON.parse(Buffer.from(part, "base64url").toString("utf8")) as unknown),
	);
	if (!parts.ok) return parts;
	const [header, claims] = parts.value;
	if (typeof claims !== "object" || claims === null || Array.isArray(claims)) return refused("the token's claims are no object");
	// RFC 7515 §4.1.11: what must be understood, and is not, makes it invalid.
	if (fieldOf(header, "crit") !== undefined) return refused("the token has critical header parameters");
	const [algorithm, keyId] = [fieldOf(header, "alg"), fieldOf(header, "kid")];
	return accepted({
		algorithm: typeof algorithm === "string" ? algorithm : "",
		keyId: typeof keyId === "string" ? keyId : "",
		claims: claims as Readonly<Record<string, unknown>>,
		signed: Buffer.from(`${head}.${payload}`),
		signature: Buffer.from(signature, "base64url"),
	});
}

/** The key decides which algorithms may be used with it, not the token. `unknownKey`: another set of keys may have it. */
export function verifyToken(token: DecodedToken, keys: readonly TokenKey[]): Checked<true> & { readonly unknownKey?: boolean } {
	const algorithm = Object.hasOwn(algorithms, token.algorithm) ? algorithms[token.algorithm] : undefined;
	if (algorithm === undefined) return refused(`signature algorithm ${JSON.stringify(token.algorithm).slice(0, 40)} is not accepted`);
	const candidates = keys.filter(({ id }) => token.keyId === "" || id === token.keyId);
	if (candidates.length === 0) return { ...refused("signed with a key that the issuer does not publish"), unknownKey: true };
	const fits = ({ key }: TokenKey) =>
		key.asymmetricKeyType === algorithm.keyType && (algorithm.curve === undefined || key.asymmetricKeyDetails?.namedCurve === algorithm.curve);
	const isSigned = candidates.filter(fits).some(({ key }) => verify(algorithm.digest, token.signed, { key, dsaEncoding: "ieee-p1363" }, token.signature));
	return isSigned ? accepted(true as const) : refused("the signature does not verify");
}

function fieldOf(value: unknown, name: string): unknown {
	return typeof value === "object" && value !== null && Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined;
}
