import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { ConfigObject } from "@weft/api";
import { decodeYaml } from "@weft/galley";
import { containerEnvironment, expandVariables } from "./environment.ts";
import { readImageMap, splitCommand } from "./images.ts";
import { endpointSlices, podObject } from "./kube-objects.ts";
import { offeredPorts, placePod, podAddress } from "./placement.ts";
import { createPortAllocator } from "./ports.ts";
import { desiredPods } from "./workloads.ts";

const yaml = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-v1, namespace: shop}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: web, version: v1}}
    spec:
      serviceAccountName: web
      containers:
      - {name: web, image: "example.com:5000/web:1.2", args: ["--listen", "$(PORT)"], env: [{name: PEER, value: "$(CACHE_SERVICE_HOST)"}], ports: [{name: main, containerPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: main}]}
---
apiVersion: v1
kind: Service
metadata: {name: cache, namespace: shop}
spec: {selector: {app: cache}, ports: [{name: tcp-cache, port: 6379}]}
`;

const images = new Map([["example.com:5000/web", { command: ["run-web"], env: { MODE: "local" }, workingDir: "/srv" }]]);

function decoded() {
	const { objects, diagnostics } = decodeYaml(yaml, "shop.yaml");
	assert.deepEqual(diagnostics, []);
	return objects;
}

const services = () => decoded().filter((o): o is ConfigObject<"Service"> => o.kind === "Service");
const allocator = () => createPortAllocator({}, 0, async () => true);

test("a Deployment becomes pods with stable names, the injector's labels and its service account", () => {
	const first = desiredPods(decoded(), images, "/srv").pods;
	const second = desiredPods(decoded(), images, "/srv").pods;
	assert.equal(first.length, 2);
	assert.deepEqual(first, second);
	const [pod] = first;
	assert.match(pod?.name ?? "", /^web-v1-[a-z2-9]{9}-[a-z2-9]{5}$/);
	assert.notEqual(first[0]?.name, first[1]?.name);
	assert.equal(pod?.serviceAccount, "web");
	assert.deepEqual(pod?.labels, {
		app: "web",
		version: "v1",
		"security.istio.io/tlsMode": "istio",
		"service.istio.io/canonical-name": "web",
		"service.istio.io/canonical-revision": "v1",
	});
});

test("an unmapped image is an error that names file, line and both ways to mend it", () => {
	const { pods, diagnostics } = desiredPods(decoded(), new Map(), "/srv");
	assert.deepEqual(pods, []);
	const [error] = diagnostics;
	assert.deepEqual([error?.severity, error?.file, error?.line], ["error", "shop.yaml", 2]);
	assert.match(error?.message ?? "", /weft\.local\.yaml.*example\.com:5000\/web".*weft\.dev\/command/);
});

test("services are offered by protocol: HTTP by proxy, everything else on an address of its own", async () => {
	const offered = offeredPorts(services());
	assert.deepEqual(
		offered.map((o) => [o.host, o.port, o.http]),
		[
			["web.shop.svc.cluster.local", 80, true],
			["cache.shop.svc.cluster.local", 6379, false],
		],
	);
	const [pod] = desiredPods(decoded(), images, "/srv").pods;
	assert.ok(pod);
	const placement = await placePod(pod, "127.20.0.2", offered, allocator(), false);
	assert.deepEqual(Object.keys(placement.outbound), ["cache.shop.svc.cluster.local:6379"]);
	assert.equal(placement.inbound["8080"]?.bind, "127.20.0.2:8080");
	assert.match(placement.inbound["8080"]?.endpoint ?? "", /^127\.0\.0\.1:2\d{4}$/);
});

test("where there is only 127.0.0.1, each pod's port has a number of its own, and EndpointSlices say it", async () => {
	assert.equal(podAddress(3, 7, "darwin"), "127.0.0.1");
	assert.equal(podAddress(3, 7, "linux"), "127.17.0.5");
	const ports = allocator();
	const pods = desiredPods(decoded(), images, "/srv").pods;
	const running = await Promise.all(pods.map(async (pod) => ({ pod, placement: await placePod(pod, "127.0.0.1", [], ports, false), ready: true })));
	const slices = endpointSlices(services(), running) as { ports: { port: number }[]; endpoints: { addresses: string[] }[] }[];
	assert.equal(slices.length, 2);
	assert.equal(new Set(slices.map((s) => s.ports[0]?.port)).size, 2);
});

test("the objects that the launcher reports are what Kubernetes would report, and are accepted", async () => {
	const [pod] = desiredPods(decoded(), images, "/srv").pods;
	assert.ok(pod);
	const running = { pod, placement: await placePod(pod, "127.20.0.2", [], allocator(), false), ready: true };
	const text = [podObject(running), ...endpointSlices(services(), [running])].map((o) => JSON.stringify(o)).join("\n---\n");
	const { objects, diagnostics } = decodeYaml(text, "runtime.yaml");
	assert.deepEqual(
		diagnostics.filter((d) => d.severity === "error"),
		[],
	);
	assert.deepEqual(
		objects.map((o) => o.kind),
		["Pod", "EndpointSlice"],
	);
});

test("an application finds its port, its proxy, its peers and its own variables in the environment", async () => {
	const offered = offeredPorts(services());
	const [pod] = desiredPods(decoded(), images, "/srv").pods;
	const container = pod?.containers[0];
	assert.ok(pod && container);
	const placement = await placePod(pod, "127.20.0.2", offered, allocator(), false);
	const env = containerEnvironment(pod, container, placement, offered, "/s/web");
	const port = placement.inbound["8080"]?.endpoint.split(":")[1];
	assert.deepEqual([env["PORT"], env["PORT_8080"], env["MODE"], env["PEER"]], [port, port, "local", "127.0.0.1"]);
	assert.equal(env["HTTP_PROXY"], `http://127.0.0.1:${placement.httpProxyPort}`);
	assert.equal(env["CACHE_SERVICE_PORT"], placement.outbound["cache.shop.svc.cluster.local:6379"]?.split(":")[1]);
	assert.equal(env["SPIFFE_ENDPOINT_SOCKET"], "unix:///s/web");
	assert.equal(expandVariables("$(PORT)/$(NOBODY)", env), `${port}/$(NOBODY)`);
});

test("command lines keep quoted blanks together", () => {
	assert.deepEqual(splitCommand(`node -e "a b" 'c d' e`), ["node", "-e", "a b", "c d", "e"]);
});

test("an image map is refused with its file's name and place when it is not one", () => {
	const folder = mkdtempSync(join(tmpdir(), "weft-images-"));
	try {
		const file = join(folder, "weft.local.yaml");
		writeFileSync(file, "images: {a: {command: node app.js}}\n");
		assert.throws(() => readImageMap(file), /weft\.local\.yaml: images\["a"\]\.command: expected a list of strings/);
		writeFileSync(file, "images: {a: {command: [node, ./app.js]}}\n");
		assert.deepEqual(readImageMap(file).get("a")?.command, ["node", join(folder, "app.js")]);
	} finally {
		rmSync(folder, { recursive: true });
	}
});

test("ports are given once, remembered by key, and replaced when somebody else took them", async () => {
	const busy = new Set([20_000]);
	const ports = createPortAllocator({ old: 20_005, lost: 20_000 }, 0, async (port) => !busy.has(port));
	assert.equal(await ports.take("old"), 20_005);
	assert.equal(await ports.take("lost"), 20_001);
	assert.equal(await ports.take("new"), 20_002);
	assert.equal(await ports.take("new"), 20_002);
	assert.deepEqual(ports.taken(), { old: 20_005, lost: 20_001, new: 20_002 });
});
