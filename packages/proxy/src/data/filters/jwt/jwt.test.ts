import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { describe, test } from "node:test";
import { parseJwks } from "./jwks.ts";
import { parseJwt } from "./jwt.ts";
import { jwtStatus } from "./jwt-status.ts";

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const secret = Buffer.from("0123456789abcdef0123456789abcdef");
const base64 = (value: unknown) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const jwk = (key: KeyObject, more: object) => ({ ...key.export({ format: "jwk" }), ...more });
const keySet = (...keys: readonly object[]) => JSON.stringify({ keys });

function token(alg: string, signer: (data: Buffer) => Buffer, header: object = {}): string {
	const data = `${base64({ alg, ...header })}.${base64({ iss: "i" })}`;
	return `${data}.${signer(Buffer.from(data)).toString("base64url")}`;
}

const byRsa = (data: Buffer) => sign("sha256", data, rsa.privateKey);
const byEc = (data: Buffer) => sign("sha256", data, { key: ec.privateKey, dsaEncoding: "ieee-p1363" });
const byHmac = (key: Buffer | string) => (data: Buffer) => createHmac("sha256", key).update(data).digest();

describe("a token is good only by a key that takes its algorithm", () => {
	const rsaKey = jwk(rsa.publicKey, { kid: "r" });
	const publicPem = rsa.publicKey.export({ type: "spki", format: "pem" });
	const rows: readonly (readonly [what: string, keys: string, token: string, failure: string | undefined])[] = [
		["RSA", keySet(rsaKey), token("RS256", byRsa), undefined],
		["elliptic curve", keySet(jwk(ec.publicKey, {})), token("ES256", byEc), undefined],
		["HMAC", keySet({ kty: "oct", k: secret.toString("base64url") }), token("HS256", byHmac(secret)), undefined],
		["the second of two keys", keySet(jwk(generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey, {}), rsaKey), token("RS256", byRsa), undefined],
		["HMAC under the text of a public key", keySet(rsaKey), token("HS256", byHmac(publicPem)), jwtStatus.verificationFails],
		["another signature", keySet(rsaKey), token("RS256", (data) => sign("sha256", Buffer.concat([data, data]), rsa.privateKey)), jwtStatus.verificationFails],
		["a key for another algorithm", keySet(jwk(rsa.publicKey, { alg: "RS512" })), token("RS256", byRsa), jwtStatus.jwksMismatch],
		["the name of another key", keySet(rsaKey), token("RS256", byRsa, { kid: "other" }), jwtStatus.jwksMismatch],
		["an algorithm of another kind of key", keySet(rsaKey), token("ES256", byEc), jwtStatus.verificationFails],
	];
	for (const [what, keys, text, failure] of rows) {
		test(what, () => {
			const jwks = parseJwks(keys);
			const jwt = parseJwt(text);
			assert.ok(typeof jwks !== "string" && typeof jwt !== "string");
			assert.equal(jwks.verify(jwt), failure);
		});
	}
});

test("what is no key set says why", () => {
	const reasons = ["{", "[]", "{}", '{"keys": 1}', '{"keys": []}', keySet({ kty: "RSA", n: "!", e: "!" }), keySet({ kty: "oct", k: "A", alg: "none" })].map(
		(json) => parseJwks(json),
	);
	const { jwksParse, jwksNoKeys, jwksBadKeys, jwksNoValidKeys } = jwtStatus;
	assert.deepEqual(reasons, [jwksParse, jwksNoKeys, jwksNoKeys, jwksBadKeys, jwksNoValidKeys, jwksNoValidKeys, jwksNoValidKeys]);
});

test("what is no token says why", () => {
	const rows: readonly (readonly [string, string])[] = [
		["a.b", jwtStatus.badFormat],
		["a..c", jwtStatus.badFormat],
		["a.b.c.d", jwtStatus.badFormat],
		["=.b.c", jwtStatus.headerBase64],
		[`${base64("x")}.b.c`, jwtStatus.headerJson],
		[`${base64({ alg: "none" })}.${base64({})}.c2ln`, jwtStatus.headerAlgUnknown],
		[`${base64({ alg: "RS256", kid: 1 })}.${base64({})}.c2ln`, jwtStatus.headerKid],
		[`${base64({ alg: "RS256" })}.${base64("[]")}.c2ln`, jwtStatus.payloadJson],
		[`${base64({ alg: "RS256" })}.${base64({ exp: "1" })}.c2ln`, "Jwt payload [exp] field is not an integer"],
		[`${base64({ alg: "RS256" })}.${base64({ aud: [1] })}.c2ln`, "Jwt payload [aud] field is not a string or string list"],
		[`${base64({ alg: "RS256" })}.${base64({})}.=`, jwtStatus.signatureBase64],
	];
	assert.deepEqual(
		rows.map(([text]) => parseJwt(text)),
		rows.map(([, failure]) => failure),
	);
});
