import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request, type Server as HttpServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "node:tls";
import { Server } from "@grpc/grpc-js";
import {
	addCertificateService,
	type CertificateAuthority,
	createCertificateAuthority,
	createClientCertificateAuthenticator,
	createMemoryKeyStore,
	createServerIdentity,
	createTokenReviewAuthenticator,
	issueKeyedLeaf,
	type KeyedLeaf,
} from "@weft/citadel";
import { createLogger, systemClock } from "@weft/runtime";
import { Registry } from "prom-client";
import { startOver, startTestApi, systemNamespace, token } from "../../packages/control-plane/src/kubernetes/test-control-plane.ts";
import { resourceOf, resources, reviewToken } from "../../packages/kube/src/index.ts";
import { converse } from "./sockets.ts";

// A mesh whose certificates come from an IstioCertificateService that is not its control plane (cert-manager's istio-csr): a second
// Citadel, which asks the cluster whose a token is. The control plane has ENABLE_CA_SERVER=false and files from the same authority.

const trustDomain = "cluster.local";
const main = join(import.meta.dirname, "../../packages/proxy/src/main.ts");
const waitMsMax = 30_000;
const silent = createLogger({ level: "none" });
const skip = process.platform === "linux" ? false : "each pod needs an address of its own in 127.0.0.0/8, which Linux has";

interface Pod {
	readonly name: string;
	readonly ip: string;
	readonly httpProxyPort: number;
}

let folder: string;
let api: Awaited<ReturnType<typeof startTestApi>>;
let authority: CertificateAuthority;
let caServer: Server;
let caAddress: string;
let plane: Awaited<ReturnType<typeof startOver>>;
let app: HttpServer;
let issued: string[];
const children: ChildProcess[] = [];
const logs = new Map<string, string>();
let server: Pod;
let client: Pod;

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
	const end = performance.now() + waitMsMax;
	while (!(await holds())) {
		if (performance.now() > end)
			throw new Error(`${what}: not within ${waitMsMax} ms\n${[...logs].map(([name, log]) => `${name}:\n${log.slice(-3000)}`).join("\n")}`);
		await sleep(30);
	}
}

async function freePort(): Promise<number> {
	const probe = createTcpServer().listen(0, "127.0.0.1");
	await once(probe, "listening");
	const { port } = probe.address() as AddressInfo;
	await new Promise((resolve) => probe.close(resolve));
	return port;
}

const newAuthority = () =>
	createCertificateAuthority({ store: createMemoryKeyStore(), clock: systemClock, logger: silent, trustDomain, rootKeyAlgorithm: "ecdsa-p256" });

async function leafOf(by: CertificateAuthority, namespace: string, serviceAccount: string, dnsNames: readonly string[] = []): Promise<KeyedLeaf> {
	const leaf = await issueKeyedLeaf(by, { identity: { trustDomain, namespace, serviceAccount }, ttlMs: 3_600_000, dnsNames });
	assert.ok(leaf.ok);
	return leaf.value;
}

