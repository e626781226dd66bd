import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { call, closeConnections, load, startTestMesh, type TestMesh } from "@weft/testkit";

// One service in two versions behind sidecars with four workers each: what one worker misses shows as a wrong answer.
const script = `
import { createServer } from "node:http";
let active = 0, most = 0;
createServer((request, response) => {
  if (request.url === "/most") return response.end(String(most));
  most = Math.max(most, ++active);
  const finish = () => { active--; response.end(process.env.VERSION); };
  if (request.url === "/slow") setTimeout(finish, 300); else finish();
}).listen(Number(process.env.PORT));
`;

const workload = (version: string, file: string) => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: app-${version}}
spec:
  template:
    metadata: {labels: {app: app, version: ${version}}, annotations: {weft.dev/command: "node ${file}"}}
    spec: {containers: [{name: app, image: nobody/app, env: [{name: VERSION, value: ${version}}], ports: [{containerPort: 8000}]}]}
---`;

const rule = (policy = "{loadBalancer: {simple: LEAST_REQUEST}}") => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: app}
spec: {host: app, trafficPolicy: ${policy}, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---`;

const to = (subset: string, extra = "") => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app}
spec: {hosts: [app], http: [{route: [{destination: {host: app, subset: ${subset}}}]${extra}}]}
---`;

let mesh: TestMesh;
let folder: string;

before(async () => {
	folder = mkdtempSync(join(tmpdir(), "weft-resilience-"));
	// What is counted here is order, not patience: changes need not be gathered for 100 ms.
	process.env["PILOT_DEBOUNCE_AFTER"] = "5ms";
	const file = join(folder, "app.mjs");
	writeFileSync(file, script);
	const service = "apiVersion: v1\nkind: Service\nmetadata: {name: app}\nspec: {selector: {app: app}, ports: [{name: http, port: 8000}]}\n---";
	mesh = await startTestMesh({ yaml: [workload("v1", file), workload("v2", file), service, rule(), to("v1")].join("\n"), concurrency: 4 });
});

after(async () => {
	await mesh?.stop();
	closeConnections();
	rmSync(folder, { recursive: true, force: true });
});

test("1 000 rounds of apply, then a request on each of 8 connections: never the old route", { timeout: 230_000 }, async () => {
	const wrong: string[] = [];
	let requests = 0;
	for (let round = 0; round < 1000; round++) {
		const version = round % 2 === 0 ? "v2" : "v1";
		await mesh.applyYaml(to(version));
		const answers = await Promise.all(Array.from({ length: 8 }, () => mesh.call("app", "/")));
		requests += answers.length;
		for (const answer of answers) if (answer.status !== 200 || answer.body !== version) wrong.push(`round ${round}: ${answer.status} ${answer.body}`);
	}
	assert.equal(requests, 8000);
	assert.deepEqual(wrong.slice(0, 5), []);
});

test("a breaker of 10 requests holds over all four workers", async () => {
	await mesh.applyYaml(rule("{connectionPool: {http: {http2MaxRequests: 10, http1MaxPendingRequests: 1000}}}") + to("v1", ", retries: {attempts: 0}"));
	const { sent, answered, kinds } = await load(() => mesh.call("app", "/slow"), { requests: 400, concurrency: 40 });
	assert.deepEqual([sent, answered], [400, 400]);
	assert.ok((kinds["503"] ?? 0) > 100, `the breaker never opened: ${JSON.stringify(kinds)}`);
	assert.ok((kinds["200"] ?? 0) >= 10, JSON.stringify(kinds));
	const pod = mesh.pods().find((p) => p.workload === "app-v1");
	assert.ok(pod);
	await mesh.applyYaml(rule() + to("v1"));
	const most = Number((await mesh.call("app", "/most")).body);
	assert.ok(most <= 10 && most >= 8, `${most} requests were at the application at once`);
});

test("the control plane killed for 30 s under load: nothing fails, and configuration works again after", { timeout: 120_000 }, async () => {
	const stop = new AbortController();
	const running = load(() => mesh.call("app", "/"), { requests: 1_000_000, concurrency: 4, signal: stop.signal, pauseMs: 2 });
	const killed = mesh.controlPlanePid();
	assert.ok(killed);
	// SIGKILL again and again: the launcher starts it anew, and it must stay away for the whole time.
	let kills = 0;
	for (const until = Date.now() + 30_000; Date.now() < until; await sleep(20)) {
		const pid = mesh.controlPlanePid();
		if (pid !== undefined) {
			try {
				process.kill(pid, "SIGKILL");
				kills++;
			} catch (error) {
				assert.equal((error as NodeJS.ErrnoException).code, "ESRCH");
			}
		}
	}
	await assert.rejects(call(mesh.httpAddress, "/ready", { timeoutMs: 500 }), "the control plane was away");
	stop.abort();
	const { sent, answered, kinds, errors } = await running;
	assert.ok(kills >= 2, "it was killed, and killed again when it came back");
	assert.ok(sent > 5_000, `${sent} requests`);
	assert.deepEqual([answered, kinds, errors], [sent, { 200: sent }, []]);
	for (let waited = 0; waited < 60_000; waited += 100) {
		const up = await call(mesh.httpAddress, "/ready", { timeoutMs: 500 }).then(
			(a) => a.status === 200,
			() => false,
		);
		if (up) break;
		await sleep(100);
	}
	// Proxies come back by themselves, with back-off.
	for (let waited = 0; ; waited += 200) {
		const proxies = (await mesh.client.get("proxies")) as readonly { readonly synced: boolean }[];
		if (proxies.length >= 3 && proxies.every((p) => p.synced)) break;
		assert.ok(waited < 40_000, `only ${proxies.length} proxies are back`);
		await sleep(200);
	}
	await mesh.applyYaml(to("v2"));
	assert.equal((await mesh.call("app", "/")).body, "v2");
});
