import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { describe, test } from "node:test";
import { createLogger, systemClock } from "@weft/runtime";
import { type Authenticator, authenticate, type Caller, createClientCertificateAuthenticator } from "./authenticator.ts";
import { createMemoryKeyStore } from "./key-store.ts";
import { type CertificateAuthority, createCertificateAuthority, issueKeyedLeaf } from "./certificate-authority.ts";

const nobody: Caller = { verifiedCertificate: undefined, bearerToken: undefined, remoteAddress: "test" };
const identity = { trustDomain: "cluster.local", namespace: "default", serviceAccount: "web" };

function createAuthority(): Promise<CertificateAuthority> {
	return createCertificateAuthority({
		store: createMemoryKeyStore(),
		clock: systemClock,
		logger: createLogger({ level: "none" }),
		rootKeyAlgorithm: "ecdsa-p256",
	});
}

async function certificateOf(authority: CertificateAuthority): Promise<X509Certificate> {
	const leaf = await issueKeyedLeaf(authority, { identity, ttlMs: 60_000 });
	assert.ok(leaf.ok);
	return new X509Certificate(leaf.value.chainPem[0] ?? "");
}

describe("the client certificate authenticator", () => {
	const ask = (verifiedCertificate: X509Certificate | undefined, trustDomain = "cluster.local", nowMs = Date.now()) =>
		createClientCertificateAuthenticator({ clock: { ...systemClock, nowMs: () => nowMs }, trustDomain }).authenticate({
			...nobody,
			verifiedCertificate,
		});

	test("reads the identity of a verified certificate", async () => {
		assert.deepEqual(await ask(await certificateOf(await createAuthority())), { ok: true, value: { identity } });
	});

	test("refuses none, another trust domain's, an expired one and an authority's", async () => {
		const authority = await createAuthority();
		const certificate = await certificateOf(authority);
		const reason = async (asked: ReturnType<typeof ask>) => {
			const outcome = await asked;
			return outcome.ok ? "ok" : outcome.reason;
		};
		assert.match(await reason(ask(undefined)), /no verified client certificate/);
		assert.match(await reason(ask(certificate, "other.domain")), /trust domain cluster\.local is not other\.domain/);
		assert.match(await reason(ask(certificate, "cluster.local", Date.now() + 61_000)), /has expired/);
		assert.match(await reason(ask(new X509Certificate(authority.trustBundlePem))), /no workload identity/);
	});
});

describe("authenticate", () => {
	const refuses = (name: string): Authenticator => ({ name, authenticate: async () => ({ ok: false, reason: `not by ${name}` }) });
	const accepts = (name: string): Authenticator => ({ name, authenticate: async () => ({ ok: true, value: { identity, pod: name } }) });

	test("the first that accepts decides", async () => {
		const outcome = await authenticate([refuses("a"), accepts("b"), accepts("c")], nobody);
		assert.deepEqual(outcome, { ok: true, value: { identity, pod: "b", authenticator: "b" } });
	});

	test("when none accepts, every reason is told in order", async () => {
		assert.deepEqual(await authenticate([refuses("a"), refuses("b")], nobody), { ok: false, reason: "a: not by a; b: not by b" });
		assert.deepEqual(await authenticate([], nobody), { ok: false, reason: "no authenticator is configured" });
	});
});