/** What cert-manager and istio-csr are to a cluster. */
async function startAuthority(): Promise<void> {
	authority = await newAuthority();
	issued = [];
	const logger = createLogger({ write: (line) => issued.push(line) });
	const review = (text: string) => reviewToken(api.client, text, ["istio-ca"]);
	const authenticators = [
		createClientCertificateAuthenticator({ clock: systemClock, trustDomain }),
		createTokenReviewAuthenticator({ review, clock: systemClock, trustDomain, needsPod: true, isMachine: () => false }),
	];
	const identity = await createServerIdentity({ authority, clock: systemClock, random: Math.random, logger: silent });
	caServer = new Server();
	addCertificateService(caServer, { authority, authenticators, clock: systemClock, logger, registry: new Registry() });
	const port = await new Promise<number>((resolve, reject) => {
		caServer.bindAsync("127.0.0.1:0", identity.credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
	});
	caAddress = `127.0.0.1:${port}`;
}

async function startControlPlane(): Promise<void> {
	const leaf = await leafOf(authority, systemNamespace, "istiod", [`istiod.${systemNamespace}.svc`]);
	const files = { tlsCertFile: join(folder, "tls.crt"), tlsKeyFile: join(folder, "tls.key"), caCertFile: join(folder, "root-cert.pem") };
	writeFileSync(files.tlsCertFile, leaf.chainPem.join(""));
	writeFileSync(files.tlsKeyFile, leaf.privateKeyPem);
	writeFileSync(files.caCertFile, authority.trustBundlePem);
	plane = await startOver(api.client, { ENABLE_CA_SERVER: "false", PILOT_CERT_PROVIDER: "custom", ISTIO_MULTIROOT_MESH: "true" }, systemClock, files);
}

function putObjects(): void {
	const metadata = (name: string, labels: Readonly<Record<string, string>> = {}) => ({ name, namespace: "default", labels });
	for (const { name, ip } of [server, client]) {
		api.put(resourceOf("Pod"), {
			metadata: metadata(name, { app: name, "security.istio.io/tlsMode": "istio" }),
			spec: { nodeName: "n1", serviceAccountName: name, containers: [{ name: "app", image: "app", ports: [{ containerPort: 8000 }] }] },
			status: { phase: "Running", podIP: ip, podIPs: [{ ip }], conditions: [{ type: "Ready", status: "True" }] },
		});
	}
	api.put(resourceOf("Service"), {
		metadata: metadata("server"),
		spec: { clusterIP: "10.96.0.9", selector: { app: "server" }, ports: [{ name: "http", port: 80, targetPort: 8000 }] },
	});
	api.put(resourceOf("EndpointSlice"), {
		metadata: metadata("server-1", { "kubernetes.io/service-name": "server" }),
		addressType: "IPv4",
		ports: [{ name: "http", port: 8000, protocol: "TCP" }],
		endpoints: [{ addresses: [server.ip], conditions: { ready: true }, targetRef: { kind: "Pod", name: "server", namespace: "default" } }],
	});
	api.put(resourceOf("PeerAuthentication"), { metadata: { name: "default", namespace: systemNamespace }, spec: { mtls: { mode: "STRICT" } } });
}

function startSidecar({ name, ip, httpProxyPort }: Pod): void {
	const place = join(folder, name);
	mkdirSync(place);
	writeFileSync(join(place, "token"), token({ ns: "default", sa: name, pod: name }));
	const appPort = (app.address() as AddressInfo).port;
	const metadata = {
		NAME: name,
		NAMESPACE: "default",
		CLUSTER_ID: "Kubernetes",
		INSTANCE_IPS: ip,
		INTERCEPTION_MODE: "NONE",
		HTTP_PROXY_PORT: String(httpProxyPort),
		LABELS: { app: name },
		SERVICE_ACCOUNT: name,
		WEFT_LOCAL: { inbound: { 8000: { bind: `${ip}:8000`, endpoint: `127.0.0.1:${appPort}` } }, outbound: {} },
	};
	const servers = ["--discovery-address", plane.secureAddress, "--ca-address", caAddress, "--root-cert", join(folder, "root-cert.pem")];
	const own = ["--token-file", join(place, "token"), "--node-id", `sidecar~${ip}~${name}.default~default.svc.cluster.local`];
	const rest = ["--node-metadata", JSON.stringify(metadata), "--concurrency", "1", "--admin-port", "0", "--state-dir", place];
	const child = spawn(process.execPath, ["--max-semi-space-size=1", main, "sidecar", ...servers, ...own, ...rest], { stdio: ["ignore", "pipe", "pipe"] });
	const append = (chunk: Buffer) => void logs.set(name, (logs.get(name) ?? "") + chunk.toString("latin1"));
	child.stdout.on("data", append);
	child.stderr.on("data", append);
	children.push(child);
}

/** What the server's application got, asked through the client's sidecar. */
function ask(): Promise<{ readonly status: number; readonly body: string }> {
	return new Promise((resolve, reject) => {
		const url = "http://server.default.svc.cluster.local/";
		const sent = request(
			{ host: "127.0.0.1", port: client.httpProxyPort, path: url, headers: { host: "server.default.svc.cluster.local" }, agent: false },
			(answer) => {
				let body = "";
				answer.on("data", (chunk: Buffer) => (body += chunk.toString()));
				answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body }));
			},
		);
		sent.on("error", reject);
		sent.end();
	});
}

