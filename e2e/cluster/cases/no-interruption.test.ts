import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { apply, eventually, kubectl } from "../kubectl.ts";
import { clusterMissing, deploy, freshNamespace, installMesh, pods, removeNamespace, rolledOut, systemNamespace, weft } from "../mesh.ts";
import { assertNoneFailed, curlFrom, loadFrom } from "../traffic.ts";

const namespace = "e2e-no-interruption";
const url = "http://httpbin:8000/get";
const ratePerSecond = 200;
// An outage takes longer than what a proxy or a client remembers; `npm run soak -- cluster` has the whole minute.
const outageMs = Number(process.env["WEFT_E2E_OUTAGE_S"] ?? 60) * 1_000;

describe("nothing is interrupted", { skip: clusterMissing }, () => {
	before(async () => {
		await installMesh();
		await freshNamespace(namespace);
		await deploy(namespace, "httpbin/httpbin.yaml", "sleep/sleep.yaml");
		await kubectl("scale", "-n", namespace, "deployment/httpbin", "--replicas=2");
		await rolledOut(namespace);
		await eventually("httpbin", async () => assert.equal((await curlFrom(namespace, "deploy/sleep", url)).status, 200));
	});
	after(async () => {
		await kubectl("scale", "-n", systemNamespace, "deployment/istiod", "--replicas=1");
		await removeNamespace(namespace);
	});

	test("by a rolling update", async (t) => {
		const before = new Set((await pods(namespace, "app=httpbin")).map(({ metadata }) => metadata.name));
		const running = loadFrom(namespace, "deploy/sleep", { url, durationMs: 40_000, ratePerSecond, concurrency: 32 });
		await delay(2_000);
		await kubectl("rollout", "restart", "-n", namespace, "deployment/httpbin");
		await rolledOut(namespace);
		const result = await running;
		const kept = (await pods(namespace, "app=httpbin")).filter(({ metadata }) => before.has(metadata.name));
		assert.deepEqual(kept, [], "every pod was replaced");
		t.diagnostic(assertNoneFailed(result, 40 * ratePerSecond));
	});

	test(`by ${outageMs / 1_000} s without a control plane`, async (t) => {
		const running = loadFrom(namespace, "deploy/sleep", { url, durationMs: outageMs + 15_000, ratePerSecond, concurrency: 32 });
		await delay(2_000);
		await kubectl("scale", "-n", systemNamespace, "deployment/istiod", "--replicas=0");
		await eventually("no control plane", async () => assert.deepEqual(await pods(systemNamespace, "app=istiod"), []));
		await assert.rejects(weft("proxy-status"), /no control plane/);
		await delay(outageMs);
		await kubectl("scale", "-n", systemNamespace, "deployment/istiod", "--replicas=1");
		await rolledOut(systemNamespace);
		t.diagnostic(assertNoneFailed(await running, ((outageMs + 15_000) / 1_000) * ratePerSecond));
		await eventually("proxies come back", async () => assert.match(await weft("proxy-status"), new RegExp(`httpbin[^ ]*\\.${namespace} `)));
	});

	test("by the rotation of certificates that live a minute", async (t) => {
		await installMesh({ set: ["env.DEFAULT_WORKLOAD_CERT_TTL=60s"] });
		try {
			await kubectl("rollout", "restart", "-n", namespace, "deployment/httpbin", "deployment/sleep");
			await rolledOut(namespace);
			await eventually("httpbin", async () => assert.equal((await curlFrom(namespace, "deploy/sleep", url)).status, 200));
			const serialOf = async () => /^default +Cert Chain +ACTIVE +true +(\w+)/m.exec(await weft("pc", "secret", "deploy/httpbin", "-n", namespace))?.[1];
			await apply(namespace, [
				{ apiVersion: "security.istio.io/v1", kind: "PeerAuthentication", metadata: { name: "default" }, spec: { mtls: { mode: "STRICT" } } },
			]);
			const first = await serialOf();
			assert.ok(first);
			const result = await loadFrom(namespace, "deploy/sleep", { url, durationMs: 60_000, ratePerSecond, concurrency: 32, keepAlive: false });
			assert.notEqual(await serialOf(), first, "the certificate was rotated meanwhile");
			t.diagnostic(assertNoneFailed(result, 60 * ratePerSecond));
		} finally {
			await installMesh({ set: ["env=null"] });
		}
	});
});
