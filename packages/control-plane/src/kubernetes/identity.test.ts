import assert from "node:assert/strict";
import { randomBytes, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { connect } from "node:tls";
import { buildSelfSignedAuthority, createCertificateAuthority, createMemoryKeyStore, issueKeyedLeaf } from "@weft/citadel";
import { buildRootTemplate, encodePrivateKey, encodePublicKey, generateKeys, signCertificate, signSelf } from "@weft/pki";
import { resourceOf, resources } from "@weft/kube";
import { type FakeApiServer, until } from "@weft/kube/testing";
import { type Clock, createLogger, systemClock } from "@weft/runtime";
import { typeUrls } from "@weft/xds";
import { ProxyConfig } from "@weft/xds/generated/istio/mesh/v1alpha1/proxy.ts";
import {
	openAds,
	requestCertificate,
	rootsOf,
	startOver,
	startTestApi,
	startTestControlPlane,
	systemNamespace,
	type TestControlPlane,
	token,
} from "./test-control-plane.ts";

let api: FakeApiServer;
let planes: TestControlPlane[];

beforeEach(async () => {
	api = await startTestApi();
	planes = [];
});

afterEach(async () => {
	await Promise.all(planes.map((plane) => plane.stop()));
	api.close();
});

/** Waits are a hundredth of what they are. */
const hasty: Clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(ms / 100, signal) };

async function start(extra: Readonly<Record<string, string>> = {}, clock = systemClock): Promise<TestControlPlane> {
	const plane = await startTestControlPlane(api, extra, clock);
	planes.push(plane);
	return plane;
}

const podToken = token({ ns: "default", sa: "web", pod: "web-1" });
const encoded = (files: Readonly<Record<string, string>>) => Object.fromEntries(Object.entries(files).map(([k, v]) => [k, Buffer.from(v).toString("base64")]));
const newAuthority = () => buildSelfSignedAuthority({ trustDomain: "cluster.local", keyAlgorithm: "ecdsa-p256", nowMs: Date.now() });
const secret = (name: string, files: Readonly<Record<string, string>>) =>
	api.put(resources.secrets, { metadata: { name, namespace: systemNamespace }, data: encoded(files) });

test("replicas that start together end with one root, and one of them writes it", async () => {
	const three = await Promise.all(["istiod-1", "istiod-2", "istiod-3"].map((POD_NAME) => start({ POD_NAME })));
	await until("roots are handed out", () => rootsOf(api, "default") !== undefined);
	const root = rootsOf(api, "default");
	const stored = api.get(resources.secrets, systemNamespace, "istio-ca-secret")?.["data"] as Readonly<Record<string, string>>;
	assert.equal(Buffer.from(stored["ca-cert.pem"] ?? "", "base64").toString(), root);
	for (const plane of three) {
		const chain = await requestCertificate(plane, podToken);
		assert.ok(Array.isArray(chain), String(chain));
		assert.equal(chain.at(-1), root);
	}
	assert.equal(three.filter(({ log }) => log.some((line) => line.includes("certificate authority created"))).length >= 1, true);
	assert.equal(three.filter(({ log }) => log.some((line) => line.includes("\tleading\t"))).length, 1);
});

test("the root outlives the control plane", async () => {
	const first = await start();
	await until("roots are handed out", () => first.rootsPem() !== "");
	await first.stop();
	const root = rootsOf(api, "default");
	const again = await start();
	const chain = await requestCertificate({ ...again, rootsPem: () => root ?? "" }, podToken);
	assert.ok(Array.isArray(chain), String(chain));
	assert.equal(chain.at(-1), root);
});

test("a plugged-in CA signs, as Istio's four files and as a Secret of cert-manager", async () => {
	const authority = await newAuthority();
	secret("cacerts", { "tls.crt": authority.caCertPem, "tls.key": authority.caKeyPem, "ca.crt": authority.rootCertPem });
	const plane = await start();
	await until("roots are handed out", () => rootsOf(api, "default") === authority.rootCertPem);
	const chain = await requestCertificate(plane, podToken);
	assert.ok(Array.isArray(chain) && chain.at(-1) === authority.rootCertPem, String(chain));
	assert.equal(api.get(resources.secrets, systemNamespace, "istio-ca-secret"), undefined);
});

