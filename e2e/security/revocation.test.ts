import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connect } from "node:tls";
import { createCertificateAuthority, createFileKeyStore, issueKeyedLeaf, type KeyedLeaf } from "@weft/citadel";
import type { Signer } from "@weft/pki";
import { createLogger, systemClock } from "@weft/runtime";
import { closeConnections, startTestMesh, type TestMesh } from "@weft/testkit";
import { signTestRevocationList } from "../../packages/pki/src/test-revocation-list.ts";
import { findEnvoy } from "../../scripts/peers-find.mjs";
import { peerAuthentication, service, workload } from "../inprocess/mesh-yaml.ts";
import { boundAddress, podOf } from "../inprocess/pods.ts";

// A certificate of the mesh's own authority, put on a list (ca-crl.pem) by whoever owns that: no sidecar takes it any more.

const envoy = process.env["WEFT_ENVOY"] ?? findEnvoy();
const servers = ["weft", "envoy"] as const;
const skipOf = (name: string) => (name === "envoy" && envoy === undefined ? "no Envoy here: npm run peers" : false);

let mesh: TestMesh;
let signer: Signer;
let revoked: KeyedLeaf;
let other: KeyedLeaf;

before(async () => {
	const one = (name: string) => workload({ name, app: "http-app.ts", ports: [8000] }) + service(name, [{ name: "http", port: 8000 }]);
	const foreign = one("envoy").replace('"annotations":{', '"annotations":{"weft.dev/proxy":"envoy",');
	mesh = await startTestMesh({ envoy: envoy ?? "", yaml: one("weft") + (envoy === undefined ? "" : foreign) + peerAuthentication("STRICT") });
	const logger = createLogger({ level: "none" });
	const authority = await createCertificateAuthority({ store: createFileKeyStore(mesh.paths.ca), clock: systemClock, logger });
	const issue = async () => {
		const identity = { trustDomain: authority.trustDomain, namespace: "default", serviceAccount: "client" };
		const leaf = await issueKeyedLeaf(authority, { identity, ttlMs: 3_600_000 });
		assert.ok(leaf.ok);
		return leaf.value;
	};
	[revoked, other] = [await issue(), await issue()];
	const file = (name: string) => readFileSync(join(mesh.paths.ca, name), "utf8");
	signer = { certificate: new X509Certificate(file("ca-cert.pem")), privateKey: createPrivateKey(file("ca-key.pem")) };
});

after(async () => {
	await mesh?.stop();
	closeConnections();
});

const serialOf = ({ chainPem }: KeyedLeaf) => new X509Certificate(chainPem[0] ?? "").serialNumber;
const revoke = (serials: readonly string[]) => writeFileSync(join(mesh.paths.ca, "ca-crl.pem"), signTestRevocationList(signer, serials, Date.now()));

/** The status line that a server's sidecar answers this client with; "" : the handshake was refused. */
async function ask(name: string, { chainPem, privateKeyPem }: KeyedLeaf): Promise<string> {
	const [host = "", port = ""] = (name === "envoy" ? await envoyAddress() : await boundAddress(podOf(mesh, "weft-v1"))).split(":");
	return new Promise((resolve, reject) => {
		let text = "";
		const socket = connect({ host, port: Number(port), rejectUnauthorized: false, cert: chainPem.join(""), key: privateKeyPem, ALPNProtocols: ["http/1.1"] });
		socket.setTimeout(10_000, () => socket.destroy(new Error("neither an answer nor an end")));
		socket.on("secureConnect", () => socket.write(`GET / HTTP/1.1\r\nhost: ${name}\r\nconnection: close\r\n\r\n`));
		socket.on("data", (bytes: Buffer) => (text += bytes.toString()));
		socket.on("error", (error) => (error.message.startsWith("neither") ? reject(error) : undefined));
		socket.on("close", () => resolve(text.split("\r\n", 1)[0] ?? ""));
	});
}

const envoyAddress = () => boundAddress(podOf(mesh, "envoy-v1"));

async function until(holds: () => Promise<boolean>): Promise<void> {
	while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 200));
}

const served = "HTTP/1.1 200 OK";

for (const name of servers) {
	describe(`sec/crl: a ${name === "envoy" ? "real Envoy under our agent" : "weft-proxy"} and a revoked certificate`, { skip: skipOf(name) }, () => {
		test(`sec/crl: ${name}: without a list both are served`, async () => {
			rmSync(join(mesh.paths.ca, "ca-crl.pem"), { force: true });
			await until(async () => (await ask(name, revoked)) === served);
			assert.equal(await ask(name, other), served);
		});

		test(`sec/crl: ${name}: the one on the list is refused, the other is served on`, { timeout: 60_000 }, async () => {
			revoke([serialOf(revoked)]);
			await until(async () => (await ask(name, revoked)) === "");
			assert.equal(await ask(name, other), served);
		});

		test(`sec/crl: ${name}: a list that is none changes nothing: the last good one holds`, { timeout: 60_000 }, async () => {
			writeFileSync(join(mesh.paths.ca, "ca-crl.pem"), "hello");
			const log = join(mesh.paths.logs, `default.${podOf(mesh, `${name}-v1`).name}.proxy.log`);
			await until(async () => readFileSync(log, "utf8").includes("revocation list is not taken"));
			assert.equal(await ask(name, revoked), "");
		});

		test(`sec/crl: ${name}: taken off the list it is served again`, { timeout: 60_000 }, async () => {
			revoke([]);
			await until(async () => (await ask(name, revoked)) === served);
		});
	});
}

test("sec/crl: the mesh's own traffic goes on under a list", async () => {
	revoke([serialOf(revoked)]);
	const here = servers.filter((name) => skipOf(name) === false);
	for (const name of here) await until(async () => (await ask(name, revoked)) === "");
	for (const name of here) assert.equal((await mesh.call(name, "/")).status, 200);
});
