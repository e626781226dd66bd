import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { Agent } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect, type SecureContextOptions } from "node:tls";
import { createCertificateAuthority, createFileKeyStore, issueKeyedLeaf } from "@weft/citadel";
import { createLogger, systemClock } from "@weft/runtime";
import { call, closeConnections, startTestMesh, type TestMesh } from "@weft/testkit";
import { networking, peerAuthentication, service, workload } from "./mesh-yaml.ts";
import { boundAddress, podOf } from "./pods.ts";

let mesh: TestMesh;
/** Of the server's sidecar: who connects there went through no sidecar. */
let direct: string;

before(async () => {
	mesh = await startTestMesh({ yaml: workload({ name: "server", app: "http-app.ts", ports: [8000] }) + service("server", [{ name: "http", port: 8000 }]) });
	direct = await boundAddress(podOf(mesh, "server-v1"));
});

after(async () => {
	await mesh?.stop();
	closeConnections();
});

const certHeader = "x-forwarded-client-cert";

/** The headers that the application saw. */
async function seen(answer: ReturnType<typeof call>): Promise<Readonly<Record<string, string>>> {
	const { status, body } = await answer;
	assert.equal(status, 200, body);
	return (JSON.parse(body) as { headers: Record<string, string> }).headers;
}

const throughMesh = (headers: Record<string, string> = {}) => mesh.call("server", "/", { headers });
const plain = (headers: Record<string, string> = {}) => call(direct, "/", { headers, timeoutMs: 5_000 });

/** What the server's sidecar answers a TLS client with these credentials, as text; empty when it refuses. */
function tlsAnswer(credentials: SecureContextOptions): Promise<string> {
	const [host = "", port = ""] = direct.split(":");
	return new Promise((resolve, reject) => {
		let text = "";
		// Whether the server is the right one is not the question here.
		const socket = connect({ host, port: Number(port), rejectUnauthorized: false, ALPNProtocols: ["istio-http/1.1"], ...credentials });
		socket.setTimeout(5_000, () => socket.destroy(new Error(`${direct} neither answered nor refused`)));
		socket.on("secureConnect", () => socket.write("GET / HTTP/1.1\r\nhost: server\r\nconnection: close\r\n\r\n"));
		socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
		socket.on("error", (error: NodeJS.ErrnoException) => (error.message.includes("neither") ? reject(error) : undefined));
		socket.on("close", () => resolve(text));
	});
}

/** A key and certificate that the authority in this directory signs. */
async function credentialsFrom(directory: string, serviceAccount: string): Promise<SecureContextOptions> {
	const authority = await createCertificateAuthority({ store: createFileKeyStore(directory), clock: systemClock, logger: createLogger({ level: "none" }) });
	const leaf = await issueKeyedLeaf(authority, { identity: { trustDomain: "cluster.local", namespace: "default", serviceAccount }, ttlMs: 3_600_000 });
	assert.ok(leaf.ok);
	return { key: leaf.value.privateKeyPem, cert: leaf.value.chainPem.join("\n") };
}

test("PERMISSIVE, the default: a plain-text client is served, without an identity", async () => {
	assert.equal((await seen(plain()))[certHeader], undefined);
});

test("through the mesh the application sees the caller's identity, and its own", async () => {
	const value = (await seen(throughMesh()))[certHeader] ?? "";
	assert.match(value, /By=spiffe:\/\/cluster\.local\/ns\/default\/sa\/server;/);
	assert.match(value, /Hash=[0-9a-f]{64};/);
	assert.match(value, /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/laptop/);
});

test("an identity that a plain-text client claims for itself is taken off", async () => {
	const forged = "By=spiffe://cluster.local/ns/default/sa/server;URI=spiffe://cluster.local/ns/default/sa/admin";
	assert.equal((await seen(plain({ [certHeader]: forged })))[certHeader], undefined);
	assert.equal((await seen(plain({ "X-Forwarded-Client-Cert": forged })))[certHeader], undefined);
});

