import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { call, closeConnections, startTestMesh, type TestMesh } from "@weft/testkit";
import { networking, service, workload } from "./mesh-yaml.ts";
import { adminText, podOf } from "./pods.ts";

// What a Sidecar resource leaves of the mesh for the laptop's proxy, and what becomes of hosts that nobody declared.
let mesh: TestMesh;
let outside: Server;
let outsidePort: number;

before(async () => {
	outside = createServer((request, response) => response.end(`outside saw ${request.headers.host} ${request.url}`));
	outside.listen(0, "127.0.0.1");
	await once(outside, "listening");
	outsidePort = (outside.address() as AddressInfo).port;
	const http = [{ name: "http", port: 8000 }];
	mesh = await startTestMesh({
		yaml:
			workload({ name: "near", app: "http-app.ts", ports: [8000] }) +
			service("near", http) +
			service("also-near", http, { app: "near" }) +
			workload({ name: "far", app: "http-app.ts", ports: [8000], namespace: "other" }) +
			service("far", http, { namespace: "other" }),
	});
});

after(async () => {
	await mesh?.stop();
	outside?.close();
	closeConnections();
});

const sidecar = (spec: object) => networking("Sidecar", "laptop", { workloadSelector: { labels: { app: "laptop" } }, ...spec });

/** The services that the proxy of a workload knows. */
async function services(name: string): Promise<readonly string[]> {
	const dump = JSON.parse(await adminText(podOf(mesh, name), "/config_dump")) as { configs: { dynamic_active_clusters?: { cluster: { name: string } }[] }[] };
	const clusters = dump.configs.flatMap((c) => c.dynamic_active_clusters ?? []).map((c) => c.cluster.name);
	return clusters.flatMap((name) => /^outbound\|8000\|\|(.*)\.svc\.cluster\.local$/.exec(name)?.[1] ?? []).sort();
}

const viaProxy = (authority: string, path = "/") => call(mesh.proxyAddress, `http://${authority}${path}`, { headers: { host: authority } });

test("without a Sidecar resource a proxy knows every service of every namespace", async () => {
	assert.deepEqual(await services("laptop"), ["also-near.default", "far.other", "near.default"]);
	assert.equal((await viaProxy("far.other:8000")).status, 200);
	assert.equal((await viaProxy("near:8000")).status, 200);
});

test("ALLOW_ANY reaches hosts that nobody declared, by name and by address, but not the proxy itself", async () => {
	for (const host of ["localhost", "127.0.0.1"]) {
		const answer = await viaProxy(`${host}:${outsidePort}`, "/any");
		assert.deepEqual([answer.status, answer.body], [200, `outside saw ${host}:${outsidePort} /any`]);
	}
	assert.equal((await viaProxy("no.such.name.invalid")).status, 503);
	assert.equal((await viaProxy(mesh.proxyAddress)).status, 508);
});

test("egress hosts limit what its proxy gets; other proxies are not affected", async () => {
	await mesh.applyYaml(sidecar({ egress: [{ hosts: ["./near.default.svc.cluster.local"] }], outboundTrafficPolicy: { mode: "REGISTRY_ONLY" } }));
	assert.deepEqual(await services("laptop"), ["near.default"]);
	assert.deepEqual(await services("near-v1"), ["also-near.default", "far.other", "near.default"]);
	assert.equal((await viaProxy("near:8000")).status, 200);
	assert.equal((await mesh.call("near:8000", "/")).status, 200);
	assert.equal((await viaProxy("far.other:8000")).status, 502);
	assert.equal((await viaProxy("also-near:8000")).status, 502);
	await assert.rejects(mesh.call("far:8000", "/", { timeoutMs: 2_000 }), "its address is closed");
});

test("a namespace and all of its services: other/*", async () => {
	await mesh.applyYaml(sidecar({ egress: [{ hosts: ["other/*"] }] }));
	assert.deepEqual(await services("laptop"), ["far.other"]);
	assert.equal((await viaProxy("far.other:8000")).status, 200);
	assert.equal((await mesh.call("far:8000", "/")).status, 200, "its address is open again");
});

test("REGISTRY_ONLY answers 502 for a host that nobody declared, and lets a declared one through", async () => {
	await mesh.applyYaml(sidecar({ egress: [{ hosts: ["./*"] }], outboundTrafficPolicy: { mode: "REGISTRY_ONLY" } }));
	assert.equal((await viaProxy(`localhost:${outsidePort}`)).status, 502);
	const declared = {
		hosts: ["declared.example"],
		location: "MESH_EXTERNAL",
		resolution: "STATIC",
		ports: [{ number: 80, name: "http", protocol: "HTTP" }],
		endpoints: [{ address: "127.0.0.1", ports: { http: outsidePort } }],
	};
	await mesh.applyYaml(networking("ServiceEntry", "declared", declared));
	const answer = await viaProxy("declared.example", "/there");
	assert.deepEqual([answer.status, answer.body], [200, "outside saw declared.example /there"]);
});
