import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { afterEach, before, beforeEach, describe, test } from "node:test";
import type { MeshConfig } from "@weft/api";
import { buildSelfSignedAuthority, createCertificateAuthority, createMemoryKeyStore, issueKeyedLeaf } from "@weft/citadel";
import { resources } from "@weft/kube";
import { type FakeApiServer, startFakeApiServer, until } from "@weft/kube/testing";
import { type Clock, createLogger, systemClock } from "@weft/runtime";
import { createJwksTransport } from "../jwks-transport.ts";
import { bundleKey, createKeptBundles } from "./kept-bundles.ts";
import { createMeshRoots, type MeshRoots } from "./mesh-roots.ts";

type Entry = NonNullable<MeshConfig["caCertificates"]>[number];

let roots: readonly string[];
let stopping: AbortController;
let log: string[];
let config: MeshConfig;
let listeners: Set<() => void>;
/** How long each wait was wanted, and how to end the present one of an address. */
let waits: { readonly ms: number; readonly end: () => void }[];
let answers: Map<string, () => string>;
let asked: string[];
let api: FakeApiServer;

const newRoot = async () => (await buildSelfSignedAuthority({ trustDomain: "cluster.local", keyAlgorithm: "ecdsa-p256", nowMs: Date.now() })).rootCertPem;
const [a, b, c] = [0, 1, 2].map((i) => () => roots[i] ?? "") as [() => string, () => string, () => string];

before(async () => {
	roots = await Promise.all([newRoot(), newRoot(), newRoot()]);
});

beforeEach(async () => {
	api = await startFakeApiServer();
	stopping = new AbortController();
	log = [];
	config = {};
	listeners = new Set();
	waits = [];
	answers = new Map();
	asked = [];
});

afterEach(() => {
	stopping.abort();
	api.close();
});

/** Sleeps until the test says so. */
const clock: Clock = {
	...systemClock,
	sleep: (ms, signal) =>
		new Promise((resolve) => {
			waits.push({ ms, end: resolve });
			signal?.addEventListener("abort", () => resolve(), { once: true });
		}),
};

async function fetchText(url: string): Promise<string> {
	asked.push(url);
	const answer = answers.get(url);
	if (answer === undefined) throw new Error("status 404");
	return answer();
}

function start(caCertificates: readonly Entry[], hasSigners = false): Promise<MeshRoots> {
	config = { trustDomainAliases: ["old.test"], caCertificates };
	const onChanged = (listener: () => void) => {
		listeners.add(listener);
		return () => void listeners.delete(listener);
	};
	const logger = createLogger({ write: (line) => log.push(line) });
	const mesh = { current: () => config, onChanged };
	const kept = createKeptBundles(api.client, "istio-system", "weft-spiffe-bundles");
	return createMeshRoots({ mesh, trustDomain: "cluster.local", hasSigners, fetchText, kept, clock, random: () => 0, logger, signal: stopping.signal });
}

function change(caCertificates: readonly Entry[]): void {
	config = { ...config, caCertificates };
	for (const listener of listeners) listener();
}

function bundleOf(pems: readonly string[], more: object = {}): string {
	const keys = pems.map((pem) => {
		const certificate = new X509Certificate(pem);
		return { ...certificate.publicKey.export({ format: "jwk" }), use: "x509-svid", x5c: [certificate.raw.toString("base64")] };
	});
	return JSON.stringify({ keys, ...more });
}

const told = (text: string) => log.some((line) => line.includes(text));

