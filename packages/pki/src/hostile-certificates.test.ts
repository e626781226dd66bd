import assert from "node:assert/strict";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { before, describe, test } from "node:test";
import { type Signer, signCertificate } from "./certificate.ts";
import { spiffeIdOfCertificate } from "./certificate-fields.ts";
import { verifyChain } from "./chain.ts";
import { type DerNode, der } from "./der.ts";
import { encodePublicKey, generateKeys } from "./keys.ts";
import { oids } from "./oids.ts";
import { buildTestTemplate, createTestAuthority, testNowMs as nowMs } from "./test-authority.ts";
import { type RawCertificate, rawExtension, rawExtensions as ext, signRawCertificate } from "./test-certificate.ts";

const good = "spiffe://cluster.local/ns/default/sa/web";
const both = ext.usages(oids.serverAuth, oids.clientAuth);
const leafUsage = ext.keyUsage(0xa0, 5);
const usual: readonly DerNode[] = [leafUsage, both, ext.authority(false)];

let root: Signer;
let publicKeyDer: Buffer;

before(async () => {
	root = await createTestAuthority("root");
	publicKeyDer = encodePublicKey((await generateKeys()).publicKey);
});

/** Who a peer with this chain is taken for. Every verifier of ours is these two steps. */
function identityOf(chain: readonly X509Certificate[], purpose: "client" | "server" = "client"): string {
	const verified = verifyChain({ chain, roots: [root.certificate], nowMs, purpose });
	if (!verified.ok) return verified.reason;
	const identity = spiffeIdOfCertificate(chain[0] as X509Certificate);
	return identity.ok ? `accepted as ${identity.value.namespace}/${identity.value.serviceAccount}` : identity.reason;
}

const certificate = (change: Partial<RawCertificate>) => signRawCertificate({ issuer: root, publicKeyDer, extensions: [...usual, ext.uris(good)], ...change });
const rsa = (bits: number) => encodePublicKey(generateKeyPairSync("rsa", { modulusLength: bits }).publicKey);

test("the certificate that all others are changed from is accepted", () => {
	assert.equal(identityOf([certificate({})]), "accepted as default/web");
	assert.equal(identityOf([certificate({})], "server"), "accepted as default/web");
});

test("an authority that narrows what it signs is none that is not understood", async () => {
	const keys = await generateKeys();
	const constraints = rawExtension(oids.nameConstraints, true, der.sequence(der.context(0, der.sequence(der.contextBytes(6, Buffer.from("cluster.local"))))));
	const middle = signRawCertificate({
		issuer: root,
		publicKeyDer: encodePublicKey(keys.publicKey),
		commonName: "middle",
		extensions: [ext.keyUsage(0x06, 1), ext.authority(true), constraints],
	});
	const leaf = certificate({ issuer: { certificate: middle, privateKey: keys.privateKey } });
	assert.equal(identityOf([leaf, middle]), "accepted as default/web");
});

