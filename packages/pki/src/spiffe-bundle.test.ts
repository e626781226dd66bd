import assert from "node:assert/strict";
import { createPublicKey } from "node:crypto";
import { before, describe, test } from "node:test";
import { type Signer, signCertificate } from "./certificate.ts";
import { decodeSpiffeBundle } from "./spiffe-bundle.ts";
import { createTestAuthority, buildTestTemplate } from "./test-authority.ts";
import { splitPem } from "./pem.ts";

let one: Signer;
let two: Signer;
let leafPem: string;

before(async () => {
	one = await createTestAuthority("one");
	two = await createTestAuthority("two");
	leafPem = signCertificate((await buildTestTemplate()).template, one);
});

const keyOf = ({ certificate }: Signer, change: object = {}) => ({
	...certificate.publicKey.export({ format: "jwk" }),
	use: "x509-svid",
	x5c: [certificate.raw.toString("base64")],
	...change,
});
const bundleOf = (keys: unknown, change: object = {}) => decodeSpiffeBundle(JSON.stringify({ keys, ...change }));

describe("a SPIFFE bundle", () => {
	test("gives the roots of its keys for x509-svid, each once, and passes over the others", () => {
		const other = [{ ...one.certificate.publicKey.export({ format: "jwk" }), use: "jwt-svid", kid: "a" }, { use: "wit-svid" }, { kty: "EC" }, 7, null];
		const bundle = bundleOf([...other, keyOf(one), keyOf(two), keyOf(one)], { spiffe_sequence: 12, spiffe_refresh_hint: 600 });
		assert.ok(bundle.ok);
		assert.equal(bundle.value.trust.pem, one.certificate.toString() + two.certificate.toString());
		assert.equal(bundle.value.refreshHintMs, 600_000);
	});

	test("a hint that is none is passed over", () => {
		for (const spiffe_refresh_hint of [undefined, 0, -1, 1.5, "600", null, 1e300]) {
			const bundle = bundleOf([keyOf(one)], { spiffe_refresh_hint });
			assert.ok(bundle.ok);
			assert.equal(bundle.value.refreshHintMs, undefined);
		}
	});

	const leafKey = () => {
		const [leaf] = splitPem(leafPem);
		return { ...createPublicKey(leafPem).export({ format: "jwk" }), use: "x509-svid", x5c: [leaf?.der.toString("base64")] };
	};
	const cases: Record<string, readonly [text: () => string, reason: RegExp]> = {
		"no JSON": [() => "<html>", /SPIFFE bundle: /],
		"a list": [() => "[]", /object with the list keys/],
		null: [() => "null", /object with the list keys/],
		"keys that are no list": [() => '{"keys":{}}', /object with the list keys/],
		"no key at all": [() => '{"keys":[]}', /no key for x509-svid/],
		"keys for tokens only": [() => JSON.stringify({ keys: [keyOf(one, { use: "jwt-svid" })] }), /no key for x509-svid/],
		"no certificate": [() => JSON.stringify({ keys: [keyOf(one, { x5c: undefined })] }), /keys\[0\]: x5c has to be exactly one/],
		"two certificates": [() => JSON.stringify({ keys: [keyOf(one, { x5c: [..."ab"] })] }), /keys\[0\]: x5c has to be exactly one/],
		base64url: [() => JSON.stringify({ keys: [keyOf(one, { x5c: ["MI-_"] })] }), /x5c is no base64/],
		"a certificate that is none": [() => JSON.stringify({ keys: [keyOf(one, { x5c: ["MIIB"] })] }), /unreadable certificate/],
		"another's certificate": [() => JSON.stringify({ keys: [keyOf(one, { x5c: keyOf(two).x5c })] }), /certificate for another key/],
		"no key": [() => JSON.stringify({ keys: [{ use: "x509-svid", x5c: keyOf(one).x5c }] }), /unreadable key/],
		"a leaf among them": [() => JSON.stringify({ keys: [keyOf(one), leafKey()] }), /is not an authority/],
		"too many": [() => JSON.stringify({ keys: Array.from({ length: 65 }, () => keyOf(one)) }), /more than 64/],
		"nesting without end": [() => `{"keys":${"[".repeat(100_000)}${"]".repeat(100_000)}}`, /no key for x509-svid/],
	};
	for (const [what, [text, reason]] of Object.entries(cases)) {
		test(`is refused: ${what}`, () => {
			const bundle = decodeSpiffeBundle(text());
			assert.match(bundle.ok ? "accepted" : bundle.reason, reason);
		});
	}
});