/** Speaks TLS of its own to the server's sidecar: its certificate's issuer and name and the first line of the answer, or why there is none. */
function shakeHands(own: KeyedLeaf): Promise<{ readonly peer: string; readonly answer: string }> {
	return new Promise((resolve) => {
		let peer = "";
		let answer = "";
		const options = { key: own.privateKeyPem, cert: own.chainPem.join(""), ca: authority.trustBundlePem, checkServerIdentity: () => undefined };
		const socket = connect({ host: server.ip, port: 8000, ALPNProtocols: ["istio-http/1.1"], servername: "server", ...options }, () => {
			peer = socket.getPeerX509Certificate()?.subjectAltName ?? "";
			socket.write("GET / HTTP/1.1\r\nhost: server\r\nconnection: close\r\n\r\n");
		});
		socket.setTimeout(5_000, () => socket.destroy());
		socket.on("data", (chunk: Buffer) => (answer += chunk.toString("latin1")));
		socket.on("error", () => undefined);
		socket.on("close", () => resolve({ peer, answer: answer.split("\r\n")[0] ?? "" }));
	});
}

describe("certificates of another authority", { skip }, () => {
	before(async () => {
		folder = mkdtempSync(join(tmpdir(), "weft-external-ca-"));
		api = await startTestApi();
		await startAuthority();
		app = createServer((incoming, answer) => answer.end(String(incoming.headers["x-forwarded-client-cert"]))).listen(0, "127.0.0.1");
		await once(app, "listening");
		server = { name: "server", ip: "127.77.1.2", httpProxyPort: await freePort() };
		client = { name: "client", ip: "127.77.1.3", httpProxyPort: await freePort() };
		putObjects();
		await startControlPlane();
		for (const pod of [server, client]) startSidecar(pod);
		await until("both sidecars serve", () => [...logs.values()].filter((log) => log.includes("sidecar serving")).length === 2);
		await until("the server is reached", async () => (await ask().catch(() => ({ status: 0 }))).status === 200);
	});

	after(async () => {
		for (const child of children) {
			child.kill("SIGKILL");
			if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
		}
		await plane?.stop();
		caServer?.forceShutdown();
		app?.close();
		api?.close();
		if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
	});

	test("both sidecars have theirs from it, by their pods' tokens", () => {
		const identities = issued.filter((line) => line.includes("certificate issued")).map((line) => /identity=(\S+)/.exec(line)?.[1]);
		assert.deepEqual([...new Set(identities)].sort(), ["spiffe://cluster.local/ns/default/sa/client", "spiffe://cluster.local/ns/default/sa/server"]);
	});

	test("they speak mutual TLS under it: the application hears who asks", async () => {
		const { status, body } = await ask();
		assert.equal(status, 200);
		assert.match(body, /By=spiffe:\/\/cluster\.local\/ns\/default\/sa\/server;.*URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/client/);
	});

	test("whoever has a certificate of it is served, and whoever has another or none is not", async () => {
		const good = await shakeHands(await leafOf(authority, "default", "tester"));
		assert.deepEqual(good, { peer: "URI:spiffe://cluster.local/ns/default/sa/server", answer: "HTTP/1.1 200 OK" });
		const stranger = await shakeHands(await leafOf(await newAuthority(), "default", "tester"));
		assert.equal(stranger.answer, "");
		const plain = await converse(`${server.ip}:8000`, { send: "GET / HTTP/1.1\r\nhost: server\r\n\r\n" }).catch(() => ({ bytes: Buffer.alloc(0) }));
		assert.equal(plain.bytes.length, 0);
	});

	test("a root in the mesh config is trusted beside it, by sidecars that run, until it is taken out", async () => {
		const other = await newAuthority();
		const guest = await leafOf(other, "default", "guest");
		const isServed = async () => (await shakeHands(guest)).answer === "HTTP/1.1 200 OK";
		const putRoots = (...pems: readonly string[]) => {
			const mesh = JSON.stringify({ caCertificates: pems.map((pem) => ({ pem })) });
			api.put(resources.configMaps, { metadata: { name: "istio", namespace: systemNamespace }, data: { mesh } });
		};
		assert.equal(await isServed(), false);
		putRoots(other.trustBundlePem);
		await until("the guest is served", isServed);
		assert.equal((await ask()).status, 200);
		putRoots();
		await until("the guest is refused", async () => !(await isServed()));
		assert.equal((await ask()).status, 200);
	});
});
