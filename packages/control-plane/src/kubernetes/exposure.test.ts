import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, afterEach, before, describe, test } from "node:test";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { buildSelfSignedAuthority, createCertificateAuthority, createMemoryKeyStore, issueKeyedLeaf } from "@weft/citadel";
import { resourceOf } from "@weft/kube";
import { type FakeApiServer, until } from "@weft/kube/testing";
import { buildCsr, buildLeafTemplate, encodePrivateKey, encodePublicKey, generateKeys, signSelf } from "@weft/pki";
import { createLogger, systemClock } from "@weft/runtime";
import { healthTypeUrl, typeUrls } from "@weft/xds";
import { DiscoveryRequest, DiscoveryResponse } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { IstioCertificateRequest, IstioCertificateResponse } from "@weft/xds/generated/istio/v1/auth/ca.ts";
import { serverName, service, startTestApi, startTestControlPlane, systemNamespace, type TestControlPlane, token } from "./test-control-plane.ts";

// What the control plane tells to whom, over its gRPC port. Its HTTP port: http-server.test.ts.

let api: FakeApiServer;
let plane: TestControlPlane;
const clients: Client[] = [];

before(async () => {
	api = await startTestApi();
	api.put(resourceOf("Service"), service("web"));
	plane = await startTestControlPlane(api);
	await until("roots are handed out", () => plane.rootsPem() !== "");
});
afterEach(() => {
	for (const client of clients.splice(0)) client.close();
});
after(async () => {
	await plane.stop();
	api.close();
});

interface Keys {
	readonly key: string;
	readonly chain: string;
}

function connect(keys?: Keys): Client {
	const [key, chain] = keys ? [Buffer.from(keys.key), Buffer.from(keys.chain)] : [null, null];
	const client = new Client(plane.secureAddress, credentials.createSsl(Buffer.from(plane.rootsPem()), key, chain), {
		"grpc.ssl_target_name_override": serverName,
		"grpc.enable_retries": 0,
	});
	clients.push(client);
	return client;
}

interface Question {
	readonly keys?: Keys;
	readonly token?: string;
	/** Of the node. */
	readonly namespace: string;
	readonly serviceAccount: string;
	readonly typeUrl: string;
	readonly names?: readonly string[];
	readonly delta?: boolean;
}

/** How a stream ended, or what it answered first. */
async function ask({ keys, token: bearer, namespace, serviceAccount, typeUrl, names = [] }: Question): Promise<DiscoveryResponse | ServiceError> {
	const metadata = new Metadata();
	if (bearer !== undefined) metadata.set("authorization", `Bearer ${bearer}`);
	const stream = connect(keys).makeBidiStreamRequest(
		"/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
		(message: object) => Buffer.from(DiscoveryRequest.encode(DiscoveryRequest.fromPartial(message)).finish()),
		(bytes: Buffer) => DiscoveryResponse.decode(bytes),
		metadata,
	);
	const id = `sidecar~10.0.0.1~web-1.${namespace}~${namespace}.svc.cluster.local`;
	const node = { id, metadata: { NAMESPACE: namespace, SERVICE_ACCOUNT: serviceAccount, NAME: "web-1", CLUSTER_ID: "Kubernetes", INSTANCE_IPS: "10.0.0.1" } };
	try {
		return await new Promise((resolve) => {
			stream.on("data", resolve);
			stream.on("error", resolve);
			stream.write({ node, typeUrl, resourceNames: names });
		});
	} finally {
		stream.cancel();
	}
}

async function requestCertificate(keys: Keys, bearer?: string): Promise<readonly string[] | ServiceError> {
	const metadata = new Metadata();
	if (bearer !== undefined) metadata.set("authorization", `Bearer ${bearer}`);
	const csr = buildCsr({ keys: await generateKeys(), uris: [] });
	return new Promise((resolve) => {
		connect(keys).makeUnaryRequest(
			"/istio.v1.auth.IstioCertificateService/CreateCertificate",
			(message: IstioCertificateRequest) => Buffer.from(IstioCertificateRequest.encode(message).finish()),
			(bytes: Buffer) => IstioCertificateResponse.decode(bytes),
			IstioCertificateRequest.fromPartial({ csr }),
			metadata,
			(error, response) => resolve(error ?? response?.certChain ?? []),
		);
	});
}

const codeOf = (outcome: object): number | undefined => (outcome instanceof Error ? (outcome as ServiceError).code : undefined);
const refusals: readonly (number | undefined)[] = [status.UNAUTHENTICATED, status.PERMISSION_DENIED];
const istiod = { trustDomain: "cluster.local", namespace: systemNamespace, serviceAccount: "istiod" };

/** Certificates that say istiod, under nobody whom the mesh trusts. */
async function forged(): Promise<Readonly<Record<string, Keys>>> {
	const keys = await generateKeys();
	const template = buildLeafTemplate({
		subjectAltNames: { uris: [`spiffe://cluster.local/ns/${systemNamespace}/sa/istiod`], dnsNames: [], ipAddresses: [] },
		publicKeyDer: encodePublicKey(keys.publicKey),
		serialNumber: randomBytes(16),
		nowMs: Date.now(),
		ttlMs: 3_600_000,
		signerNotAfterMs: Date.now() + 86_400_000,
	});
	assert.ok(template.ok);
	const pem = await buildSelfSignedAuthority({ trustDomain: "cluster.local", keyAlgorithm: "ecdsa-p256", nowMs: Date.now() });
	const stranger = await createCertificateAuthority({ store: createMemoryKeyStore(pem), clock: systemClock, logger: createLogger({ level: "none" }) });
	const leaf = await issueKeyedLeaf(stranger, { identity: istiod, ttlMs: 0 });
	assert.ok(leaf.ok);
	return {
		"self-signed": { key: encodePrivateKey(keys.privateKey), chain: signSelf(template.value, keys.privateKey) },
		"of a stranger's root": { key: leaf.value.privateKeyPem, chain: leaf.value.chainPem.join("") },
		"with the stranger's root in its chain": { key: leaf.value.privateKeyPem, chain: leaf.value.chainPem.join("") + pem.rootCertPem },
	};
}

