import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { buildRootTemplate, encodePrivateKey, encodePublicKey, generateKeys, readCertificate, signCertificate, signSelf, verifyChain } from "@weft/pki";
import { createLogger, systemClock } from "@weft/runtime";
import { createCertificateAuthority, issueKeyedLeaf } from "./certificate-authority.ts";
import { createFileKeyStore } from "./key-store.ts";

const logger = createLogger({ level: "none" });
const identity = { trustDomain: "cluster.local", namespace: "default", serviceAccount: "web" };
let base: string;
let directory: string;
let count = 0;

before(async () => {
	base = await mkdtemp(join(tmpdir(), "weft-key-store-"));
});
beforeEach(() => {
	directory = join(base, `case-${count++}`, "ca");
});
after(() => rm(base, { recursive: true }));

const start = (at = directory) => createCertificateAuthority({ store: createFileKeyStore(at), clock: systemClock, logger, rootKeyAlgorithm: "ecdsa-p256" });

async function createRoot(organization: string) {
	const keys = await generateKeys();
	const publicKeyDer = encodePublicKey(keys.publicKey);
	const template = buildRootTemplate({ trustDomain: organization, publicKeyDer, serialNumber: Uint8Array.of(7), nowMs: Date.now() - 1000 });
	return { keys, template, pem: signSelf(template, keys.privateKey) };
}

describe("a file key store", () => {
	test("keeps the root across restarts", async () => {
		const first = await start();
		const second = await start();
		assert.equal(second.trustBundlePem, first.trustBundlePem);
	});

	test("writes Istio's four files, readable by their owner alone", async () => {
		await start();
		assert.deepEqual((await readdir(directory)).sort(), ["ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"]);
		for (const name of await readdir(directory)) assert.equal((await stat(join(directory, name))).mode & 0o777, 0o600);
		assert.equal((await stat(directory)).mode & 0o777, 0o700);
		assert.deepEqual(await readdir(join(directory, "..")), ["ca"], "nothing is left beside it");
	});

	test("many racing starts end with one root", async () => {
		const all = await Promise.all(Array.from({ length: 12 }, () => start()));
		assert.equal(new Set(all.map((authority) => authority.trustBundlePem)).size, 1);
		assert.equal((await start()).trustBundlePem, all[0]?.trustBundlePem);
		assert.deepEqual(await readdir(join(directory, "..")), ["ca"]);
	});

	test("is read whole while it is written", async () => {
		await start();
		const store = createFileKeyStore(directory);
		const first = await store.load();
		assert.ok(first);
		const next = { authority: first.slots.current, preparedAtMs: 1 };
		let stored = first;
		for (let round = 0; round < 20; round++) {
			const slots = round % 2 === 0 ? { ...stored.slots, next } : { ...stored.slots, next: undefined };
			const [replaced, ...seen] = await Promise.all([store.replace(slots, stored.revision), ...Array.from({ length: 10 }, () => store.load())]);
			assert.ok(replaced);
			assert.deepEqual(new Set(seen.map((one) => one?.revision)), new Set([replaced.revision]));
			stored = replaced;
		}
	});

	test("fills an empty directory, and refuses one with other files in it", async () => {
		await mkdir(directory, { recursive: true });
		await start();
		const other = join(base, `case-${count++}`);
		await mkdir(other, { recursive: true });
		await writeFile(join(other, "notes.txt"), "x");
		await assert.rejects(start(other), /holds other files/);
		assert.deepEqual(await readdir(other), ["notes.txt"]);
	});

	for (const name of ["ca-cert.pem", "root-cert.pem"]) {
		test(`a key without ${name} is damage, not an empty store`, async () => {
			await start();
			const key = await readFile(join(directory, "ca-key.pem"), "utf8");
			await rm(join(directory, name));
			await assert.rejects(start(), new RegExp(`no readable ${name}`));
			assert.equal(await readFile(join(directory, "ca-key.pem"), "utf8"), key);
		});
	}

	test("a key of another certificate is refused", async () => {
		await start();
		await writeFile(join(directory, "ca-key.pem"), encodePrivateKey((await generateKeys()).privateKey));
		await assert.rejects(start(), /ca-key\.pem is not the key of ca-cert\.pem/);
	});

	test("damaged texts are refused by the name of their file", async () => {
		for (const name of ["ca-key.pem", "ca-cert.pem", "cert-chain.pem", "root-cert.pem"]) {
			directory = join(base, `case-${count++}`, "ca");
			await start();
			await writeFile(join(directory, name), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
			await assert.rejects(start(), new RegExp(name.replace(".", "\\.")));
		}
	});

	test("an expired authority is refused", async () => {
		await start();
		const clock = { ...systemClock, nowMs: () => Date.now() + 11 * 365 * 86_400_000 };
		await assert.rejects(createCertificateAuthority({ store: createFileKeyStore(directory), clock, logger }), /has expired/);
	});

	test("a key file that cannot be read is an error, not an empty store", async () => {
		await mkdir(join(directory, "ca-key.pem"), { recursive: true });
		await assert.rejects(start(), /EISDIR/);
	});
});

describe("a plugged-in intermediate (Istio's cacerts)", () => {
	async function plugIn(change: { chain?: string; root?: string } = {}) {
		const root = await createRoot("root");
		const middle = await createRoot("middle");
		const ca = await createRoot("ca");
		const middlePem = signCertificate(middle.template, { certificate: new X509Certificate(root.pem), privateKey: root.keys.privateKey });
		const caPem = signCertificate(ca.template, { certificate: new X509Certificate(middlePem), privateKey: middle.keys.privateKey });
		await mkdir(directory, { recursive: true });
		const texts = {
			"ca-key.pem": encodePrivateKey(ca.keys.privateKey),
			"ca-cert.pem": caPem,
			// As Istio's own example has it: the chain repeats ca-cert and ends with the root.
			"cert-chain.pem": change.chain ?? caPem + middlePem + root.pem,
			"root-cert.pem": change.root ?? root.pem,
		};
		for (const [name, text] of Object.entries(texts)) await writeFile(join(directory, name), text);
		return { root, caPem, middlePem };
	}

	test("signs, and gives the intermediates without the root after the leaf", async () => {
		const { root, caPem, middlePem } = await plugIn();
		const authority = await start();
		const leaf = await issueKeyedLeaf(authority, { identity, ttlMs: 0 });
		assert.ok(leaf.ok, JSON.stringify(leaf));
		assert.deepEqual(leaf.value.chainPem.slice(1), [caPem, middlePem]);
		const chain = leaf.value.chainPem.map((pem) => new X509Certificate(pem));
		assert.ok(verifyChain({ chain, roots: [new X509Certificate(root.pem)], nowMs: Date.now() }).ok);
		const fields = readCertificate(new X509Certificate(leaf.value.chainPem[0] ?? ""));
		assert.deepEqual(fields.ok && fields.value.uris, ["spiffe://cluster.local/ns/default/sa/web"]);
	});

	test("is refused when its chain does not lead to its root", async () => {
		await plugIn({ root: (await createRoot("other")).pem });
		await assert.rejects(start(), /issued neither by a root/);
	});

	test("is refused when the chain lacks the intermediate", async () => {
		await plugIn({ chain: "" });
		await assert.rejects(start(), /issued neither by a root/);
	});
});
