import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { afterEach, beforeEach, describe, test } from "node:test";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { buildSelfSignedAuthority, createCertificateAuthority, createMemoryKeyStore, type CertificateAuthority } from "@weft/citadel";
import { type KubeObject, resources } from "@weft/kube";
import { type FakeApiServer, until } from "@weft/kube/testing";
import { buildCsr, decodeNamedCsr, decodeSpiffeId, generateKeys, type KeyPair, readCertificate } from "@weft/pki";
import { type Clock, createLogger, systemClock } from "@weft/runtime";
import { IstioCertificateRequest, IstioCertificateResponse } from "@weft/xds/generated/istio/v1/auth/ca.ts";
import { rootsOf, serverName, startTestApi, startTestControlPlane, systemNamespace, type TestControlPlane, token } from "./test-control-plane.ts";

// A control plane whose certificates are signed by somebody behind the Kubernetes API (EXTERNAL_CA=ISTIOD_RA_KUBERNETES_API).

const signerName = "signers.test/mesh";
const type = resources.certificateSigningRequests;
const web = "spiffe://cluster.local/ns/default/sa/web";

let api: FakeApiServer;
let planes: TestControlPlane[];
/** What the signer does with an approved request, by the requested identity's last part. */
let behave: (csr: KubeObject, identity: string) => Promise<object | undefined>;
let requests: KubeObject[];
let mesh: CertificateAuthority;
let other: CertificateAuthority;

const newAuthority = async () => {
	const pem = await buildSelfSignedAuthority({ trustDomain: "cluster.local", keyAlgorithm: "ecdsa-p256", nowMs: Date.now() });
	return createCertificateAuthority({ store: createMemoryKeyStore(pem), clock: systemClock, logger: createLogger({ level: "none" }) });
};

interface Spec {
	readonly request: string;
	readonly signerName: string;
	readonly usages: readonly string[];
	readonly expirationSeconds: number;
}

const specOf = (csr: KubeObject) => csr["spec"] as Spec;
const csrPemOf = (csr: KubeObject) => Buffer.from(specOf(csr).request, "base64").toString();
const certificate = (pem: string) => ({ certificate: Buffer.from(pem).toString("base64") });

/** Signs what is asked, as a good signer does. */
async function sign(csr: KubeObject, authority = mesh): Promise<object> {
	const read = decodeNamedCsr(csrPemOf(csr));
	assert.ok(read.ok, "reason" in read ? read.reason : "");
	const { uris, dnsNames } = read.value.names;
	const identity = decodeSpiffeId(uris[0] ?? "");
	assert.ok(identity.ok);
	const ipAddresses = read.value.names.ipAddresses.map((hex) => Buffer.from(hex, "hex").join("."));
	const leaf = await authority.issueLeaf({ identity: identity.value, csrPem: csrPemOf(csr), ttlMs: 0, dnsNames, ipAddresses });
	assert.ok(leaf.ok);
	return certificate(leaf.value.chainPem.join(""));
}

beforeEach(async () => {
	api = await startTestApi();
	planes = [];
	requests = [];
	[mesh, other] = [await newAuthority(), await newAuthority()];
	behave = (csr) => sign(csr);
	putMeshConfig([{ pem: mesh.trustBundlePem, certSigners: [signerName] }]);
	api.admit = (object) => {
		const csr = object as unknown as KubeObject;
		const { conditions = [] } = (csr["status"] ?? {}) as { readonly conditions?: readonly { readonly type: string }[] };
		if (csr.kind !== type.kind || !conditions.some((condition) => condition.type === "Approved")) return undefined;
		requests.push(csr);
		void answer(csr);
		return undefined;
	};
});

async function answer(csr: KubeObject): Promise<void> {
	const [uri = ""] = (({ ok, ...read }) => (ok && "value" in read ? read.value.names.uris : []))(decodeNamedCsr(csrPemOf(csr)));
	const answered = await behave(csr, uri.split("/").at(-1) ?? "");
	const present = api.get(type, "", csr.metadata.name);
	if (answered !== undefined && present !== undefined) api.put(type, { ...present, status: { ...(csr["status"] as object), ...answered } });
}

afterEach(async () => {
	await Promise.all(planes.map((plane) => plane.stop()));
	api.close();
});

const putMeshConfig = (caCertificates: object) =>
	api.put(resources.configMaps, { metadata: { name: "istio", namespace: systemNamespace }, data: { mesh: JSON.stringify({ caCertificates }) } });

async function start(extra: Readonly<Record<string, string>> = {}, clock: Clock = systemClock): Promise<TestControlPlane> {
	const plane = await startTestControlPlane(api, { EXTERNAL_CA: "ISTIOD_RA_KUBERNETES_API", K8S_SIGNER: signerName, ...extra }, clock);
	planes.push(plane);
	await until("roots are handed out", () => plane.rootsPem() !== "");
	return plane;
}

interface Asked {
	readonly keys?: KeyPair;
	readonly uris?: readonly string[];
	readonly dnsNames?: readonly string[];
	readonly certSigner?: string;
	readonly serviceAccount?: string;
	/** How long the caller waits. */
	readonly timeoutMs?: number;
}

