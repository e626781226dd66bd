import { generateKeyPairSync, sign } from "node:crypto";
import { type Claims, policyNamespace } from "./cases.ts";

const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
const jwks = JSON.stringify({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "k", alg: "ES256" }] });
const encode = (value: object | Buffer) => (Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value))).toString("base64url");

/** A token that is valid in everything: whether it is enough is the policies' question. */
export function tokenOf(claims: Claims): string {
	const text = `${encode({ alg: "ES256", kid: "k", typ: "JWT" })}.${encode({ ...claims, exp: 4_102_444_800 })}`;
	return `${text}.${encode(sign("sha256", Buffer.from(text), { key: privateKey, dsaEncoding: "ieee-p1363" }))}`;
}

export const requestAuthentication = (issuers: readonly string[]): object => ({
	apiVersion: "security.istio.io/v1",
	kind: "RequestAuthentication",
	metadata: { name: "tokens", namespace: policyNamespace },
	spec: { jwtRules: issuers.map((issuer) => ({ issuer, jwks })) },
});