test("the mounted directory comes before the Secret", async () => {
	const directory = mkdtempSync(join(tmpdir(), "weft-cacerts-"));
	try {
		const authority = await newAuthority();
		for (const [name, text] of [
			["ca-cert.pem", authority.caCertPem],
			["ca-key.pem", authority.caKeyPem],
			["root-cert.pem", authority.rootCertPem],
		] as const)
			writeFileSync(join(directory, name), text);
		secret("cacerts", { "ca-cert.pem": "not looked at" });
		await start({ ROOT_CA_DIR: directory });
		await until("roots are handed out", () => rootsOf(api, "default") === authority.rootCertPem);
	} finally {
		rmSync(directory, { recursive: true });
	}
});

/** A root, and how it makes intermediates. */
async function newRoot() {
	const make = async (commonName: string) => {
		const keys = await generateKeys("ecdsa-p256");
		const template = buildRootTemplate({
			trustDomain: commonName,
			publicKeyDer: encodePublicKey(keys.publicKey),
			serialNumber: randomBytes(16),
			nowMs: Date.now(),
		});
		return { keys, template };
	};
	const { keys, template } = await make("root");
	const pem = signSelf(template, keys.privateKey);
	return {
		pem,
		async intermediate(name: string) {
			const made = await make(name);
			const certificate = signCertificate(made.template, { certificate: new X509Certificate(pem), privateKey: keys.privateKey });
			return { "ca-cert.pem": certificate, "ca-key.pem": encodePrivateKey(made.keys.privateKey), "cert-chain.pem": certificate + pem, "root-cert.pem": pem };
		},
	};
}

test("another intermediate under the same root signs without a restart; another root is refused and told", async () => {
	const root = await newRoot();
	const [first, second] = [await root.intermediate("first"), await root.intermediate("second")];
	secret("cacerts", first);
	const plane = await start({}, hasty);
	await until("roots are handed out", () => plane.rootsPem() !== "");
	const signer = async () => {
		const chain = await requestCertificate(plane, podToken);
		return Array.isArray(chain) ? String(chain[1]) : String(chain);
	};
	assert.equal(await signer(), first["ca-cert.pem"]);
	secret("cacerts", second);
	await until("the second signs", async () => (await signer()) === second["ca-cert.pem"]);
	await until("its own certificate, too", () => plane.log.some((line) => line.includes("server certificate rotated")));
	secret("cacerts", await (await newRoot()).intermediate("third"));
	await until("the refusal is told", () => plane.log.some((line) => line.includes("the new CA certificate is not taken") && line.includes("other roots")));
	assert.equal(await signer(), second["ca-cert.pem"]);
	secret("cacerts", { ...first, "ca-key.pem": second["ca-key.pem"] });
	await until("the mismatch is told", () => plane.log.some((line) => line.includes("ca-key.pem is not the key of ca-cert.pem")));
	assert.equal(await signer(), second["ca-cert.pem"]);
});

describe("a CA that is damaged stops the start with the name of what is wrong", () => {
	const cases: readonly { readonly name: string; readonly files: Readonly<Record<string, string>>; readonly reason: RegExp }[] = [
		{ name: "no key", files: { "ca-cert.pem": "x" }, reason: /Secret istio-system\/cacerts has no ca-key\.pem/ },
		{ name: "no PEM", files: { "ca-cert.pem": "x", "ca-key.pem": "x", "root-cert.pem": "x" }, reason: /ca-cert\.pem/ },
	];
	for (const { name, files, reason } of cases) {
		test(name, async () => {
			secret("cacerts", files);
			await assert.rejects(start(), reason);
		});
	}
});

test("a Secret that may not be read stops the start, and says so", async () => {
	api.forbidden.add("secrets");
	await assert.rejects(start(), /secrets is forbidden/);
});

