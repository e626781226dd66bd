import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { describe, test } from "node:test";
import type { Clock } from "@weft/runtime";
import { createJwtAuthenticator, decodeJwtRule, type JwtRule } from "./jwt-authenticator.ts";

const nowMs = Date.UTC(2027, 0, 1);
const issuer = "https://issuer.example";
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
const other = generateKeyPairSync("rsa", { modulusLength: 2048 });
const jwk = (key: KeyObject, kid: string) => ({ ...key.export({ format: "jwk" }), kid, use: "sig" });
const keySet = JSON.stringify({ keys: [jwk(rsa.publicKey, "r"), jwk(ec.publicKey, "e"), { kty: "oct", k: "AAAA", kid: "s" }] });
const good = { iss: issuer, aud: ["istio-ca"], sub: "system:serviceaccount:default:web", exp: nowMs / 1000 + 600 };
const part = (value: unknown) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

function token(claims: unknown = good, header: object = { alg: "RS256", kid: "r" }, key: KeyObject = rsa.privateKey): string {
	const body = `${part(header)}.${part(claims)}`;
	return `${body}.${sign("sha256", Buffer.from(body), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

function createCase(rule: Partial<JwtRule> = {}) {
	const state = { monotonicMs: 0, text: keySet, isAway: false, fetched: [] as string[] };
	const clock: Clock = { nowMs: () => nowMs, monotonicMs: () => state.monotonicMs, sleep: async () => undefined };
	const authenticator = createJwtAuthenticator({
		rule: { issuer, audiences: ["istio-ca"], jwksUri: `${issuer}/keys`, jwks: undefined, ...rule },
		fetchText: async (url) => {
			state.fetched.push(url);
			if (state.isAway) throw new Error("no answer");
			return url.endsWith("openid-configuration") ? JSON.stringify({ issuer, jwks_uri: `${issuer}/found` }) : state.text;
		},
		clock,
		trustDomain: "cluster.local",
	});
	const ask = async (bearerToken: string | undefined) => {
		const outcome = await authenticator.authenticate({ verifiedCertificate: undefined, bearerToken, remoteAddress: "" });
		if (outcome.ok) return `${outcome.value.identity.namespace}/${outcome.value.identity.serviceAccount}`;
		return "isUnavailable" in outcome ? `unavailable: ${outcome.reason}` : outcome.reason;
	};
	return { state, ask };
}

test("a token of the issuer gives the service account in its subject", async () => {
	const { ask } = createCase();
	assert.equal(await ask(token()), "default/web");
	assert.equal(await ask(token(good, { alg: "ES256", kid: "e" }, ec.privateKey)), "default/web");
	assert.equal(await ask(token(good, { alg: "RS256" })), "default/web", "without a key id every key is tried");
});

describe("sec/d31: no token of these is believed", () => {
	const hmac = () => {
		const body = `${part({ alg: "HS256", kid: "r" })}.${part(good)}`;
		return `${body}.${createHmac("sha256", rsa.publicKey.export({ type: "spki", format: "pem" }))
			.update(body)
			.digest("base64url")}`;
	};
	const cases: Record<string, [() => string | undefined, RegExp]> = {
		none: [() => undefined, /no bearer token/],
		"no JWT": [() => "hello", /no JSON Web Token/],
		"four parts": [() => `${token()}.x`, /no JSON Web Token/],
		"claims that are a list": [() => token([good]), /no object/],
		"claims that are no JSON": [() => token("{"), /not JSON/],
		"another issuer": [() => token({ ...good, iss: "https://evil.example" }), /another issuer/],
		"another audience": [() => token({ ...good, aud: "kubernetes.default" }), /another audience/],
		"no audience": [() => token({ ...good, aud: undefined }), /another audience/],
		"no expiry": [() => token({ ...good, exp: undefined }), /no expiry/],
		"an expiry that is a text": [() => token({ ...good, exp: String(good.exp) }), /no expiry/],
		expired: [() => token({ ...good, exp: nowMs / 1000 - 61 }), /expired/],
		"not valid yet": [() => token({ ...good, nbf: nowMs / 1000 + 61 }), /not valid yet/],
		"a subject that is no service account": [() => token({ ...good, sub: "alice" }), /subject/],
		"a subject with one part more": [() => token({ ...good, sub: "system:serviceaccount:a:b:c" }), /subject/],
		"a namespace that is none": [() => token({ ...good, sub: "system:serviceaccount:a/sa/x:b" }), /namespace/],
		"alg none": [() => `${part({ alg: "none" })}.${part(good)}.AA`, /"none" is not accepted/],
		"HMAC under the public key": [hmac, /"HS256" is not accepted/],
		"an algorithm of another key type": [() => token(good, { alg: "ES256", kid: "r" }), /does not verify/],
		"another's key under the right id": [() => token(good, { alg: "RS256", kid: "r" }, other.privateKey), /does not verify/],
		"a key id that is a path": [() => token(good, { alg: "RS256", kid: "../../dev/null" }), /does not publish/],
		"a prototype's name as algorithm": [() => token(good, { alg: "constructor", kid: "r" }), /not accepted/],
		"a critical header": [() => token(good, { alg: "RS256", kid: "r", crit: ["exp"] }), /critical/],
		"one octet changed": [() => token().replace(/\.[^.]+$/, (s) => `.${s[1] === "A" ? "B" : "A"}${s.slice(2)}`), /does not verify/],
		"seventeen thousand characters": [() => "a".repeat(17_000), /too long/],
	};
	for (const [what, [make, reason]] of Object.entries(cases)) test(what, async () => assert.match(await createCase().ask(make()), reason));
});

test("keys are asked for once, again after twenty minutes, and for an unknown key at most every ten seconds", async () => {
	const { state, ask } = createCase();
	const fresh = token(good, { alg: "RS256", kid: "new" }, other.privateKey);
	await Promise.all([ask(token()), ask(token()), ask(token())]);
	assert.equal(state.fetched.length, 1);
	for (let i = 0; i < 50; i++) assert.match(await ask(fresh), /does not publish/);
	assert.equal(state.fetched.length, 1);
	state.text = JSON.stringify({ keys: [jwk(other.publicKey, "new")] });
	state.monotonicMs += 10_000;
	assert.equal(await ask(fresh), "default/web");
	assert.equal(state.fetched.length, 2);
	state.monotonicMs += 20 * 60_000;
	await ask(fresh);
	assert.equal(state.fetched.length, 3);
});

test("an issuer that is away: nobody is believed before its keys are known, the known ones stay, and it is not drummed on", async () => {
	const { state, ask } = createCase();
	state.isAway = true;
	for (let i = 0; i < 20; i++) assert.match(await ask(token()), /^unavailable/);
	assert.equal(state.fetched.length, 1);
	state.monotonicMs += 1_000;
	state.isAway = false;
	assert.equal(await ask(token()), "default/web");
	state.isAway = true;
	state.monotonicMs += 21 * 60_000;
	assert.equal(await ask(token()), "default/web");
	for (const text of ["<html>", "{}", '{"keys":[]}']) {
		state.text = text;
		state.isAway = false;
		state.monotonicMs += 21 * 60_000;
		assert.equal(await ask(token()), "default/web", `what is no key set leaves the last good one: ${text}`);
	}
});

test("without jwksUri the issuer's discovery document names it", async () => {
	const { state, ask } = createCase({ jwksUri: undefined });
	assert.equal(await ask(token()), "default/web");
	assert.deepEqual(state.fetched, [`${issuer}/.well-known/openid-configuration`, `${issuer}/found`]);
});

test("JWT_RULE is read, and what is wrong with it is said", () => {
	assert.deepEqual(decodeJwtRule(JSON.stringify({ issuer, jwks_uri: "https://x/k" }), "istio-ca"), {
		ok: true,
		value: { issuer, audiences: ["istio-ca"], jwksUri: "https://x/k", jwks: undefined },
	});
	for (const [text, reason] of [
		["{", /not JSON/],
		["{}", /issuer is missing/],
		[JSON.stringify({ issuer, audiences: "x" }), /audiences/],
		[JSON.stringify({ issuer, fromHeaders: [] }), /fromHeaders is not implemented/],
		[JSON.stringify({ issuer, jwks: "x" }), /jwks: the key set is not JSON/],
	] as const) {
		const rule = decodeJwtRule(text, "istio-ca");
		assert.ok(!rule.ok);
		assert.match(rule.reason, reason);
	}
});
