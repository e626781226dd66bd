import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { before, describe, test } from "node:test";
import { type Signer, signCertificate } from "./certificate.ts";
import { readCertificate, spiffeIdOfCertificate } from "./certificate-fields.ts";
import { childrenOf, contextOf, decodeDer, der, encodeDer, tags } from "./der.ts";
import { buildTestTemplate, createTestAuthority } from "./test-authority.ts";
import { decodeTrustBundle } from "./trust-bundle.ts";

let signer: Signer;
before(async () => {
	signer = await createTestAuthority("cluster.local");
});

const certificateWith = async (uris: readonly string[], dnsNames: readonly string[] = []) => {
	const { template } = await buildTestTemplate({ subjectAltNames: { uris, dnsNames, ipAddresses: [] } });
	return new X509Certificate(signCertificate(template, signer));
};
const good = "spiffe://cluster.local/ns/default/sa/web";

describe("spiffeIdOfCertificate", () => {
	test("reads the one URI SAN, whatever stands beside it", async () => {
		const id = spiffeIdOfCertificate(await certificateWith([good], ["localhost"]));
		assert.deepEqual(id, { ok: true, value: { trustDomain: "cluster.local", namespace: "default", serviceAccount: "web" } });
	});

	const refused: Record<string, readonly string[]> = {
		"no URI SAN": [],
		"two URI SANs": [good, "spiffe://cluster.local/ns/default/sa/other"],
		"the same URI SAN twice": [good, good],
		"a NUL in it": [`${good}\u0000`],
		"a NUL and more in it": [`${good}\u0000.evil`],
		"text that a printer would split": [`${good}, URI:spiffe://cluster.local/ns/default/sa/x`],
		"another scheme": ["https://cluster.local/ns/default/sa/web"],
	};
	for (const [name, uris] of Object.entries(refused)) {
		test(`refuses ${name}`, async () => assert.equal(spiffeIdOfCertificate(await certificateWith(uris)).ok, false));
	}

	test("a DNS name that spells a URI is none", async () => {
		assert.equal(spiffeIdOfCertificate(await certificateWith([], [good])).ok, false);
	});

	test("an authority has no workload identity", () => assert.equal(spiffeIdOfCertificate(signer.certificate).ok, false));
});

test("readCertificate reads the octets, not the printed form", async () => {
	const fields = readCertificate(await certificateWith(["a\u0000b", "c, DNS:d"], ["e"]));
	assert.ok(fields.ok);
	assert.deepEqual([fields.value.uris, fields.value.dnsNames, fields.value.otherNames], [["a\u0000b", "c, DNS:d"], ["e"], 0]);
});

test("readCertificate refuses an extension that stands twice", async () => {
	const certificate = await certificateWith([good]);
	const root = decodeDer(certificate.raw);
	assert.ok(root.ok);
	const [tbs, ...rest] = childrenOf(root.value, tags.sequence) ?? [];
	const fields = childrenOf(tbs, tags.sequence) ?? [];
	const last = fields.at(-1);
	assert.ok(last);
	const extensions = childrenOf(contextOf(last)?.items?.[0], tags.sequence) ?? [];
	const doubled = der.context(3, der.sequence(...extensions, ...extensions.slice(-1)));
	const forged = encodeDer(der.sequence(der.sequence(...fields.slice(0, -1), doubled), ...rest));
	const read = readCertificate(new X509Certificate(forged));
	assert.match(read.ok ? "" : read.reason, /stands twice/);
});

describe("decodeTrustBundle", () => {
	test("reads several roots and drops repeats", async () => {
		const other = await createTestAuthority("other");
		const pem = signer.certificate.toString();
		const bundle = decodeTrustBundle(pem + other.certificate.toString() + pem);
		assert.ok(bundle.ok);
		assert.equal(bundle.value.roots.length, 2);
		assert.equal(bundle.value.pem, pem + other.certificate.toString());
	});

	test("refuses an empty bundle and one with a leaf in it", async () => {
		assert.equal(decodeTrustBundle("").ok, false);
		assert.equal(decodeTrustBundle(signer.certificate.toString() + (await certificateWith([good])).toString()).ok, false);
	});
});