test("the control plane's certificate is good for every name that it has", async () => {
	const plane = await start({ REVISION: "canary", ISTIOD_CUSTOM_HOST: "mesh.example.com" });
	await until("roots are handed out", () => plane.rootsPem() !== "");
	for (const address of [plane.secureAddress, plane.webhookAddress]) {
		for (const servername of ["istiod.istio-system.svc", "istiod-canary.istio-system.svc", "istiod.istio-system.svc.cluster.local", "mesh.example.com"]) {
			const socket = connect({
				host: "127.0.0.1",
				port: Number(address.split(":").at(-1)),
				servername,
				ca: plane.rootsPem(),
				ALPNProtocols: ["h2", "http/1.1"],
			});
			await new Promise<void>((resolve, reject) => {
				socket.once("secureConnect", resolve);
				socket.once("error", reject);
			});
			assert.equal(socket.authorized, true);
			socket.destroy();
		}
	}
});

test("it waits for an API server that is away, is not ready meanwhile, and starts when it comes", async () => {
	api.away = true;
	const starting = start();
	await new Promise((resolve) => setTimeout(resolve, 300));
	api.away = false;
	await starting;
	await until("roots are handed out", () => rootsOf(api, "default") !== undefined);
});

test("kinds without CRD are told of, and waited for", async () => {
	api.missing.add("virtualservices");
	const plane = await start();
	assert.ok(plane.log.some((line) => line.includes("no such kind") && line.includes("virtualservices")));
	assert.match(await (await fetch(`http://${plane.readyAddress}/ready`)).text(), /^ready|waiting for (?!VirtualService)/);
});

test("no proxy is served with half a mesh: services that may not be read keep it from starting", async () => {
	api.forbidden.add("services");
	let isStarted = false;
	const starting = start({}, hasty).then(() => {
		isStarted = true;
	});
	await new Promise((resolve) => setTimeout(resolve, 500));
	assert.equal(isStarted, false);
	api.forbidden.clear();
	api.put(resourceOf("Service"), { metadata: { name: "web", namespace: "default" }, spec: { ports: [{ port: 80 }] } });
	await starting;
});

test("issued leaves carry the lifetimes of the environment", async () => {
	const plane = await start({ DEFAULT_WORKLOAD_CERT_TTL: "30m", MAX_WORKLOAD_CERT_TTL: "1h" });
	await until("roots are handed out", () => plane.rootsPem() !== "");
	const chain = await requestCertificate(plane, podToken);
	assert.ok(Array.isArray(chain), String(chain));
	const leaf = new X509Certificate(chain[0]);
	assert.ok(leaf.validToDate.getTime() - Date.now() <= 3_600_000);
});

test("a root rotation in a cluster: asked for on the Secret, both replicas follow, and workloads find both roots before the new one signs", async () => {
	const planes2 = [await start({ POD_NAME: "istiod-1" }, hasty), await start({ POD_NAME: "istiod-2" }, hasty)];
	await until("roots are handed out", () => rootsOf(api, "default") !== undefined);
	const first = rootsOf(api, "default") ?? "";
	const before = api.get(resources.secrets, systemNamespace, "istio-ca-secret");
	assert.ok(before);
	await api.client.patch(resources.secrets, systemNamespace, "istio-ca-secret", "merge", { metadata: { annotations: { "weft.dev/rotate-root": "now" } } });
	await until("both roots are handed out", () => (rootsOf(api, "default") ?? "").split("BEGIN").length === 3);
	assert.ok((rootsOf(api, "default") ?? "").includes(first.trim()));
	assert.equal(
		api.get(resources.secrets, systemNamespace, "istio-ca-secret")?.metadata.annotations?.["weft.dev/rotate-root"],
		undefined,
		"asked once, done once",
	);
	for (const plane of planes2) {
		const shown = (await (await fetch(`http://${plane.httpAddress}/debug/ca`)).json()) as { phase: string; roots: readonly { slot: string }[] };
		await until("the replica has taken it up", () => plane.log.some((line) => line.includes("newRoots=true")) || shown.phase === "distribute");
		const chain = await requestCertificate(plane, podToken);
		assert.ok(Array.isArray(chain) && new X509Certificate(chain[0]).verify(new X509Certificate(first).publicKey), "the old root still signs");
	}
});

