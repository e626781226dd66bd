import assert from "node:assert/strict";
import { writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { closeConnections, load, startTestMesh, type TestMesh } from "@weft/testkit";

// An application of nobody's: two services that know nothing of a mesh, run by annotation.
const backend = `
import { createServer } from "node:http";
createServer((request, response) => {
  const chunks = [];
  request.on("data", (c) => chunks.push(c));
  request.on("end", () => response.end(JSON.stringify({ version: process.env.VERSION, pod: process.env.POD_NAME, path: request.url, headers: request.headers, bytes: Buffer.concat(chunks).length })));
}).listen(Number(process.env.PORT));
`;
const frontend = `
import { createServer, get } from "node:http";
createServer((request, response) => {
  // NODE_USE_ENV_PROXY and HTTP_PROXY make this an ordinary call through the sidecar.
  get("http://backend:8000" + request.url, { headers: { "x-user": request.headers["x-user"] ?? "" } }, (answer) => {
    response.writeHead(answer.statusCode);
    answer.pipe(response);
  }).on("error", (e) => { response.writeHead(599); response.end(e.message); });
}).listen(Number(process.env.PORT));
`;

function deployment(name: string, version: string, port: number, script: string): string {
	return `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}-${version}}
spec:
  selector: {matchLabels: {app: ${name}, version: ${version}}}
  template:
    metadata:
      labels: {app: ${name}, version: ${version}}
      annotations: {weft.dev/command: "node ${script}"}
    spec:
      serviceAccountName: ${name}
      containers: [{name: app, image: nobody/${name}, env: [{name: VERSION, value: ${version}}], ports: [{containerPort: ${port}}]}]
---`;
}

const service = (name: string, port: number) => `
apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec: {selector: {app: ${name}}, ports: [{name: http, port: ${port}}]}
---`;

const subsets = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: backend}
spec: {host: backend, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
`;

const route = (http: string) => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: backend}
spec:
  hosts: [backend]
  http:
${http}`;

let mesh: TestMesh;
let folder: string;

before(async () => {
	folder = mkdtempSync(join(tmpdir(), "weft-app-"));
	const scripts = { backend: join(folder, "backend.mjs"), frontend: join(folder, "frontend.mjs") };
	writeFileSync(scripts.backend, backend);
	writeFileSync(scripts.frontend, frontend);
	const yaml = [
		deployment("backend", "v1", 8000, scripts.backend),
		deployment("backend", "v2", 8000, scripts.backend),
		deployment("frontend", "v1", 8080, scripts.frontend),
		service("backend", 8000),
		service("frontend", 8080),
		subsets,
	].join("");
	mesh = await startTestMesh({ yaml });
});

after(async () => {
	await mesh?.stop();
	closeConnections();
	rmSync(folder, { recursive: true, force: true });
});

interface Seen {
	readonly version: string;
	readonly path: string;
	readonly headers: Readonly<Record<string, string>>;
}

async function through(headers: Record<string, string> = {}, path = "/"): Promise<Seen> {
	const answer = await mesh.call("frontend", path, { headers });
	assert.equal(answer.status, 200, answer.body);
	return JSON.parse(answer.body) as Seen;
}

test("both versions answer, over mutual TLS, with the caller's identity", async () => {
	const seen = new Set<string>();
	for (let i = 0; i < 20; i++) seen.add((await through()).version);
	assert.deepEqual([...seen].sort(), ["v1", "v2"]);
	const { headers } = await through();
	assert.match(headers["x-forwarded-client-cert"] ?? "", /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/frontend/);
	assert.match(headers["x-request-id"] ?? "", /^[0-9a-f-]{36}$/);
});

test("a weighted route splits as it says, from the next request on", async () => {
	await mesh.applyYaml(route("  - route: [{destination: {host: backend, subset: v1}, weight: 80}, {destination: {host: backend, subset: v2}, weight: 20}]"));
	const { kinds, answered, errors } = await load(() => mesh.call("frontend", "/"), {
		requests: 1000,
		concurrency: 8,
		classify: (a) => (JSON.parse(a.body) as Seen).version,
	});
	assert.deepEqual([answered, errors], [1000, []]);
	assert.ok(Math.abs((kinds["v2"] ?? 0) - 200) < 60, `v2 got ${kinds["v2"]} of 1000`);
});

test("a header match goes to its subset, everybody else to the other; paths are rewritten", async () => {
	await mesh.applyYaml(
		route(`  - match: [{headers: {x-user: {exact: jason}}, uri: {prefix: /api}}]
    rewrite: {uri: /v2}
    route: [{destination: {host: backend, subset: v2}}]
  - route: [{destination: {host: backend, subset: v1}}]`),
	);
	const jason = await through({ "x-user": "jason" }, "/api/things?x=1");
	assert.deepEqual([jason.version, jason.path], ["v2", "/v2/things?x=1"]);
	assert.equal((await through({ "x-user": "anna" }, "/api/things")).version, "v1");
});

test("faults, direct responses and redirects answer from the caller's sidecar", async () => {
	await mesh.applyYaml(
		route(`  - match: [{uri: {prefix: /abort}}]
    fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
    route: [{destination: {host: backend, subset: v1}}]
  - match: [{uri: {prefix: /delay}}]
    fault: {delay: {fixedDelay: 0.4s, percentage: {value: 100}}}
    route: [{destination: {host: backend, subset: v1}}]
  - match: [{uri: {prefix: /direct}}]
    directResponse: {status: 503, body: {string: closed}}
  - route: [{destination: {host: backend, subset: v1}}]`),
	);
	assert.equal((await mesh.call("frontend", "/abort")).status, 418);
	const delayed = await mesh.call("frontend", "/delay");
	assert.equal(delayed.status, 200);
	assert.ok(delayed.ms >= 390, `delayed by ${delayed.ms} ms only`);
	const direct = await mesh.call("frontend", "/direct");
	assert.deepEqual([direct.status, direct.body], [503, "closed"]);
});

test("a refused VirtualService changes nothing and names the line", async () => {
	const text = route("  - route: [{destination: {host: backend, subsett: v1}}]");
	const result = await mesh.client.apply([{ file: "bad.yaml", text }], { wait: true, dryRun: false, timeoutMs: 5000 });
	const [error] = result.diagnostics.filter((d) => d.severity === "error");
	assert.equal(error?.file, "bad.yaml");
	assert.equal(error?.line, 8);
	assert.match(error?.message ?? "", /subsett/);
	assert.equal((await mesh.call("frontend", "/direct")).status, 503, "the last good route is still in force");
});

test("deleting the VirtualService gives the service back to everybody", async () => {
	await mesh.client.remove("VirtualService", "default", "backend", true);
	const { kinds } = await load(() => mesh.call("frontend", "/abort"), { requests: 100, concurrency: 4 });
	assert.deepEqual(kinds, { 200: 100 });
});