test("an identity that a caller inside the mesh claims does not reach the application", async () => {
	const forged = "URI=spiffe://cluster.local/ns/default/sa/admin";
	const value = (await seen(throughMesh({ [certHeader]: forged })))[certHeader] ?? "";
	assert.doesNotMatch(value, /sa\/admin/);
	assert.match(value, /sa\/laptop/);
});

test("STRICT: a plain-text client is closed without an answer, the mesh goes on", async () => {
	await mesh.applyYaml(peerAuthentication("STRICT"));
	// A connection of its own each: one that is open already goes on.
	for (let i = 0; i < 5; i++) await assert.rejects(call(direct, "/", { timeoutMs: 5_000, agent: new Agent() }), /hang up|ECONNRESET/);
	assert.match((await seen(throughMesh()))[certHeader] ?? "", /sa\/laptop/);
});

test("STRICT: a TLS client with the mesh's certificate is served; without one or with another authority's it is refused", async () => {
	const folder = mkdtempSync(join(tmpdir(), "weft-other-ca-"));
	try {
		assert.match(await tlsAnswer(await credentialsFrom(mesh.paths.ca, "visitor")), /^HTTP\/1\.1 200 [^]*sa\/visitor/);
		assert.equal(await tlsAnswer({}), "");
		assert.equal(await tlsAnswer(await credentialsFrom(join(folder, "ca"), "laptop")), "");
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
});

test("DISABLE: the server takes plain text, its callers send it, and nobody has an identity", async () => {
	await mesh.applyYaml(peerAuthentication("DISABLE"));
	assert.equal((await seen(plain()))[certHeader], undefined);
	assert.equal((await seen(throughMesh()))[certHeader], undefined);
	await mesh.applyYaml(peerAuthentication("PERMISSIVE"));
	assert.match((await seen(throughMesh()))[certHeader] ?? "", /sa\/laptop/);
});

const withNames = (names: readonly string[]) =>
	networking("DestinationRule", "server", { host: "server", trafficPolicy: { tls: { mode: "ISTIO_MUTUAL", subjectAltNames: names } } });

test("a DestinationRule that expects another identity of the server refuses it; the right one is taken", async () => {
	await mesh.applyYaml(withNames(["spiffe://cluster.local/ns/default/sa/somebody-else"]));
	const refused = await throughMesh();
	assert.equal(refused.status, 503);
	assert.match(refused.body, /upstream connect error/);
	await mesh.applyYaml(withNames(["spiffe://cluster.local/ns/default/sa/server"]));
	assert.equal((await throughMesh()).status, 200);
	await mesh.client.remove("DestinationRule", "default", "server", true);
});

test("a ServiceEntry's subjectAltNames are what its endpoints must show", async () => {
	const [address = "", port = ""] = direct.split(":");
	const entry = (account: string) =>
		networking("ServiceEntry", "outside", {
			hosts: ["outside.example"],
			location: "MESH_INTERNAL",
			resolution: "STATIC",
			ports: [{ number: 80, name: "http", protocol: "HTTP" }],
			subjectAltNames: [`spiffe://cluster.local/ns/default/sa/${account}`],
			endpoints: [{ address, ports: { http: Number(port) }, labels: { "security.istio.io/tlsMode": "istio" } }],
		});
	const outside = () => call(mesh.proxyAddress, "http://outside.example/", { headers: { host: "outside.example" } });
	await mesh.applyYaml(entry("somebody-else"));
	assert.equal((await outside()).status, 503);
	await mesh.applyYaml(entry("server"));
	assert.match((await seen(outside()))[certHeader] ?? "", /sa\/laptop/);
});

test("a caller of the mesh never falls back to plain text: with TLS wanted and no TLS there, the call fails", async () => {
	await mesh.applyYaml(
		peerAuthentication("DISABLE") + networking("DestinationRule", "server", { host: "server", trafficPolicy: { tls: { mode: "ISTIO_MUTUAL" } } }),
	);
	assert.equal((await throughMesh()).status, 503);
	await mesh.applyYaml(peerAuthentication("PERMISSIVE"));
	await mesh.client.remove("DestinationRule", "default", "server", true);
	assert.equal((await throughMesh()).status, 200);
});