describe("sec/d27, sec/d34, sec/d35: no certificate of these is taken for anybody", () => {
	const names: Record<string, [extensions: readonly DerNode[], reason: RegExp]> = {
		"a NUL at the end of the URI": [[...usual, ext.uris(`${good}\0`)], /service account/],
		"a NUL within the URI": [[...usual, ext.uris("spiffe://cluster.local/ns/default/sa/web\0.evil.example")], /service account/],
		"an escaped NUL": [[...usual, ext.uris(`${good}%00`)], /service account/],
		"two URIs": [[...usual, ext.uris(good, "spiffe://cluster.local/ns/default/sa/admin")], /2 URI SANs/],
		"the same URI twice": [[...usual, ext.uris(good, good)], /2 URI SANs/],
		"no SAN at all": [usual, /0 URI SANs/],
		"the identity as DNS name": [[...usual, ext.dnsNames(good)], /0 URI SANs/],
		"an empty URI": [[...usual, ext.uris("")], /not of the form/],
		"a URI of non-ASCII dots": [[...usual, ext.uris(Buffer.from("spiffe://cluster\u3002local/ns/default/sa/web"))], /trust domain/],
		"a URI with a comma that text forms split at": [
			[...usual, ext.uris("spiffe://cluster.local/ns/a/sa/b, URI:spiffe://cluster.local/ns/default/sa/admin")],
			/not of the form/,
		],
		"the SAN extension twice": [[...usual, ext.uris(good), ext.uris("spiffe://cluster.local/ns/default/sa/admin")], /stands twice/],
		"only for e-mail": [[leafUsage, ext.usages("1.3.6.1.5.5.7.3.4"), ext.authority(false), ext.uris(good)], /not for use as a client/],
		"only for servers, from a client": [[leafUsage, ext.usages(oids.serverAuth), ext.authority(false), ext.uris(good)], /not for use as a client/],
		"a critical extension that nobody knows": [[...usual, ext.uris(good), rawExtension("1.2.3.4.5", true, der.null())], /1\.2\.3\.4\.5 is not understood/],
		"a leaf that says it is an authority": [[leafUsage, both, ext.authority(true), ext.uris(good)], /authority/],
		"a leaf that may sign certificates": [[ext.keyUsage(0x86, 1), both, ext.authority(false), ext.uris(good)], /authority/],
	};
	for (const [what, [extensions, reason]] of Object.entries(names)) {
		test(what, () => assert.match(identityOf([certificate({ extensions })]), reason));
	}

	test("the identity in the common name only", () => {
		assert.match(identityOf([certificate({ extensions: usual, commonName: good })]), /0 URI SANs/);
	});

	test("expired, and not valid yet", () => {
		assert.match(identityOf([certificate({ notAfterMs: nowMs - 1000 })]), /has expired/);
		assert.match(identityOf([certificate({ notBeforeMs: nowMs + 1000 })]), /not valid before/);
	});

	test("a leaf signed by a leaf", async () => {
		const { template, keys } = await buildTestTemplate();
		const leaf = new X509Certificate(signCertificate(template, root));
		const forged = certificate({ issuer: { certificate: leaf, privateKey: keys.privateKey } });
		assert.match(identityOf([forged, leaf]), /did not issue it/);
	});

	const weak: Record<string, [() => Buffer, RegExp]> = {
		"RSA of 1024 bits": [() => rsa(1024), /RSA key of 1024 bits/],
		"RSA with exponent 3": [() => encodePublicKey(generateKeyPairSync("rsa", { modulusLength: 2048, publicExponent: 3 }).publicKey), /exponent/],
		secp256k1: [() => encodePublicKey(generateKeyPairSync("ec", { namedCurve: "secp256k1" }).publicKey), /curve secp256k1/],
		ed25519: [() => encodePublicKey(generateKeyPairSync("ed25519").publicKey), /type ed25519/],
	};
	for (const [what, [key, reason]] of Object.entries(weak)) {
		test(`a weak key: ${what}`, () => assert.match(identityOf([certificate({ publicKeyDer: key() })]), reason));
	}

	test("a weak key in the issuer's place", () => {
		const keys = generateKeyPairSync("rsa", { modulusLength: 1024 });
		const middle = signRawCertificate({
			issuer: root,
			publicKeyDer: encodePublicKey(keys.publicKey),
			commonName: "middle",
			extensions: [ext.keyUsage(0x06, 1), ext.authority(true)],
		});
		const signature = { oid: oids.sha256WithRSAEncryption, digest: "sha256", key: keys.privateKey };
		assert.match(identityOf([certificate({ issuer: { certificate: middle, privateKey: keys.privateKey }, signature }), middle]), /RSA key of 1024 bits/);
	});

	test("a signature over SHA-1", () => {
		const signature = { oid: "1.2.840.10045.4.1", digest: "sha1", key: root.privateKey };
		assert.match(identityOf([certificate({ signature })]), /algorithm 1\.2\.840\.10045\.4\.1 is not accepted/);
	});

	test("a signature of another key, and one over other bytes", async () => {
		const other = await createTestAuthority("root");
		assert.match(identityOf([certificate({ issuer: { certificate: root.certificate, privateKey: other.privateKey } })]), /not issued by any trusted root/);
	});

	test("a chain longer than any verifier follows", () => {
		assert.match(identityOf(Array.from({ length: 11 }, () => certificate({}))), /at most 10/);
	});
});
