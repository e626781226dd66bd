import assert from "node:assert/strict";
import { createPublicKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { status } from "@grpc/grpc-js";
import { buildCsr, encodePublicKey, generateKeys, type KeyPair, readCertificate } from "@weft/pki";
import { type Clock, createLogger } from "@weft/runtime";
import { Registry } from "prom-client";
import { type Caller, createClientCertificateAuthenticator } from "./authenticator.ts";
import { type CertificateAuthority, createCertificateAuthority, issueKeyedLeaf } from "./certificate-authority.ts";
import { type CreateCertificateContext, createCertificate } from "./create-certificate.ts";
import { createMemoryKeyStore } from "./key-store.ts";
import { createLocalTokenAuthenticator, issueLocalToken } from "./local-token.ts";
import { createCitadelMetrics } from "./metrics.ts";
import { createTokenReviewAuthenticator, type ReviewedToken } from "./token-review-authenticator.ts";

const attempts = 10_000;
const nowMs = Date.UTC(2027, 0, 1);
const key = Buffer.alloc(32, 7);
const otherKey = Buffer.alloc(32, 8);
const clock: Clock = { nowMs: () => nowMs, monotonicMs: () => 0, sleep: async () => undefined };
const quiet = createLogger({ level: "none" });
const trustDomain = "cluster.local";
const ttlMsMax = 90 * 86_400_000;

/** mulberry32: the same attempts each time, so that a failure can be looked at. */
function createRandom(seed: number): () => number {
	let state = seed;
	return () => {
		state = (state + 0x6d2b79f5) | 0;
		let t = Math.imul(state ^ (state >>> 15), 1 | state);
		t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
		return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
	};
}

/** What is offered, and whom it proves: written down where it is made, so that the authority's own reading is not asked. */
interface Offer<T> {
	readonly what: string;
	readonly value: T;
	readonly proves: string | undefined;
}

interface CsrOffer {
	readonly what: string;
	readonly pem: string;
	/** Undefined: no request that may be served. */
	readonly publicKeyDer: Buffer | undefined;
}

const uriOf = (ns: string, sa: string) => `spiffe://${trustDomain}/ns/${ns}/sa/${sa}`;

async function buildCsrs(): Promise<readonly CsrOffer[]> {
	const pairs: KeyPair[] = await Promise.all([generateKeys(), generateKeys("rsa-2048"), generateKeys("ecdsa-p384")]);
	const uris = [[], [uriOf("default", "web")], [uriOf("istio-system", "istiod")], [uriOf("a", "b"), uriOf("kube-system", "admin")]];
	const good = pairs.flatMap((keys) =>
		uris.map((asked) => ({ what: `CSR for ${asked.join()}`, pem: buildCsr({ keys, uris: asked }), publicKeyDer: encodePublicKey(keys.publicKey) })),
	);
	const [mine, theirs] = pairs;
	const stolen = buildCsr({ keys: { publicKey: (theirs as KeyPair).publicKey, privateKey: (mine as KeyPair).privateKey }, uris: [] });
	const fixture = (name: string) => readFileSync(new URL(`../../pki/testdata/${name}.pem`, import.meta.url), "utf8");
	const hostile = fixture("hostile-extensions");
	const bad = ["rsa-1024", "rsa-e3", "rsa-sha1", "rsa-pss", "ed25519", "ec-secp256k1", "ec-explicit", "bad-signature"].map((name) => ({
		what: name,
		pem: fixture(name),
		publicKeyDer: undefined,
	}));
	const broken = ["", "hello", stolen, (good[0]?.pem ?? "").slice(40), `${good[0]?.pem}${good[1]?.pem}`].map((pem) => ({
		what: `broken ${pem.length}`,
		pem,
		publicKeyDer: undefined,
	}));
	return [...good, { what: "asks for CA:true and more", pem: hostile, publicKeyDer: keyOfCsr(hostile) }, ...bad, ...broken];
}

/** Read apart from our own decoder: the SubjectPublicKeyInfo of P-256 or RSA, found by its header. */
function keyOfCsr(pem: string): Buffer {
	const bytes = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ""), "base64");
	for (let at = 0; at < bytes.length; at++) {
		if (bytes[at] !== 0x30) continue;
		try {
			const length = bytes[at + 1] === 0x82 ? bytes.readUInt16BE(at + 2) + 4 : bytes[at + 1] === 0x81 ? (bytes[at + 2] ?? 0) + 3 : (bytes[at + 1] ?? 0) + 2;
			return createPublicKey({ key: bytes.subarray(at, at + length), type: "spki", format: "der" }).export({ type: "spki", format: "der" });
		} catch {
			// Not here.
		}
	}
	throw new Error("no key in the CSR");
}

