import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as fc from "fast-check";
import { decodeChain } from "./chain.ts";
import { decodeCsr } from "./csr.ts";
import { decodeDer, encodeDer } from "./der.ts";
import { decodePublicKey } from "./keys.ts";
import { encodePem, splitPem } from "./pem.ts";
import { decodeSpiffeId, formatSpiffeId } from "./spiffe-id.ts";
import { decodeTrustBundle } from "./trust-bundle.ts";

const seeded = { seed: 42, numRuns: 400 };
const [request] = splitPem(readFileSync(new URL("../testdata/hostile-extensions.pem", import.meta.url), "utf8"));
assert.ok(request);
const sample: Buffer = request.der;

/** The sample with a few octets replaced, removed or put in. */
const mutated = fc
	.array(fc.tuple(fc.nat(sample.length - 1), fc.nat(2), fc.uint8Array({ minLength: 1, maxLength: 8 })), { minLength: 1, maxLength: 6 })
	.map((edits) => {
		let bytes: Buffer = Buffer.from(sample);
		for (const [at, removed, inserted] of edits) bytes = Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at + removed)]);
		return bytes;
	});

test("no octets make a reader throw, and none but the request itself verify", () => {
	fc.assert(
		fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), mutated), (octets) => {
			const bytes = Buffer.from(octets);
			decodePublicKey(bytes);
			decodeChain(encodePem("CERTIFICATE", bytes));
			decodeTrustBundle(encodePem("CERTIFICATE", bytes));
			if (!bytes.equals(sample)) assert.equal(decodeCsr(encodePem("CERTIFICATE REQUEST", bytes)).ok, false);
		}),
		seeded,
	);
});

test("what is read as DER is written back octet for octet", () => {
	fc.assert(
		fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), mutated), (octets) => {
			const read = decodeDer(octets);
			if (read.ok) assert.ok(encodeDer(read.value).equals(octets));
		}),
		seeded,
	);
	assert.ok(decodeDer(sample).ok);
});

test("no text makes a reader throw, and PEM comes back as it was", () => {
	fc.assert(
		fc.property(fc.string({ maxLength: 200 }), fc.uint8Array({ maxLength: 200 }), (text, octets) => {
			decodeCsr(text);
			decodeChain(text);
			const id = decodeSpiffeId(text);
			if (id.ok) assert.equal(formatSpiffeId(id.value), text);
			assert.deepEqual(splitPem(encodePem("X", octets)), [{ label: "X", der: Buffer.from(octets) }]);
		}),
		seeded,
	);
});
