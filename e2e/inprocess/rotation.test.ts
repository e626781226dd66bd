import assert from "node:assert/strict";
import { Agent } from "node:http";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type PeerCertificate } from "node:tls";
import { closeConnections, load, startTestMesh, type TestMesh } from "@weft/testkit";
import { peerAuthentication, service, workload } from "./mesh-yaml.ts";
import { adminText, boundAddress, podOf } from "./pods.ts";

// Certificates live 20 s here: within the load below each is renewed, and the first ones expire.
let mesh: TestMesh;

before(async () => {
	const yaml =
		workload({ name: "server", app: "http-app.ts", ports: [8000], replicas: 2 }) +
		service("server", [{ name: "http", port: 8000 }]) +
		peerAuthentication("STRICT");
	mesh = await startTestMesh({ yaml, certificateTtl: "20s" });
});

after(async () => {
	await mesh?.stop();
	closeConnections();
});

/** Serial numbers of the workload certificate as a sidecar's admin API shows it. */
async function serials(): Promise<readonly string[]> {
	const pods = [podOf(mesh, "server-v1"), podOf(mesh, "laptop")];
	return Promise.all(
		pods.map(async (pod) => {
			const { certificates } = JSON.parse(await adminText(pod, "/certs")) as { certificates: { cert_chain?: { serial_number: string }[] }[] };
			const serial = certificates.flatMap((c) => c.cert_chain ?? [])[0]?.serial_number;
			assert.ok(serial, "a workload certificate is shown");
			return serial.toLowerCase();
		}),
	);
}

/** Serial number of the certificate that the server shows to a client now. */
async function shownSerial(): Promise<string> {
	const [host = "", port = ""] = (await boundAddress(podOf(mesh, "server-v1"))).split(":");
	return new Promise((resolve, reject) => {
		const socket = connect({ host, port: Number(port), rejectUnauthorized: false, ALPNProtocols: ["istio-http/1.1"] }, () => {
			const certificate: PeerCertificate = socket.getPeerCertificate();
			socket.destroy();
			resolve(certificate.serialNumber.toLowerCase());
		});
		// Without a certificate of our own the server hangs up once the handshake is done.
		socket.on("error", reject);
	});
}

const bare = (serial: string) => serial.replace(/^0+/, "");

test("25 s of load, on kept and on new connections, while every certificate is renewed: no request fails", { timeout: 60_000 }, async (t) => {
	const first = await serials();
	const firstShown = await shownSerial();
	assert.equal(bare(firstShown), bare(first[0] ?? ""));
	const stop = new AbortController();
	const once = new Agent({ keepAlive: false });
	const running = load((n) => mesh.call("server", "/", n % 10 === 0 ? { agent: once } : {}), {
		requests: 1_000_000,
		concurrency: 4,
		pauseMs: 5,
		signal: stop.signal,
	});
	await sleep(25_000);
	stop.abort();
	const { sent, answered, kinds, errors } = await running;
	t.diagnostic(`${sent} requests were sent`);
	assert.ok(sent > 2_000, `only ${sent} requests were sent`);
	assert.deepEqual({ answered, kinds, errors: errors.slice(0, 3) }, { answered: sent, kinds: { 200: sent }, errors: [] });
	const last = await serials();
	last.forEach((serial, i) => assert.notEqual(serial, first[i], "the certificate was renewed"));
	const lastShown = await shownSerial();
	assert.notEqual(lastShown, firstShown, "new connections see the new certificate");
	// The first certificates are past their end by now: a connection made anew proves that both sides use the new ones.
	const fresh = await load(() => mesh.call("server", "/", { agent: once, headers: { connection: "close" } }), { requests: 20, concurrency: 2 });
	assert.deepEqual(fresh.kinds, { 200: 20 });
});