describe("sec/d32: a client certificate that nobody verified is no identity", () => {
	test("sec/d32: neither a certificate nor configuration nor an answer about the mesh for it", async () => {
		for (const [name, keys] of Object.entries(await forged())) {
			const certificate = await requestCertificate(keys);
			// TLS may have refused it before anybody was asked.
			assert.ok([...refusals, status.UNAVAILABLE].includes(codeOf(certificate)), `${name}: ${String(certificate)}`);
			for (const typeUrl of [typeUrls.cds, typeUrls.sds, "istio.io/debug/syncz", "istio.io/connections"]) {
				const outcome = await ask({ keys, namespace: systemNamespace, serviceAccount: "istiod", typeUrl });
				assert.ok([...refusals, status.UNAVAILABLE].includes(codeOf(outcome)), `${name}: ${typeUrl}: ${String(outcome)}`);
			}
		}
	});

	test("sec/d32: beside a good token the token alone counts", async () => {
		const good = token({ ns: "default", sa: "web", pod: "web-1" });
		for (const [name, keys] of Object.entries(await forged())) {
			const outcome = await ask({ keys, token: good, namespace: systemNamespace, serviceAccount: "istiod", typeUrl: typeUrls.cds });
			assert.ok([...refusals, status.UNAVAILABLE].includes(codeOf(outcome)), `${name}: ${String(outcome)}`);
		}
	});
});

describe("sec/d33: a node is who its credentials say", () => {
	const cases: readonly (readonly [string, string, string])[] = [
		["another namespace", "other", "web"],
		["another service account", "default", "admin"],
		["the control plane", systemNamespace, "istiod"],
	];
	for (const [name, namespace, serviceAccount] of cases) {
		test(`sec/d33: ${name} is refused, for every type`, async () => {
			for (const typeUrl of Object.values(typeUrls)) {
				const outcome = await ask({ token: token({ ns: "default", sa: "web", pod: "web-1" }), namespace, serviceAccount, typeUrl });
				assert.equal(codeOf(outcome), status.PERMISSION_DENIED, `${typeUrl}: ${String(outcome)}`);
			}
		});
	}
	test("sec/d33: its own is served", async () => {
		const outcome = await ask({ token: token({ ns: "default", sa: "web", pod: "web-1" }), namespace: "default", serviceAccount: "web", typeUrl: typeUrls.cds });
		assert.equal(codeOf(outcome), undefined, String(outcome));
	});
});

describe("sec/f53: nobody is told anything without an identity, and nothing of other namespaces", () => {
	const debugTypes = ["istio.io/debug/syncz", "istio.io/debug/config_dump", "istio.io/debug", "istio.io/connections", "api", "unknown/type", healthTypeUrl];

	test("sec/f53: every type of resource and question, anonymous, with a bad token, and with one for another audience", async () => {
		const bearers = [undefined, "nonsense", token({ ns: systemNamespace, sa: "default", aud: "kubernetes.default" })];
		for (const bearer of bearers) {
			for (const typeUrl of [...Object.values(typeUrls), ...debugTypes]) {
				const outcome = await ask({
					...(bearer !== undefined && { token: bearer }),
					namespace: "default",
					serviceAccount: "web",
					typeUrl,
					names: ["web-1.default"],
				});
				assert.ok(refusals.includes(codeOf(outcome)), `${typeUrl}: ${codeOf(outcome)} ${outcome instanceof Error ? outcome.message : "was answered"}`);
			}
		}
	});

	test("sec/f53: of one namespace about another there is nothing in any answer", async () => {
		// Somebody of the other namespace is connected meanwhile.
		const metadata = new Metadata();
		metadata.set("authorization", `Bearer ${token({ ns: "default", sa: "web", pod: "web-1" })}`);
		const connected = connect().makeBidiStreamRequest(
			"/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
			(message: object) => Buffer.from(DiscoveryRequest.encode(DiscoveryRequest.fromPartial(message)).finish()),
			(bytes: Buffer) => DiscoveryResponse.decode(bytes),
			metadata,
		);
		connected.on("error", () => undefined);
		const node = { id: "sidecar~10.0.0.1~web-1.default~default.svc.cluster.local", metadata: { NAMESPACE: "default", SERVICE_ACCOUNT: "web" } };
		const served = new Promise((resolve) => connected.once("data", resolve));
		connected.write({ node, typeUrl: typeUrls.cds });
		await served;
		const spy = { token: token({ ns: "other", sa: "spy", pod: "spy-1" }), namespace: "other", serviceAccount: "spy" };
		for (const [typeUrl, names] of [
			["istio.io/debug/syncz", []],
			["istio.io/debug/config_dump", ["web-1.default"]],
			["istio.io/connections", []],
		] as const) {
			const outcome = await ask({ ...spy, typeUrl, names });
			assert.ok(!(outcome instanceof Error), String(outcome));
			const text = outcome.resources.map(({ value }) => Buffer.from(value).toString("latin1")).join("\n");
			assert.doesNotMatch(text, /web-1\.default/, typeUrl);
		}
		connected.cancel();
	});
});
