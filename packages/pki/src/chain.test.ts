import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { before, describe, test } from "node:test";
import { type Signer, signCertificate, signSelf } from "./certificate.ts";
import { decodeChain, verifyChain } from "./chain.ts";
import { buildTestTemplate, createTestAuthority, testNowMs as nowMs } from "./test-authority.ts";

let root: Signer;
let otherRoot: Signer;
let intermediate: Signer;
let leaf: X509Certificate;
let deepLeaf: X509Certificate;
let leafSigner: Signer;

before(async () => {
	root = await createTestAuthority("root");
	otherRoot = await createTestAuthority("root");
	intermediate = await createTestAuthority("intermediate", root);
	const { template, keys } = await buildTestTemplate();
	leaf = new X509Certificate(signCertificate(template, root));
	deepLeaf = new X509Certificate(signCertificate(template, intermediate));
	leafSigner = { certificate: leaf, privateKey: keys.privateKey };
});

const reasonOf = (chain: readonly X509Certificate[], roots: readonly Signer[], atMs = nowMs): string => {
	const verdict = verifyChain({ chain, roots: roots.map((r) => r.certificate), nowMs: atMs });
	return verdict.ok ? "ok" : verdict.reason;
};

describe("verifyChain", () => {
	test("accepts a leaf of a root, with and without the root behind it", () => {
		assert.equal(reasonOf([leaf], [root]), "ok");
		assert.equal(reasonOf([leaf, root.certificate], [root]), "ok");
		assert.equal(reasonOf([leaf], [otherRoot, root]), "ok");
	});

	test("accepts a leaf over an intermediate, with and without the root behind", () => {
		assert.equal(reasonOf([deepLeaf, intermediate.certificate], [root]), "ok");
		assert.equal(reasonOf([deepLeaf, intermediate.certificate, root.certificate], [root]), "ok");
	});

	test("refuses an unknown root, even one of the same name", () => {
		assert.match(reasonOf([leaf], [otherRoot]), /not issued by any trusted root/);
		assert.match(reasonOf([leaf, root.certificate], [otherRoot]), /not issued by any trusted root/);
	});

	test("refuses a missing or foreign intermediate", () => {
		assert.match(reasonOf([deepLeaf], [root]), /not issued by any trusted root/);
		assert.match(reasonOf([deepLeaf, otherRoot.certificate], [root]), /did not issue it/);
	});

	test("refuses a leaf in an authority's place", async () => {
		const { template } = await buildTestTemplate();
		const forged = new X509Certificate(signCertificate(template, leafSigner));
		assert.match(reasonOf([forged, leaf], [root]), /did not issue it/);
	});

	test("refuses an authority in the leaf's place, and nothing at all", () => {
		assert.match(reasonOf([intermediate.certificate], [root]), /leaf is an authority/);
		assert.match(reasonOf([], [root]), /empty/);
	});

	test("refuses before and after the validity of each", () => {
		assert.match(reasonOf([leaf], [root], nowMs - 130_000), /not valid before/);
		assert.match(reasonOf([leaf], [root], nowMs + 3_600_001), /has expired/);
	});

	test("refuses under an expired root", async () => {
		const { template } = await buildTestTemplate();
		const expired = await createTestAuthority("expired", undefined, { notBeforeMs: nowMs - 2_000_000, notAfterMs: nowMs - 1_000 });
		const orphan = new X509Certificate(signCertificate(template, expired));
		assert.match(reasonOf([orphan], [expired]), /root has expired/);
	});

	test("refuses a self-signed leaf", async () => {
		const { template, keys } = await buildTestTemplate();
		assert.match(reasonOf([new X509Certificate(signSelf(template, keys.privateKey))], [root]), /not issued by any trusted root/);
	});
});

describe("verifyChain on what OpenSSL issued", () => {
	const verdict = (name: string): string => {
		const chain = decodeChain(readFileSync(new URL(`../testdata/${name}.pem`, import.meta.url), "utf8"));
		assert.ok(chain.ok);
		const anchor = chain.value.at(-1);
		assert.ok(anchor);
		const outcome = verifyChain({ chain: chain.value, roots: [anchor], nowMs });
		return outcome.ok ? "ok" : outcome.reason;
	};
	test("accepts a path length that is kept", () => assert.equal(verdict("chain-path-length-kept"), "ok"));
	for (const name of ["chain-path-length-exceeded", "chain-without-key-cert-sign", "chain-without-basic-constraints"]) {
		test(`refuses ${name}`, () => assert.match(verdict(name), /did not issue it|not issued by any/));
	}
});

describe("decodeChain", () => {
	test("reads certificates in order and passes over text between them", () => {
		const chain = decodeChain(`# comment\n${leaf.toString()}\nroot:\n${root.certificate.toString()}`);
		assert.ok(chain.ok);
		assert.deepEqual(
			chain.value.map((c) => c.fingerprint256),
			[leaf.fingerprint256, root.certificate.fingerprint256],
		);
	});

	test("refuses no certificate, too many, and unreadable ones", () => {
		assert.equal(decodeChain("").ok, false);
		assert.equal(decodeChain(leaf.toString().repeat(11)).ok, false);
		assert.equal(decodeChain("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").ok, false);
	});
});
