import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connect } from "node:tls";
import { ChannelCredentials, Client, Metadata, Server, type ServiceError, status } from "@grpc/grpc-js";
import {
	buildCsr,
	buildLeafTemplate,
	buildRootTemplate,
	encodePrivateKey,
	encodePublicKey,
	generateKeys,
	readCertificate,
	signCertificate,
	signSelf,
} from "@weft/pki";
import { createLogger, systemClock } from "@weft/runtime";
import { IstioCertificateRequest, IstioCertificateResponse } from "@weft/xds/generated/istio/v1/auth/ca.ts";
import { Registry } from "prom-client";
import { type Authenticator, createClientCertificateAuthenticator } from "./authenticator.ts";
import { type CertificateAuthority, createCertificateAuthority } from "./certificate-authority.ts";
import { addCertificateService, certificateServiceDefinition } from "./certificate-service.ts";
import { createFileKeyStore } from "./key-store.ts";
import { createLocalTokenAuthenticator, issueLocalToken } from "./local-token.ts";
import { createServerIdentity, type ServerIdentity } from "./server-identity.ts";

const trustDomain = "cluster.local";
const key = Buffer.alloc(32, 7);
const lines: string[] = [];
const logger = createLogger({ write: (line) => lines.push(line) });
const registry = new Registry();
let directory: string;
let server: Server;
let port: number;
let authority: CertificateAuthority;
let identity: ServerIdentity;
let csr: string;

before(async () => {
	directory = await mkdtemp(join(tmpdir(), "weft-citadel-"));
	const store = createFileKeyStore(join(directory, "ca"));
	authority = await createCertificateAuthority({ store, clock: systemClock, logger, trustDomain, rootKeyAlgorithm: "ecdsa-p256" });
	identity = await createServerIdentity({ authority, clock: systemClock, random: Math.random, logger });
	const authenticators = [
		createClientCertificateAuthenticator({ clock: systemClock, trustDomain }),
		createLocalTokenAuthenticator({ key, clock: systemClock, trustDomain }),
	];
	server = new Server();
	addCertificateService(server, { authority, authenticators, clock: systemClock, logger, registry });
	port = await bind(server, identity);
	csr = buildCsr({ keys: await generateKeys(), uris: [] });
});

after(async () => {
	server.forceShutdown();
	await rm(directory, { recursive: true });
});

function bind(to: Server, { credentials }: ServerIdentity): Promise<number> {
	return new Promise((resolve, reject) => {
		to.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
	});
}

interface CallOptions {
	readonly port?: number;
	readonly request?: Partial<IstioCertificateRequest>;
	readonly token?: string;
	readonly authorization?: string;
	readonly client?: { readonly certChainPem: string; readonly privateKeyPem: string };
}

const definition = certificateServiceDefinition.createCertificate;
assert.ok(definition);
const { path } = definition;

async function call({ request, token, authorization, client: shown, port: at = port }: CallOptions): Promise<readonly string[]> {
	const roots = Buffer.from(authority.trustBundlePem);
	const credentials =
		shown === undefined
			? ChannelCredentials.createSsl(roots)
			: ChannelCredentials.createSsl(roots, Buffer.from(shown.privateKeyPem), Buffer.from(shown.certChainPem));
	const client = new Client(`127.0.0.1:${at}`, credentials, { "grpc.ssl_target_name_override": "istiod.istio-system.svc" });
	const metadata = new Metadata();
	const header = authorization ?? (token === undefined ? undefined : `Bearer ${token}`);
	if (header !== undefined) metadata.set("authorization", header);
	const message: IstioCertificateRequest = { csr, validityDuration: 0n, metadata: undefined, ...request };
	const encode = (value: IstioCertificateRequest) => Buffer.from(IstioCertificateRequest.encode(value).finish());
	try {
		return await new Promise((resolve, reject) => {
			const done = (error: ServiceError | null, response?: IstioCertificateResponse) => (error === null ? resolve(response?.certChain ?? []) : reject(error));
			client.makeUnaryRequest(path, encode, (bytes) => IstioCertificateResponse.decode(bytes), message, metadata, done);
		});
	} finally {
		client.close();
	}
}

