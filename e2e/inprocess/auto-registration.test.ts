import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { issueLocalToken, loadOrCreateLocalTokenKey } from "@weft/citadel";
import { type AdsClient, connectAds, type RunningWeft, sidecarNode, startWeft } from "@weft/testkit";
import { findEnvoy } from "../../scripts/peers-find.mjs";
import { ClusterLoadAssignment } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint.ts";

// A machine outside of Kubernetes: weft-proxy with a token, a WorkloadGroup and a probe, and an application that can fail.
const proxyEntry = join(dirname(createRequire(import.meta.url).resolve("@weft/proxy/package.json")), "bin", "weft-proxy.mjs");
const cluster = "outbound|80||reviews.example";
let folder: string;
let weft: RunningWeft;
let secure: string;
let http: string;
let client: AdsClient;
let application: Server;
let isFailing = false;
/** Of an Envoy, which tells nobody of a port that it has chosen. */
let adminPort = 0;
const proxies: ChildProcess[] = [];

before(async () => {
	folder = mkdtempSync(join(tmpdir(), "weft-registration-"));
	application = createServer((_, response) => response.writeHead(isFailing ? 503 : 200).end());
	await new Promise<void>((resolve) => application.listen(0, "127.0.0.1", resolve));
	adminPort = await freePort();
	const key = join(folder, "token.key");
	const exp = Math.floor(Date.now() / 1000) + 600;
	for (const sa of ["reviews", "web"])
		writeFileSync(join(folder, `${sa}.token`), issueLocalToken(await loadOrCreateLocalTokenKey(key), { ns: "shop", sa, pod: "vm-1", exp }));
	const files = join(folder, "files");
	mkdirSync(files);
	writeFileSync(join(folder, "mesh.yaml"), meshYaml);
	renameSync(join(folder, "mesh.yaml"), join(files, "mesh.yaml"));
	process.env["PILOT_WORKLOAD_ENTRY_GRACE_PERIOD"] = "500ms";
	weft = startWeft([
		...["control-plane", "--files", files, "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"],
		...["--secure-grpc", "127.0.0.1:0", "--ca-dir", join(folder, "ca"), "--token-key", key],
	]);
	const [, ready = ""] = await weft.logged(/control plane ready\t(.*)/);
	const address = (name: string) => new RegExp(`\\b${name}=(\\S+)`).exec(ready)?.[1] ?? "";
	[secure, http] = [address("xds"), address("http")];
	client = connectAds(address("plaintextXds"), sidecarNode("client", "shop"));
	client.subscribe("cds");
});

after(async () => {
	client?.close();
	for (const proxy of proxies) await stop(proxy);
	await weft?.stop();
	application?.close();
	application?.closeAllConnections();
	rmSync(folder, { recursive: true, force: true });
});

const meshYaml = `
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: reviews, namespace: shop}
spec:
  metadata: {labels: {app: reviews}}
  template: {serviceAccount: reviews, ports: {http: 9080}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews.example]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: reviews}}
`;

/** Starts weft-proxy as on a virtual machine; what it logs. */
function startProxy(serviceAccount: string, envoy?: string): { readonly child: ChildProcess; log(): string } {
	const metadata = {
		NAME: "vm-1",
		NAMESPACE: "shop",
		SERVICE_ACCOUNT: serviceAccount,
		INSTANCE_IPS: "127.0.0.1",
		AUTO_REGISTER_GROUP: "reviews",
		INTERCEPTION_MODE: "NONE",
		WEFT_LOCAL: { inbound: {}, outbound: {} },
		PROXY_CONFIG: { readinessProbe: { periodSeconds: 1, failureThreshold: 1, httpGet: { port: (application.address() as AddressInfo).port, path: "/ready" } } },
	};
	const common = [
		...["--discovery-address", secure, "--root-cert", join(folder, "root-cert.pem"), "--token-file", join(folder, `${serviceAccount}.token`)],
		...["--node-id", "sidecar~127.0.0.1~vm-1.shop~shop.svc.cluster.local", "--node-metadata", JSON.stringify(metadata)],
	];
	const own = ["sidecar", ...common, "--admin-port", "0"];
	const args = envoy === undefined ? own : ["agent", ...common, "--admin-port", String(adminPort), "--envoy", envoy, "--", "--concurrency", "1", "-l", "error"];
	const child = spawn(process.execPath, [proxyEntry, ...args], { stdio: ["ignore", "ignore", "pipe"] });
	let text = "";
	child.stderr.on("data", (chunk: Buffer) => void (text += chunk.toString()));
	proxies.push(child);
	return { child, log: () => text };
}

async function freePort(): Promise<number> {
	const server = createServer();
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const { port } = server.address() as AddressInfo;
	await new Promise((resolve) => server.close(resolve));
	return port;
}

async function stop(child: ChildProcess): Promise<void> {
	if (child.exitCode !== null || child.signalCode !== null) return;
	child.kill("SIGTERM");
	await once(child, "exit");
}

function endpoints(resources: AdsClient["resources"]): readonly string[] {
	const bytes = resources.get("eds")?.get(cluster);
	if (bytes === undefined) return [];
	return ClusterLoadAssignment.decode(bytes).endpoints.flatMap(({ lbEndpoints }) =>
		lbEndpoints.map(({ endpoint }) => `${endpoint?.address?.socketAddress?.address}:${endpoint?.address?.socketAddress?.portValue}`),
	);
}

const entries = async () =>
	((await (await fetch(`http://${http}/debug/configz`)).json()) as { kind: string; metadata: { name: string; annotations: Record<string, string> } }[]).filter(
		({ kind }) => kind === "WorkloadEntry",
	);

test("a machine joins by itself, serves while its probe holds, and is gone when it is gone", async () => {
	await client.until((resources) => resources.get("eds")?.has(cluster) ?? false);
	assert.deepEqual(endpoints(client.resources), []);
	const { child } = startProxy("reviews");
	await client.until((resources) => endpoints(resources).join() === "127.0.0.1:9080");
	assert.deepEqual(
		(await entries()).map(({ metadata }) => [metadata.name, metadata.annotations["istio.io/autoRegistrationGroup"]]),
		[["reviews-127.0.0.1", "reviews"]],
	);
	isFailing = true;
	await client.until((resources) => endpoints(resources).length === 0);
	isFailing = false;
	await client.until((resources) => endpoints(resources).length === 1);
	await stop(child);
	await client.until((resources) => endpoints(resources).length === 0);
	assert.deepEqual(await entries(), []);
});

test("so does one whose proxy is a real Envoy under our agent", { skip: findEnvoy() === undefined && "no Envoy: npm run peers" }, async () => {
	const envoy = startProxy("reviews", findEnvoy());
	await client.until((resources) => endpoints(resources).join() === "127.0.0.1:9080");
	isFailing = true;
	await client.until((resources) => endpoints(resources).length === 0);
	isFailing = false;
	await client.until((resources) => endpoints(resources).length === 1);
	await stop(envoy.child);
	await client.until((resources) => endpoints(resources).length === 0);
});

test("a machine with another identity of the namespace is not taken in", async () => {
	const { child, log } = startProxy("web");
	while (!/is for service account reviews/.test(log())) {
		assert.equal(child.exitCode, null, log());
		await once(child.stderr ?? child, "data");
	}
	assert.deepEqual(await entries(), []);
	await stop(child);
});