test("with ISTIO_MULTIROOT_MESH a plugged-in CA under another root is rotated in: its root is handed out first", async () => {
	const [old, fresh] = [await (await newRoot()).intermediate("old"), await (await newRoot()).intermediate("fresh")];
	secret("cacerts", old);
	const plane = await start({ ISTIO_MULTIROOT_MESH: "true" }, hasty);
	await until("roots are handed out", () => plane.rootsPem() !== "");
	secret("cacerts", fresh);
	await until(
		"both roots are handed out",
		() => plane.rootsPem().includes(old["root-cert.pem"].trim()) && plane.rootsPem().includes(fresh["root-cert.pem"].trim()),
	);
	const chain = await requestCertificate(plane, podToken);
	assert.ok(Array.isArray(chain) && chain[1] === old["ca-cert.pem"], "the old one still signs");
});

describe("roots of meshConfig.caCertificates", () => {
	const putMesh = (...pems: readonly string[]) => {
		const mesh = JSON.stringify({ caCertificates: pems.map((pem) => ({ pem })) });
		api.put(resources.configMaps, { metadata: { name: "istio", namespace: systemNamespace }, data: { mesh } });
	};
	const handedOut = (plane: TestControlPlane) => {
		const ads = openAds(plane, { token: podToken, namespace: "default", serviceAccount: "web", typeUrl: typeUrls.pcds });
		const latest = () => ads.responses.at(-1)?.resources.flatMap(({ value }) => [...ProxyConfig.decode(value).caCertificatesPem]);
		return { latest, close: () => ads.close() };
	};

	test("with ISTIO_MULTIROOT_MESH workloads trust them beside the mesh's own, and follow; the control plane itself does not", async () => {
		const [first, second] = [(await newAuthority()).rootCertPem, (await newAuthority()).rootCertPem];
		putMesh(first);
		const plane = await start({ ISTIO_MULTIROOT_MESH: "true" });
		await until("roots are handed out", () => plane.rootsPem() !== "");
		const own = plane.rootsPem();
		const pcds = handedOut(plane);
		await until("both are there", () => pcds.latest() !== undefined);
		assert.deepEqual(pcds.latest(), [own, first]);
		putMesh(second, first);
		await until("the change is there", () => pcds.latest()?.length === 3);
		assert.deepEqual(pcds.latest(), [own, second, first]);
		putMesh();
		await until("they are gone", () => pcds.latest()?.length === 1);
		pcds.close();
		assert.equal(plane.rootsPem(), own, "what namespaces and webhooks find is the mesh's own");
		const chain = await requestCertificate(plane, podToken);
		assert.ok(Array.isArray(chain) && chain.at(-1) === own);
	});

	test("without it they count for nothing, and that is told", async () => {
		putMesh((await newAuthority()).rootCertPem);
		const plane = await start();
		await until("roots are handed out", () => plane.rootsPem() !== "");
		const pcds = handedOut(plane);
		await until("there is an answer", () => pcds.latest() !== undefined);
		assert.deepEqual(pcds.latest(), [plane.rootsPem()]);
		pcds.close();
		assert.ok(plane.log.some((line) => line.includes("caCertificates counts with ISTIO_MULTIROOT_MESH=true alone")));
	});
});