describe("roots of the mesh config", () => {
	test("as PEM, each once and in their order; what cannot be read is left out by name", async () => {
		const mesh = await start([{ pem: b() + a() }, { pem: "nonsense" }, { pem: a() }, {}, { spiffeBundleUrl: "http://plain.test/b" }]);
		assert.equal(mesh.pem(), b() + a());
		assert.ok(told("caCertificates[1] is left out"));
		assert.ok(told("caCertificates[3] is left out") && told("neither pem nor spiffeBundleUrl"));
		assert.ok(told("caCertificates[4] is left out") && told("no HTTPS address"));
		assert.deepEqual(asked, []);
	});

	test("for the own trust domain or an alias of it; others are left out and told", async () => {
		const mesh = await start([
			{ pem: a(), trustDomains: ["cluster.local"] },
			{ pem: b(), trustDomains: ["x.test", "old.test"] },
			{ pem: c(), trustDomains: ["x.test"] },
		]);
		assert.equal(mesh.pem(), a() + b());
		assert.ok(told("for trust domain x.test and not for cluster.local"));
	});

	test("of signers: for those, where there are signers; else for all, with a word", async () => {
		const entries = [{ pem: a(), certSigners: ["s/one"] }, { pem: b(), certSigners: ["s/two"] }, { pem: c() }];
		const signed = await start(entries, true);
		assert.deepEqual([signed.rootsOf("s/one"), signed.rootsOf("s/two"), signed.rootsOf("s/x")], [a() + c(), b() + c(), c()]);
		assert.equal(told("certSigners means nothing"), false);
		assert.equal((await start(entries)).pem(), a() + b() + c());
		assert.ok(told("caCertificates[0]: certSigners means nothing without EXTERNAL_CA"));
	});

	test("more than a bundle may hold: the first of them", async () => {
		const many = await Promise.all(Array.from({ length: 66 }, newRoot));
		const mesh = await start(many.map((pem) => ({ pem })));
		assert.equal(mesh.pem(), many.slice(0, 64).join(""));
		assert.ok(told("leftOut=2"));
	});
});

describe("SPIFFE bundles at an address", () => {
	const url = "https://bundle.test/";

	test("are asked for before anything is handed out, again after a while, and the last good answer stays", async () => {
		let answer = bundleOf([a()]);
		answers.set(url, () => answer);
		let changes = 0;
		const mesh = await start([{ pem: c() }, { spiffeBundleUrl: url }]);
		mesh.onChanged(() => void changes++);
		assert.equal(mesh.pem(), c() + a());
		assert.deepEqual([asked, waits.map(({ ms }) => ms)], [[url], [30 * 60_000]]);

		answer = bundleOf([a(), b()], { spiffe_refresh_hint: 300 });
		waits[0]?.end();
		await until("the new one is there", () => waits.length === 2);
		assert.deepEqual([mesh.pem(), changes, waits[1]?.ms], [c() + a() + b(), 1, 300_000]);

		for (const [i, bad] of ["{}", "<html>", bundleOf([])].entries()) {
			answer = bad;
			waits[i + 1]?.end();
			await until("it was asked", () => waits.length === i + 3);
		}
		assert.equal(mesh.pem(), c() + a() + b());
		assert.ok(told("SPIFFE bundle not fetched; its last roots stay"));
		assert.equal(changes, 1);

		answer = bundleOf([b()], { spiffe_refresh_hint: 1 });
		waits.at(-1)?.end();
		await until("it is good again", () => mesh.pem() === c() + b());
		await until("it waits", () => waits.length === 6);
		assert.equal(waits.at(-1)?.ms, 60_000, "no bundle is asked for more than once a minute");
	});

	test("that cannot be fetched hold nobody up, and are asked for again ever less often", async () => {
		const mesh = await start([{ pem: c() }, { spiffeBundleUrl: "bundle.test" }]);
		assert.equal(mesh.pem(), c());
		assert.deepEqual(asked, [url], "without a scheme it is HTTPS");
		assert.ok(told("SPIFFE bundle not fetched; there are no roots of it yet") && told("status 404"));
		for (let i = 0; i < 10; i++) {
			waits.at(-1)?.end();
			await until("it was asked", () => waits.length === i + 2);
		}
		assert.equal(log.filter((line) => line.includes("not fetched")).length, 1, "the same reason is told once");
		assert.ok(waits.every(({ ms }) => ms >= 1_000 && ms <= 300_000));
	});

	test("come and go with the mesh config", async () => {
		answers.set(url, () => bundleOf([a()]));
		answers.set("https://other.test/", () => bundleOf([b()]));
		const mesh = await start([{ spiffeBundleUrl: url }]);
		change([{ spiffeBundleUrl: "https://other.test/" }, { spiffeBundleUrl: url }]);
		await until("both are there", () => mesh.pem() === b() + a());
		change([{ spiffeBundleUrl: "https://other.test/" }]);
		assert.equal(mesh.pem(), b());
		const before = asked.length;
		for (const wait of waits) wait.end();
		await until("the other is asked again", () => asked.length > before);
		assert.deepEqual(asked.slice(before), ["https://other.test/"], "what is not named is not asked any more");
		change([]);
		assert.equal(mesh.pem(), "");
	});

	test("are sixteen at most", async () => {
		const urls = Array.from({ length: 18 }, (_, i) => `https://b${i}.test/`);
		for (const each of urls) answers.set(each, () => bundleOf([a()]));
		await start(urls.map((spiffeBundleUrl) => ({ spiffeBundleUrl })));
		assert.deepEqual(asked, urls.slice(0, 16));
		assert.ok(told("caCertificates[16] is left out") && told("more than 16 bundles"));
	});
});