const token = (claims = {}) => issueLocalToken(key, { ns: "default", sa: "web", pod: "web-1", exp: Date.now() / 1000 + 60, ...claims });

async function refusal(options: CallOptions): Promise<{ code: status; details: string }> {
	try {
		await call(options);
	} catch (error) {
		const { code, details } = error as ServiceError;
		return { code, details };
	}
	return assert.fail("a certificate was issued");
}

async function counter(name: string): Promise<number> {
	const metric = await registry.getSingleMetric(name)?.get();
	return (metric?.values ?? []).reduce((sum, { value }) => sum + value, 0);
}

function namesOf(pem: string | undefined) {
	assert.ok(pem);
	const fields = readCertificate(new X509Certificate(pem));
	assert.ok(fields.ok);
	return fields.value;
}

describe("CreateCertificate", () => {
	test("a token's bearer gets a certificate for its own identity, root bundle last", async () => {
		const issued = await counter("citadel_server_success_cert_issuance_count");
		const chain = await call({ token: token() });
		assert.equal(chain.length, 2);
		assert.equal(chain[1], authority.trustBundlePem);
		const fields = namesOf(chain[0]);
		assert.deepEqual(fields.uris, ["spiffe://cluster.local/ns/default/sa/web"]);
		assert.deepEqual(fields.dnsNames, []);
		assert.equal(await counter("citadel_server_success_cert_issuance_count"), issued + 1);
		assert.ok(lines.some((line) => line.includes("certificate issued") && line.includes("ns/default/sa/web") && line.includes("web-1")));
	});

	test("a verified client certificate is an identity: renewal without a token", async () => {
		const keys = await generateKeys();
		const [leaf = ""] = await call({ token: token(), request: { csr: buildCsr({ keys, uris: [] }) } });
		const renewed = await call({ client: { certChainPem: leaf, privateKeyPem: encodePrivateKey(keys.privateKey) } });
		assert.deepEqual(namesOf(renewed[0]).uris, ["spiffe://cluster.local/ns/default/sa/web"]);
	});

	test("an unverified client certificate is no identity, whatever it claims (CVE-2026-101916)", async () => {
		const keys = await generateKeys();
		const publicKeyDer = encodePublicKey(keys.publicKey);
		const nowMs = Date.now();
		const params = { serialNumber: Uint8Array.of(1), publicKeyDer, nowMs };
		const rootPem = signSelf(buildRootTemplate({ ...params, trustDomain }), keys.privateKey);
		const claim = "spiffe://cluster.local/ns/istio-system/sa/istiod";
		const subjectAltNames = { uris: [claim], dnsNames: [], ipAddresses: [] };
		const template = buildLeafTemplate({ ...params, subjectAltNames, ttlMs: 60_000, signerNotAfterMs: nowMs + 120_000 });
		assert.ok(template.ok);
		const privateKeyPem = encodePrivateKey(keys.privateKey);
		const issuedElsewhere = signCertificate(template.value, { certificate: new X509Certificate(rootPem), privateKey: keys.privateKey });
		for (const certChainPem of [signSelf(template.value, keys.privateKey), issuedElsewhere, issuedElsewhere + rootPem]) {
			assert.equal((await refusal({ client: { certChainPem, privateKeyPem } })).code, status.UNAUTHENTICATED);
			// Beside a good token it is just not looked at.
			const chain = await call({ client: { certChainPem, privateKeyPem }, token: token() });
			assert.deepEqual(namesOf(chain[0]).uris, ["spiffe://cluster.local/ns/default/sa/web"]);
		}
	});

	test("what the CSR asks for is not what the certificate says", async () => {
		const keys = await generateKeys("rsa-2048");
		const asked = buildCsr({ keys, uris: ["spiffe://cluster.local/ns/istio-system/sa/istiod", "spiffe://other/ns/a/sa/b"] });
		const [leaf] = await call({ token: token(), request: { csr: asked } });
		const fields = namesOf(leaf);
		assert.deepEqual(fields.uris, ["spiffe://cluster.local/ns/default/sa/web"]);
		assert.equal(fields.authority, false);
	});

	test("a CSR that asks to be an authority under other names gets the caller's own leaf", async () => {
		const hostile = await readFile(new URL("../testdata/hostile-extensions.pem", import.meta.url), "utf8");
		const [leaf] = await call({ token: token(), request: { csr: hostile } });
		const { uris, dnsNames, ipAddresses, otherNames, authority: isAuthority, keyUsage, extKeyUsages, subjectEmpty } = namesOf(leaf);
		assert.deepEqual([uris, dnsNames, ipAddresses, otherNames], [["spiffe://cluster.local/ns/default/sa/web"], [], [], 0]);
		assert.deepEqual([isAuthority, keyUsage, subjectEmpty], [false, 0xa0, true]);
		assert.deepEqual(extKeyUsages, ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
	});

	const unauthenticated: Record<string, () => CallOptions> = {
		"nobody at all": () => ({}),
		"a forged token": () => ({ token: issueLocalToken(Buffer.alloc(32, 8), { ns: "default", sa: "web", pod: "p", exp: 9e9 }) }),
		"an expired token": () => ({ token: token({ exp: Date.now() / 1000 - 1 }) }),
		"a token for no valid identity": () => ({ token: token({ ns: "a/sa/b" }) }),
		"a token of another kind": () => ({ token: "eyJhbGciOiJub25lIn0.e30." }),
		"two tokens in one header": () => ({ authorization: `Bearer ${token()}, Bearer ${token()}` }),
		"a token without its scheme": () => ({ authorization: token() }),
	};
	for (const [who, options] of Object.entries(unauthenticated)) {
		test(`${who} is refused as unauthenticated, without a reason to learn from`, async () => {
			const failures = await counter("citadel_server_authentication_failure_count");
			assert.deepEqual(await refusal(options()), { code: status.UNAUTHENTICATED, details: "request authenticate failure" });
			assert.equal(await counter("citadel_server_authentication_failure_count"), failures + 1);
		});
	}

	const refused: Record<string, [() => Partial<IstioCertificateRequest>, status, RegExp]> = {
		"a CSR that is no CSR": [() => ({ csr: "hello" }), status.INVALID_ARGUMENT, /not one PEM block/],
		"an oversized CSR": [() => ({ csr: csr + " ".repeat(65_536) }), status.INVALID_ARGUMENT, /at most 65536/],
		"a life above 90 days": [() => ({ validityDuration: 7_776_001n }), status.INVALID_ARGUMENT, /greater than the max/],
		"another's identity": [() => ({ metadata: { ImpersonatedIdentity: "spiffe://x" } }), status.PERMISSION_DENIED, /impersonate/],
		"another signer": [() => ({ metadata: { CertSigner: "issuers/x" } }), status.INVALID_ARGUMENT, /CertSigner is not supported/],
	};
	for (const [what, [request, code, details]] of Object.entries(refused)) {
		test(`${what} is refused`, async () => {
			const outcome = await refusal({ token: token(), request: request() });
			assert.equal(outcome.code, code);
			assert.match(outcome.details, details);
		});
	}

	test("a life of 0 or less is the default of 24 h, a shorter one is granted", async () => {
		const lifeMs = async (validityDuration: bigint) => {
			const [leaf = ""] = await call({ token: token(), request: { validityDuration } });
			const { validToDate, validFromDate } = new X509Certificate(leaf);
			return validToDate.getTime() - validFromDate.getTime() - 120_000;
		};
		assert.deepEqual([await lifeMs(0n), await lifeMs(-5n), await lifeMs(600n)], [86_400_000, 86_400_000, 600_000]);
	});

	test("beyond its rate and beyond its requests in flight the service says so, and recovers", async () => {
		let release = () => {};
		const held = new Promise<void>((resolve) => {
			release = resolve;
		});
		const asked: unknown[] = [];
		const slow: Authenticator = {
			name: "slow",
			async authenticate() {
				asked.push(undefined);
				await held;
				return { ok: true, value: { identity: { trustDomain, namespace: "default", serviceAccount: "web" } } };
			},
		};
		const bounded = new Server();
		const options = { authority, authenticators: [slow], clock: systemClock, logger, registry: new Registry() };
		addCertificateService(bounded, { ...options, inFlightMax: 2, perSecond: 0.001, burst: 1 });
		const boundedPort = await bind(bounded, identity);
		try {
			const waiting = [call({ port: boundedPort }), call({ port: boundedPort })];
			while (asked.length < 2) await new Promise((resolve) => setImmediate(resolve));
			assert.match((await refusal({ port: boundedPort })).details, /in flight/);
			release();
			const outcomes = await Promise.allSettled(waiting);
			assert.deepEqual(outcomes.map((outcome) => outcome.status).sort(), ["fulfilled", "rejected"]);
			const refusedByRate = await refusal({ port: boundedPort });
			assert.equal(refusedByRate.code, status.RESOURCE_EXHAUSTED);
			assert.match(refusedByRate.details, /too many certificate requests/);
		} finally {
			bounded.forceShutdown();
		}
	});

	test("an authenticator that breaks is an internal error that says nothing", async () => {
		const broken = new Server();
		const authenticators = [{ name: "broken", authenticate: () => Promise.reject(new Error("secret detail")) }];
		addCertificateService(broken, { authority, authenticators, clock: systemClock, logger, registry: new Registry() });
		const brokenPort = await bind(broken, identity);
		assert.deepEqual(await refusal({ port: brokenPort }), { code: status.INTERNAL, details: "internal error" });
		broken.forceShutdown();
	});

	test("a hundred at once all get their own", async () => {
		const chains = await Promise.all(Array.from({ length: 100 }, (_, i) => call({ token: token({ sa: `sa-${i}` }) })));
		chains.forEach((chain, i) => assert.deepEqual(namesOf(chain[0]).uris, [`spiffe://cluster.local/ns/default/sa/sa-${i}`]));
		assert.equal(new Set(chains.map(([leaf = ""]) => new X509Certificate(leaf).serialNumber)).size, 100);
	});

	test("a rotated server certificate reaches new connections of an open server", async () => {
		const shownSerial = () =>
			new Promise<string | undefined>((resolve, reject) => {
				const socket = connect({ port, host: "127.0.0.1", ca: authority.trustBundlePem, servername: "localhost" }, () => {
					resolve(socket.getPeerX509Certificate()?.serialNumber);
					socket.destroy();
				});
				socket.on("error", reject);
			});
		const serial = identity.serialNumber;
		assert.equal(await shownSerial(), serial);
		await identity.rotate();
		assert.notEqual(identity.serialNumber, serial);
		assert.equal(await shownSerial(), identity.serialNumber);
		assert.equal((await call({ token: token() })).length, 2);
	});

	test("the expiry of root and chain is exported under Istio's names", async () => {
		const notAfter = new X509Certificate(authority.trustBundlePem).validToDate.getTime() / 1000;
		for (const what of ["root_cert", "cert_chain"]) {
			assert.equal(await counter(`citadel_server_${what}_expiry_timestamp`), notAfter);
			const left = await counter(`citadel_server_${what}_expiry_seconds`);
			assert.ok(Math.abs(notAfter - Date.now() / 1000 - left) < 60);
		}
	});

	test("no log line carries a key, a token or a CSR", () => {
		assert.ok(lines.length > 0);
		assert.deepEqual(
			lines.filter((line) => /-----BEGIN|eyJ/.test(line)),
			[],
		);
	});
});