async function ask(plane: TestControlPlane, asked: Asked = {}): Promise<readonly string[] | ServiceError> {
	const { keys = await generateKeys(), serviceAccount = "web", certSigner } = asked;
	const { uris = [`spiffe://cluster.local/ns/default/sa/${serviceAccount}`], dnsNames = [] } = asked;
	const metadata = new Metadata();
	metadata.set("authorization", `Bearer ${token({ ns: "default", sa: serviceAccount, pod: "web-1" })}`);
	const client = new Client(plane.secureAddress, credentials.createSsl(Buffer.from(plane.rootsPem())), { "grpc.ssl_target_name_override": serverName });
	const request = IstioCertificateRequest.fromPartial({
		csr: buildCsr({ keys, uris, dnsNames }),
		validityDuration: 3600n,
		...(certSigner !== undefined && { metadata: { CertSigner: certSigner } }),
	});
	try {
		return await new Promise((resolve) => {
			client.makeUnaryRequest(
				"/istio.v1.auth.IstioCertificateService/CreateCertificate",
				(message: IstioCertificateRequest) => Buffer.from(IstioCertificateRequest.encode(message).finish()),
				(bytes: Buffer) => IstioCertificateResponse.decode(bytes),
				request,
				metadata,
				asked.timeoutMs === undefined ? {} : { deadline: Date.now() + asked.timeoutMs },
				(error, response) => resolve(error ?? response?.certChain ?? []),
			);
		});
	} finally {
		client.close();
	}
}

const refusalOf = (outcome: readonly string[] | ServiceError): readonly [number, string] => {
	assert.ok(outcome instanceof Error, "it was refused");
	return [outcome.code, outcome.details];
};
const leftOver = () => requests.filter((csr) => api.get(type, "", csr.metadata.name) !== undefined);