const names = ["default", "web", "a", "istio-system", "istiod", "-x", "x/y", "x%00", "a.b", "ns/default/sa/admin", "", "A", "x".repeat(64), "web\0", "ünï"];
const isLabel = (text: string) => /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(text) && text.length <= 63;
const isSubdomain = (text: string) => text.length <= 253 && text.split(".").every((part) => /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(part));

function buildTokens(random: () => number): Offer<string | undefined> {
	const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
	const [ns, sa] = [pick(names), pick(names)];
	const proves = isLabel(ns) && isSubdomain(sa) ? uriOf(ns, sa) : undefined;
	const exp = nowMs / 1000 + 60;
	const local = (k: Buffer, until: number) => issueLocalToken(k, { ns, sa, pod: "p", exp: until });
	const jwt = (claims: object) => ["{}", JSON.stringify(claims), "x"].map((part) => Buffer.from(part).toString("base64url")).join(".");
	switch (Math.floor(random() * 10)) {
		case 0:
			return { what: "none", value: undefined, proves: undefined };
		case 1:
			return { what: "local, expired", value: local(key, nowMs / 1000 - 1), proves: undefined };
		case 2:
			return { what: "local, of another key", value: local(otherKey, exp), proves: undefined };
		case 3: {
			const [payload = "", mac = ""] = local(key, exp).split(".");
			const other = Buffer.from(JSON.stringify({ ns: "istio-system", sa: "istiod", pod: "p", exp })).toString("base64url");
			return { what: "local, another payload under its MAC", value: `${payload === other ? "x" : other}.${mac}`, proves: undefined };
		}
		case 4:
			return { what: "Kubernetes, not authenticated", value: jwt({ exp, ns, sa, ok: false }), proves: undefined };
		case 5:
			return { what: "Kubernetes, without a pod", value: jwt({ exp, ns, sa, ok: true }), proves: undefined };
		case 6:
			return { what: "Kubernetes, expired", value: jwt({ exp: nowMs / 1000 - 1, ns, sa, ok: true, pod: "p" }), proves: undefined };
		case 7:
			return { what: "Kubernetes, a user", value: jwt({ exp, user: `system:node:${ns}`, ok: true, pod: "p" }), proves: undefined };
		case 8:
			// A colon would make one account look like another; none of the names has one.
			return { what: "Kubernetes", value: jwt({ exp, ns, sa, ok: true, pod: "p" }), proves };
		default:
			return { what: "local", value: local(key, exp), proves };
	}
}

async function review(token: string): Promise<ReviewedToken> {
	const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Record<string, string | boolean | undefined>;
	if (claims["ok"] !== true) return { authenticated: false, error: "invalid" };
	const pod = claims["pod"];
	const extra: Record<string, readonly string[]> =
		pod === undefined ? {} : { "authentication.kubernetes.io/pod-name": [String(pod)], "authentication.kubernetes.io/pod-uid": ["u"] };
	return { authenticated: true, username: String(claims["user"] ?? `system:serviceaccount:${claims["ns"]}:${claims["sa"]}`), extra };
}