describe("SPIFFE bundles of an earlier run", () => {
	const url = "https://bundle.test/";
	const other = "https://other.test/";
	const keptPems = () => (api.get(resources.configMaps, "istio-system", "weft-spiffe-bundles")?.["data"] ?? {}) as Readonly<Record<string, string>>;
	const restart = async (caCertificates: readonly Entry[]) => {
		stopping.abort();
		stopping = new AbortController();
		answers.clear();
		return start(caCertificates);
	};

	test("count while their address is away, and no longer", async () => {
		answers.set(url, () => bundleOf([a(), b()]));
		await start([{ spiffeBundleUrl: url }]);
		assert.deepEqual(keptPems(), { [bundleKey(url)]: a() + b() });
		const mesh = await restart([{ pem: c() }, { spiffeBundleUrl: url }]);
		assert.equal(mesh.pem(), c() + a() + b());
		assert.ok(told("the one that was fetched last counts until its address answers"));
		answers.set(url, () => bundleOf([b()]));
		waits.at(-1)?.end();
		await until("the address counts again", () => mesh.pem() === c() + b() && keptPems()[bundleKey(url)] === b());
	});

	test("of other addresses count for nothing, and are kept no longer", async () => {
		answers.set(url, () => bundleOf([a()]));
		answers.set(other, () => bundleOf([b()]));
		await start([{ spiffeBundleUrl: url }, { spiffeBundleUrl: other }]);
		const mesh = await restart([{ spiffeBundleUrl: other }]);
		assert.equal(mesh.pem(), b());
		await until("the other is gone", () => Object.keys(keptPems()).join() === bundleKey(other));
	});

	test("that are damaged, or cannot be read or written, hold nobody up, and that is told", async () => {
		api.put(resources.configMaps, { metadata: { name: "weft-spiffe-bundles", namespace: "istio-system" }, data: { [bundleKey(url)]: "hello" } });
		assert.equal((await start([{ pem: c() }, { spiffeBundleUrl: url }])).pem(), c());
		assert.ok(told("no kept SPIFFE bundle can be read") && told("there are no roots of it yet"));
		api.forbidden.add("configmaps");
		answers.set(url, () => bundleOf([a()]));
		waits.at(-1)?.end();
		await until("it is told", () => told("SPIFFE bundle is not kept"));
		api.forbidden.delete("configmaps");
		waits.at(-1)?.end();
		await until("it is kept with the next answer", () => keptPems()[bundleKey(url)] === a());
	});
});

test("a SPIFFE bundle comes over HTTPS under a certificate that is trusted, from no address of the network's own", async (t) => {
	const logger = createLogger({ level: "none" });
	const authority = await createCertificateAuthority({
		store: createMemoryKeyStore(await buildSelfSignedAuthority({ trustDomain: "web.test", keyAlgorithm: "ecdsa-p256", nowMs: Date.now() })),
		clock: systemClock,
		logger,
	});
	const identity = { trustDomain: authority.trustDomain, namespace: "a", serviceAccount: "web" };
	const leaf = await issueKeyedLeaf(authority, { identity, ttlMs: 0, dnsNames: ["localhost"] });
	assert.ok(leaf.ok);
	const server = createServer({ key: leaf.value.privateKeyPem, cert: leaf.value.chainPem.join("") }, (_, response) => response.end(bundleOf([a()])));
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	t.after(() => server.close());
	const at = `https://localhost:${(server.address() as AddressInfo).port}/`;
	const { signal } = stopping;
	await assert.rejects(createJwksTransport("machine")(at, 5_000, signal), /self-signed certificate|unable to verify|unable to get/);
	await assert.rejects(createJwksTransport("cluster")(at, 5_000, signal), /loopback is not fetched from/);
	const text = await createJwksTransport("machine", { caPem: authority.trustBundlePem })(at, 5_000, signal);
	assert.equal(text, bundleOf([a()]));
});