describe("certificates that somebody behind the Kubernetes API signs", () => {
	test("a workload gets one with its name and key under the configured root, and nothing of the request is left", async () => {
		const plane = await start();
		const keys = await generateKeys();
		const chain = await ask(plane, { keys });
		assert.ok(Array.isArray(chain), String(chain));
		const leaf = new X509Certificate(chain[0] ?? "");
		assert.deepEqual([leaf.subjectAltName, leaf.checkPrivateKey(keys.privateKey), chain.at(-1)], [`URI:${web}`, true, mesh.trustBundlePem]);
		assert.equal(rootsOf(api, "default"), mesh.trustBundlePem);
		const [server, workload] = requests.map(specOf);
		assert.deepEqual([server?.signerName, workload?.signerName, workload?.expirationSeconds], [signerName, signerName, 3600]);
		assert.deepEqual(workload?.usages, ["digital signature", "key encipherment", "server auth", "client auth"]);
		await until("requests are taken away", () => leftOver().length === 0);
	});

	test("the control plane's own certificate has its names, from the same signer", async () => {
		await start();
		const read = decodeNamedCsr(csrPemOf(requests[0] as KubeObject));
		assert.ok(read.ok);
		assert.ok(read.value.names.dnsNames.includes("istiod.istio-system.svc"));
		assert.deepEqual(read.value.names.uris, ["spiffe://cluster.local/ns/istio-system/sa/istiod"]);
	});

	test("a request for any other name never reaches the signer", async () => {
		const plane = await start();
		const before = requests.length;
		const cases: readonly Asked[] = [
			{ uris: ["spiffe://cluster.local/ns/default/sa/admin"] },
			{ uris: [web, "spiffe://cluster.local/ns/default/sa/admin"] },
			{ uris: [] },
			{ dnsNames: ["istiod.istio-system.svc"] },
		];
		for (const asked of cases) {
			const [code, details] = refusalOf(await ask(plane, asked));
			assert.equal(code, status.INVALID_ARGUMENT);
			assert.match(details, /^CSR (must ask for the URI SAN|asks for names beside)/);
		}
		assert.equal(requests.length, before);
	});

	const wrong: readonly (readonly [string, (csr: KubeObject) => Promise<object>, RegExp])[] = [
		["another's root", (csr) => sign(csr, other), /is not issued by any trusted root/],
		["garbage", async () => certificate("hello"), /cannot be read/],
		[
			"a certificate for another key",
			async () => {
				const leaf = await mesh.issueLeaf({
					identity: { trustDomain: "cluster.local", namespace: "default", serviceAccount: "wrong" },
					csrPem: buildCsr({ keys: await generateKeys(), uris: [] }),
					ttlMs: 0,
				});
				assert.ok(leaf.ok);
				return certificate(leaf.value.chainPem.join(""));
			},
			/its public key differs/,
		],
		[
			"a certificate for another name",
			async (csr) => {
				const leaf = await mesh.issueLeaf({
					identity: { trustDomain: "cluster.local", namespace: "default", serviceAccount: "admin" },
					csrPem: csrPemOf(csr),
					ttlMs: 0,
				});
				assert.ok(leaf.ok);
				return certificate(leaf.value.chainPem.join(""));
			},
			/its URI SANs differ/,
		],
		[
			"a denial",
			async () => ({ conditions: [{ type: "Denied", status: "True", reason: "Policy", message: "not here" }] }),
			/the request was denied: Policy: not here/,
		],
		["a failure", async () => ({ conditions: [{ type: "Failed", status: "True", reason: "SigningFailed" }] }), /the request was not signed: SigningFailed/],
	];
	for (const [name, give, reason] of wrong) {
		test(`what a signer gives is held against the request, and refused with the reason: ${name}`, async () => {
			const plane = await start();
			behave = (csr, account) => (account === "wrong" ? give(csr) : sign(csr));
			const [code, details] = refusalOf(await ask(plane, { serviceAccount: "wrong" }));
			assert.equal(code, status.INTERNAL);
			assert.match(details, reason);
			assert.match(details, /^signer signers\.test\/mesh: /);
			await until("requests are taken away", () => leftOver().length === 0);
		});
	}

	test("a signer that never signs is told of after a minute, and whoever asks may come back", async () => {
		// A minute passes in a hundredth.
		const plane = await start({}, { ...systemClock, monotonicMs: () => systemClock.monotonicMs() * 100 });
		behave = async () => undefined;
		const [code, details] = refusalOf(await ask(plane));
		assert.deepEqual([code, details], [status.UNAVAILABLE, "signer signers.test/mesh has not signed within 60 s: is there such a signer?"]);
		await until("the request is taken away", () => leftOver().length === 0);
	});

	test("whoever waits no longer leaves no request behind, though its signer never signs", async () => {
		const plane = await start();
		behave = async () => undefined;
		const asking = ask(plane, { timeoutMs: 300 });
		assert.equal(refusalOf(await asking)[0], status.DEADLINE_EXCEEDED);
		await until("the request is taken away", () => leftOver().length === 0);
		await until("it is told", () => plane.log.some((line) => line.includes("has not signed in the 0 s that the caller waited")));
	});

	test("without the role it says what is missing; without the API it is unavailable", async () => {
		const plane = await start();
		api.forbidden.add(type.plural);
		const [code, details] = refusalOf(await ask(plane));
		assert.equal(code, status.INTERNAL);
		assert.match(details, /is forbidden; the control plane's ClusterRole needs the signer's name \(value global\.certSigners\)/);
	});

	test("a signer by name within the domain, each under its own root; others are refused", async () => {
		putMeshConfig([
			{ pem: mesh.trustBundlePem, certSigners: [signerName] },
			{ pem: other.trustBundlePem, certSigners: ["signers.test/other"] },
		]);
		behave = (csr) => sign(csr, specOf(csr).signerName === "signers.test/other" ? other : mesh);
		const plane = await start({ CERT_SIGNER_DOMAIN: "signers.test" });
		const chain = await ask(plane, { certSigner: "other" });
		assert.ok(Array.isArray(chain), String(chain));
		assert.ok(new X509Certificate(chain[0] ?? "").verify(new X509Certificate(other.trustBundlePem).publicKey));
		assert.equal(chain.at(-1), mesh.trustBundlePem + other.trustBundlePem);
		const [code, details] = refusalOf(await ask(plane, { certSigner: "third" }));
		assert.deepEqual([code, /no root for signer signers\.test\/third/.test(details)], [status.INTERNAL, true]);
		assert.equal(refusalOf(await ask(plane, { certSigner: "../other" }))[0], status.INVALID_ARGUMENT);
	});

	test("other roots in the mesh config are handed out at once", async () => {
		const plane = await start();
		putMeshConfig([{ pem: mesh.trustBundlePem }, { pem: other.trustBundlePem, certSigners: ["x.test/y"] }]);
		await until("both are handed out", () => plane.rootsPem() === mesh.trustBundlePem + other.trustBundlePem);
		putMeshConfig([
			{ pem: mesh.trustBundlePem },
			{ pem: "nonsense" },
			{ spiffeBundleUrl: "http://x" },
			{ pem: other.trustBundlePem, trustDomains: ["elsewhere"] },
		]);
		await until("the one is left", () => plane.rootsPem() === mesh.trustBundlePem);
		assert.ok(plane.log.some((line) => line.includes("caCertificates[1] is left out")));
		assert.ok(plane.log.some((line) => line.includes("spiffeBundleUrl http://x is no HTTPS address")));
	});

	test("it does not start without a root for its signer, and says so", async () => {
		putMeshConfig([{ pem: mesh.trustBundlePem, certSigners: ["x.test/y"] }]);
		await assert.rejects(start(), /server certificate: meshConfig\.caCertificates has no root for signer signers\.test\/mesh/);
	});

	test("the leaf is read back: nothing but what was asked for is in it", async () => {
		const plane = await start();
		const chain = await ask(plane);
		assert.ok(Array.isArray(chain));
		const fields = readCertificate(new X509Certificate(chain[0] ?? ""));
		assert.ok(fields.ok);
		assert.deepEqual([fields.value.uris, fields.value.dnsNames, fields.value.ipAddresses, fields.value.otherNames], [[web], [], [], 0]);
	});
});