async function buildCertificates(authority: CertificateAuthority): Promise<readonly Offer<X509Certificate | undefined>[]> {
	const leaf = async (ns: string, domain = trustDomain) => {
		const issued = await issueKeyedLeaf(authority, { identity: { trustDomain: domain, namespace: ns, serviceAccount: "cert" }, ttlMs: 3_600_000 });
		assert.ok(issued.ok);
		return new X509Certificate(issued.value.chainPem[0] ?? "");
	};
	const none = { what: "no certificate", value: undefined, proves: undefined };
	return [
		none,
		none,
		none,
		{ what: "a certificate", value: await leaf("default"), proves: uriOf("default", "cert") },
		{ what: "another's certificate", value: await leaf("other"), proves: uriOf("other", "cert") },
		{ what: "a foreign trust domain's certificate", value: await leaf("default", "evil.example"), proves: undefined },
		{ what: "the authority's own", value: new X509Certificate(authority.trustBundlePem), proves: undefined },
	];
}

test(`sec/d30, sec/d31: ${attempts} generated attempts of CSR, token and identity: no certificate says anything but its caller's name`, async (t) => {
	const random = createRandom(20_270_101);
	const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
	const authority = await createCertificateAuthority({ store: createMemoryKeyStore(), clock, logger: quiet, trustDomain, rootKeyAlgorithm: "ecdsa-p256" });
	const context: CreateCertificateContext = {
		authority,
		authenticators: [
			createClientCertificateAuthenticator({ clock, trustDomain }),
			createLocalTokenAuthenticator({ key, clock, trustDomain }),
			createTokenReviewAuthenticator({ review, clock, trustDomain, needsPod: true }),
		],
		rateLimit: { take: () => true },
		callerRateLimit: { take: () => true },
		metrics: createCitadelMetrics({ registry: new Registry(), clock, rootNotAfterMs: () => 0, chainNotAfterMs: () => 0 }),
		logger: quiet,
	};
	const csrs = await buildCsrs();
	const certificates = await buildCertificates(authority);
	const metadatas = [
		undefined,
		undefined,
		undefined,
		{},
		{ ImpersonatedIdentity: uriOf("kube-system", "admin") },
		{ CertSigner: "x" },
		{ ImpersonatedIdentity: ["x"] },
	];
	const validities = [0n, -1n, 60n, 86_400n, 7_776_000n, 7_776_001n, 2n ** 62n];
	let issued = 0;
	for (let i = 0; i < attempts; i++) {
		const [csr, certificate, token] = [pick(csrs), pick(certificates), buildTokens(random)];
		const [metadata, validityDuration] = [pick(metadatas), pick(validities)];
		const caller: Caller = { verifiedCertificate: certificate.value, bearerToken: token.value, remoteAddress: "10.0.0.1:1" };
		const decision = await createCertificate(context, caller, { csr: csr.pem, validityDuration, metadata });
		const told = `attempt ${i}: ${csr.what}; ${certificate.what}; token ${token.what}; ${JSON.stringify(metadata)}; ${validityDuration} s`;
		const wanted = certificate.proves ?? token.proves;
		const isDue =
			wanted !== undefined &&
			csr.publicKeyDer !== undefined &&
			validityDuration <= 7_776_000n &&
			(metadata === undefined || Object.keys(metadata).length === 0);
		assert.equal(decision.code === status.OK, isDue, `${told}: ${JSON.stringify(decision).slice(0, 200)}`);
		if (decision.code !== status.OK || csr.publicKeyDer === undefined) continue;
		issued++;
		const leaf = new X509Certificate(decision.certChain[0] ?? "");
		const fields = readCertificate(leaf);
		assert.ok(fields.ok, told);
		const { uris, dnsNames, ipAddresses, otherNames, publicKeyDer, authority: isAuthority, keyUsage } = fields.value;
		assert.deepEqual(
			{ uris, dnsNames, ipAddresses, otherNames, isAuthority, keyUsage },
			{ uris: [wanted], dnsNames: [], ipAddresses: [], otherNames: 0, isAuthority: false, keyUsage: 0xa0 },
			told,
		);
		assert.ok(publicKeyDer.equals(csr.publicKeyDer), told);
		assert.ok(leaf.validToDate.getTime() <= nowMs + ttlMsMax && !leaf.ca, told);
	}
	t.diagnostic(`${issued} of ${attempts} were issued`);
	assert.ok(issued > attempts / 20 && issued < attempts / 2, `${issued} issued: the attempts test nothing`);
});
