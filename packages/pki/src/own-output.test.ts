import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { type Signer, signCertificate, signSelf } from "./certificate.ts";
import { keyAlgorithms } from "./keys.ts";
import { verifyOwnOutput } from "./own-output.ts";
import { buildLeafTemplate, type CertificateTemplate, leafTtlMsMax } from "./template.ts";
import { buildTestTemplate, createTestAuthority, testNowMs as nowMs } from "./test-authority.ts";

let signer: Signer;
before(async () => {
	signer = await createTestAuthority("cluster.local");
});

describe("verifyOwnOutput", () => {
	const names = {
		uris: ["spiffe://cluster.local/ns/a/sa/b"],
		dnsNames: ["localhost", "a.b.svc"],
		ipAddresses: ["127.0.0.1", "::1", "fd00::a:1", "::ffff:1.2.3.4"],
	};
	for (const algorithm of keyAlgorithms) {
		test(`accepts what signCertificate makes of a template for ${algorithm}, with every kind of SAN`, async () => {
			const { template } = await buildTestTemplate({ subjectAltNames: names }, algorithm);
			const verdict = verifyOwnOutput(signCertificate(template, signer), template, signer);
			assert.ok(verdict.ok, JSON.stringify(verdict));
		});
	}

	test("accepts serial numbers with a leading one bit and with leading zeros, and dates past 2049", async () => {
		const far = Date.UTC(2055, 0, 1);
		const longSigner = await createTestAuthority("cluster.local", undefined, { notAfterMs: Date.UTC(2060, 0, 1) });
		for (const serialNumber of [Uint8Array.of(0xff, 1), Uint8Array.of(0, 0, 1), Uint8Array.of(0x80)]) {
			const { template } = await buildTestTemplate({ serialNumber, notAfterMs: far });
			assert.ok(verifyOwnOutput(signCertificate(template, longSigner), template, longSigner).ok);
		}
	});

	const sans = (uri: string) => ({ uris: [uri], dnsNames: [], ipAddresses: [] });
	const differences: Record<string, [Partial<CertificateTemplate>, RegExp]> = {
		"another identity": [{ subjectAltNames: sans("spiffe://cluster.local/ns/a/sa/x") }, /URI SANs differ/],
		"a further DNS name": [{ subjectAltNames: { ...names, dnsNames: [] } }, /URI SANs differ/],
		"another serial number": [{ serialNumber: Uint8Array.of(9) }, /serial number differs/],
		"a longer life": [{ notAfterMs: nowMs + 3_601_000 }, /end differs/],
		"an earlier start": [{ notBeforeMs: nowMs - 121_000 }, /start differs/],
		"an authority": [{ kind: "authority", organization: "x" }, /authority/],
		"a subject": [{ organization: "x" }, /subject is not empty/],
	};
	for (const [name, [change, reason]] of Object.entries(differences)) {
		test(`refuses a certificate with ${name} where the template has none`, async () => {
			const { template } = await buildTestTemplate();
			const verdict = verifyOwnOutput(signCertificate({ ...template, ...change }, signer), template, signer);
			assert.ok(!verdict.ok);
			assert.match(verdict.reason, reason);
		});
	}

	test("refuses another's key, another signer, a self-signature and a certificate that outlives its signer", async () => {
		const { template, keys } = await buildTestTemplate();
		const reason = (pem: string, wanted = template) => {
			const verdict = verifyOwnOutput(pem, wanted, signer);
			return verdict.ok ? "ok" : verdict.reason;
		};
		const { template: foreign } = await buildTestTemplate();
		assert.match(reason(signCertificate(foreign, signer)), /public key differs/);
		assert.match(reason(signCertificate(template, await createTestAuthority("cluster.local"))), /not issued|signature does not verify/);
		assert.match(reason(signCertificate(template, await createTestAuthority("other"))), /not issued by the signer/);
		assert.match(reason(signSelf(template, keys.privateKey)), /not issued by the signer/);
		const long = { ...template, notAfterMs: nowMs + 2 * 86_400_000 };
		assert.match(reason(signCertificate(long, signer), long), /outlives its signer/);
		assert.match(reason("nonsense"), /unreadable/);
	});
});

describe("buildLeafTemplate", () => {
	const build = (ttlMs: number, signerNotAfterMs = nowMs + 100 * 86_400_000, ttlMsMax?: number) =>
		buildLeafTemplate({
			subjectAltNames: sansOf("spiffe://cluster.local/ns/a/sa/b"),
			publicKeyDer: new Uint8Array(),
			serialNumber: Uint8Array.of(1),
			nowMs: nowMs + 999,
			ttlMs,
			signerNotAfterMs,
			...(ttlMsMax === undefined ? {} : { ttlMsMax }),
		});
	const sansOf = (uri: string) => ({ uris: [uri], dnsNames: [], ipAddresses: [] });
	const life = (ttlMs: number, signerNotAfterMs?: number, ttlMsMax?: number): number | string => {
		const template = build(ttlMs, signerNotAfterMs, ttlMsMax);
		return template.ok ? template.value.notAfterMs - nowMs : template.reason;
	};

	test("grants the default for 0 and less, and what is asked up to the maximum", () => {
		assert.equal(life(0), 86_400_000);
		assert.equal(life(-1), 86_400_000);
		assert.equal(life(60_000), 60_000);
		assert.equal(life(leafTtlMsMax), leafTtlMsMax);
	});

	test("refuses more than the maximum and what is no number", () => {
		assert.match(String(life(leafTtlMsMax + 1)), /at most 7776000 s/);
		assert.match(String(life(Number.POSITIVE_INFINITY)), /at most/);
	});

	test("the default is never above the maximum", () => assert.equal(life(0, undefined, 60_000), 60_000));

	test("no leaf outlives its signer, and an expired signer signs nothing", () => {
		assert.equal(life(60_000, nowMs + 30_000), 30_000);
		assert.match(String(life(60_000, nowMs)), /expired/);
	});

	test("the start is two minutes back, for clocks that disagree", () => {
		const template = build(0);
		assert.ok(template.ok);
		assert.equal(template.value.notBeforeMs, nowMs - 120_000);
	});
});