test("ENABLE_CA_SERVER=false: the certificate is another authority's, read again when it changes; none are given out, and no roots written", async () => {
	const directory = mkdtempSync(join(tmpdir(), "weft-istiod-tls-"));
	try {
		const foreign = await createCertificateAuthority({
			store: createMemoryKeyStore(await newAuthority()),
			clock: systemClock,
			logger: createLogger({ level: "none" }),
		});
		const identity = { trustDomain: "cluster.local", namespace: systemNamespace, serviceAccount: "istiod" };
		const renew = async () => {
			const leaf = await issueKeyedLeaf(foreign, { identity, ttlMs: 3_600_000, dnsNames: ["istiod.istio-system.svc"] });
			assert.ok(leaf.ok);
			writeFileSync(join(directory, "tls.crt"), leaf.value.chainPem.join(""));
			writeFileSync(join(directory, "tls.key"), leaf.value.privateKeyPem);
			return leaf.value.serialNumber;
		};
		const files = { tlsCertFile: join(directory, "tls.crt"), tlsKeyFile: join(directory, "tls.key"), caCertFile: join(directory, "root-cert.pem") };
		const starting = startOver(api.client, { ENABLE_CA_SERVER: "false" }, hasty, files);
		// Mounted when they come; what starts waits for them.
		const first = await renew();
		await systemClock.sleep(50);
		writeFileSync(files.caCertFile, foreign.trustBundlePem);
		const started = await starting;
		const plane = { ...started, rootsPem: () => foreign.trustBundlePem };
		planes.push(plane);
		const shown = () =>
			new Promise<string>((resolve, reject) => {
				const port = Number(plane.secureAddress.split(":").at(-1));
				const socket = connect({ host: "127.0.0.1", port, servername: "istiod.istio-system.svc", ca: plane.rootsPem(), ALPNProtocols: ["h2"] }, () => {
					resolve(socket.getPeerX509Certificate()?.serialNumber ?? "");
					socket.destroy();
				});
				socket.on("error", reject);
			});
		assert.equal(await shown(), first);
		assert.match(String(await requestCertificate(plane, podToken)), /UNIMPLEMENTED|does not implement/i);
		assert.equal((await fetch(`http://${plane.httpAddress}/debug/ca`)).status, 404);
		assert.equal(rootsOf(api, "default"), undefined);
		const second = await renew();
		await until("the new certificate is shown", async () => (await shown()) === second);
		writeFileSync(files.tlsKeyFile, "half a file");
		await until("the damage is told", () => plane.log.some((line) => line.includes("the present one stays")));
		assert.equal(await shown(), second);
		// A root that comes beside the first: proxies are told at once.
		await renew();
		const pcds = openAds(plane, { token: podToken, namespace: "default", serviceAccount: "web", typeUrl: typeUrls.pcds });
		const latest = () => pcds.responses.at(-1)?.resources.flatMap(({ value }) => [...ProxyConfig.decode(value).caCertificatesPem]);
		await until("proxies know the root", () => latest()?.length === 1);
		const fresh = (await newAuthority()).rootCertPem;
		writeFileSync(files.caCertFile, foreign.trustBundlePem + fresh);
		await until("proxies know both", () => latest()?.length === 2);
		assert.deepEqual(latest(), [foreign.trustBundlePem, fresh]);
		pcds.close();
	} finally {
		rmSync(directory, { recursive: true });
	}
});

test("revocation lists of a plugged-in CA are handed out, with each change; what is none is refused", async () => {
	const crlOf = (namespace: string) =>
		(api.get(resources.configMaps, namespace, "istio-ca-crl")?.["data"] as Readonly<Record<string, string>> | undefined)?.["ca-crl.pem"];
	const list = (name: string) => `-----BEGIN X509 CRL-----\n${Buffer.from(name).toString("base64")}\n-----END X509 CRL-----\n`;
	const authority = await newAuthority();
	const files = { "ca-cert.pem": authority.caCertPem, "ca-key.pem": authority.caKeyPem, "root-cert.pem": authority.rootCertPem };
	secret("cacerts", { ...files, "ca-crl.pem": list("first") });
	const plane = await start({}, hasty);
	await until("the list is handed out", () => crlOf("default") === list("first"));
	secret("cacerts", { ...files, "ca-crl.pem": list("second") });
	await until("the new list is handed out", () => crlOf("default") === list("second"));
	secret("cacerts", { ...files, "ca-crl.pem": "hello" });
	await until("the refusal is told", () => plane.log.some((line) => line.includes("ca-crl.pem: no PEM block X509 CRL")));
	assert.equal(crlOf("default"), list("second"));
});
