import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { buildCsr, csrBytesMax, decodeCsr } from "./csr.ts";
import { der, encodeDer } from "./der.ts";
import { encodePublicKey, generateKeys, keyAlgorithms } from "./keys.ts";
import { encodePem, splitPem } from "./pem.ts";
import { signatureAlgorithmOf, signDer } from "./signature.ts";

const fixture = (name: string): string => readFileSync(new URL(`../testdata/${name}.pem`, import.meta.url), "utf8");

describe("decodeCsr", () => {
	for (const name of ["rsa-2048", "rsa-4096-sha512", "ec-p384", "hostile-extensions"]) {
		test(`accepts the key of OpenSSL's ${name}`, () => {
			const csr = decodeCsr(fixture(name));
			assert.ok(csr.ok, JSON.stringify(csr));
			assert.deepEqual(csr.value.publicKeyDer, encodePublicKey(csr.value.publicKey));
		});
	}

	for (const algorithm of keyAlgorithms) {
		test(`accepts what buildCsr makes with ${algorithm}`, async () => {
			const keys = await generateKeys(algorithm);
			for (const uris of [[], ["spiffe://cluster.local/ns/a/sa/b"]]) {
				const csr = decodeCsr(buildCsr({ keys, uris }));
				assert.ok(csr.ok, JSON.stringify(csr));
				assert.deepEqual(csr.value.publicKeyDer, encodePublicKey(keys.publicKey));
			}
		});
	}

	const refusals: Record<string, RegExp> = {
		"rsa-1024": /RSA key of 1024 bits/,
		"rsa-e3": /public exponent/,
		"rsa-sha1": /algorithm 1\.2\.840\.113549\.1\.1\.5 is not accepted/,
		"rsa-pss": /type rsa-pss/,
		ed25519: /type ed25519/,
		"ec-secp256k1": /curve secp256k1/,
		"ec-explicit": /explicit parameters/,
		"bad-signature": /does not verify/,
	};
	for (const [name, reason] of Object.entries(refusals)) {
		test(`refuses ${name}`, () => {
			const csr = decodeCsr(fixture(name));
			assert.ok(!csr.ok);
			assert.match(csr.reason, reason);
		});
	}

	const good = fixture("ec-p384");
	const [block] = splitPem(good);
	assert.ok(block);
	const pem = (bytes: Uint8Array) => encodePem("CERTIFICATE REQUEST", bytes);
	const deep = Buffer.concat(Array.from({ length: 4000 }, () => Buffer.from([0x30, 0x80])));
	const texts: Record<string, [string, RegExp]> = {
		"an empty text": ["", /not one PEM block/],
		"two requests": [good + good, /not one PEM block/],
		"a certificate's label": [encodePem("CERTIFICATE", block.der), /not one PEM block/],
		"a text above 64 KiB": [good + "x".repeat(csrBytesMax), /at most 65536/],
		"a truncated request": [pem(block.der.subarray(0, -1)), /not DER/],
		"bytes after the request": [pem(Buffer.concat([block.der, Buffer.of(0)])), /not DER/],
		"sixty thousand blanks and no end": [`-----BEGIN CERTIFICATE REQUEST-----${" ".repeat(60_000)}`, /not one PEM block/],
		"six thousand beginnings": ["-----BEGIN ".repeat(5_900), /not one PEM block/],
		"four thousand levels of nesting": [pem(deep), /depth/i],
		"BER's long form of a short length": [pem(Buffer.of(0x30, 0x81, 0x02, 0x05, 0x00)), /not canonical/],
		"another structure": [pem(encodeDer(der.sequence(der.null()))), /not a PKCS#10/],
		"no structure": [pem(Buffer.of(0x05, 0x00)), /not a PKCS#10/],
	};
	for (const [name, [text, reason]] of Object.entries(texts)) {
		test(`refuses ${name}`, () => {
			const csr = decodeCsr(text);
			assert.ok(!csr.ok);
			assert.match(csr.reason, reason);
		});
	}

	test("refuses every single flipped bit of a request", () => {
		for (let i = 0; i < block.der.length; i++) {
			const bytes: Buffer = Buffer.from(block.der);
			bytes[i] = (bytes[i] ?? 0) ^ (1 << (i % 8));
			assert.equal(decodeCsr(pem(bytes)).ok, false, `octet ${i}`);
		}
	});

	test("refuses a request signed by another key than the one in it", async () => {
		const [mine, theirs] = [await generateKeys(), await generateKeys()];
		assert.equal(decodeCsr(buildCsr({ keys: { publicKey: theirs.publicKey, privateKey: mine.privateKey }, uris: [] })).ok, false);
	});

	test("refuses a signature algorithm of another key type", async () => {
		const [ec, rsa] = [await generateKeys(), await generateKeys("rsa-2048")];
		const [csr] = splitPem(buildCsr({ keys: ec, uris: [] }));
		assert.ok(csr);
		const info = der.sequence(der.integer(Uint8Array.of(0)), der.sequence());
		const mixed = der.sequence(info, signatureAlgorithmOf(rsa.privateKey), der.bitString(signDer(encodeDer(info), ec.privateKey)));
		assert.equal(decodeCsr(pem(encodeDer(mixed))).ok, false);
	});
});
