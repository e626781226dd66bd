import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { apply, eventually, kubectl } from "../kubectl.ts";
import { clusterMissing, deploy, example, freshNamespace, installMesh, pods, removeNamespace, rolledOut } from "../mesh.ts";
import { curlFrom, loadFrom } from "../traffic.ts";

const namespace = "e2e-envoy";
const image = process.env["WEFT_E2E_ENVOY_IMAGE"];
const skip = clusterMissing || (image === undefined ? "no image of Envoy was built: npm run peers, then npm run e2e" : false);

// What keeps the wire honest: our Pilot, injector and certificates, and somebody else's proxy in the pod.
describe("Envoy as the sidecar of one workload", { skip }, () => {
	before(async () => {
		await installMesh();
		await freshNamespace(namespace);
		await deploy(namespace, "bookinfo/bookinfo.yaml", "sleep/sleep.yaml");
		const marked = example("bookinfo/bookinfo.yaml").replace(
			/(name: reviews-v1\n(?:.*\n)*?\s+template:\n\s+metadata:\n)(\s+)/,
			`$1$2annotations: { sidecar.istio.io/proxyImage: ${JSON.stringify(image)} }\n$2`,
		);
		assert.notEqual(marked, example("bookinfo/bookinfo.yaml"), "the Deployment of reviews-v1 was found");
		await apply(namespace, marked);
		await rolledOut(namespace);
	});
	after(() => removeNamespace(namespace));

	test("it is Envoy, and every request passes it with mutual TLS both ways", async () => {
		assert.match(
			await kubectl("exec", "-n", namespace, "deploy/reviews-v1", "-c", "istio-proxy", "--", "weft-proxy", "request", "GET", "server_info"),
			/"version": ".*BoringSSL"/,
		);
		await apply(namespace, [
			{ apiVersion: "security.istio.io/v1", kind: "PeerAuthentication", metadata: { name: "default" }, spec: { mtls: { mode: "STRICT" } } },
		]);
		await apply(namespace, example("bookinfo/networking/destination-rule-all.yaml"));
		await apply(namespace, example("bookinfo/networking/virtual-service-all-v1.yaml"));
		await eventually("reviews v1 alone", async () => {
			const result = await loadFrom(namespace, "deploy/sleep", { url: "http://reviews:9080/reviews/1", requests: 300, pattern: "reviews-(v\\d)" });
			assert.deepEqual([result.statuses, result.matches], [{ "200": 300 }, { v1: 300 }]);
		});
		assert.equal((await curlFrom(namespace, "deploy/sleep", "http://productpage:9080/productpage")).status, 200);
	});

	test("the agent beside it answers for readiness and metrics", async () => {
		const [pod] = await pods(namespace, "app=reviews,version=v1");
		const ask = async (path: string) => {
			const { status, body } = await curlFrom(namespace, "deploy/sleep", `http://${pod?.status.podIP}${path}`);
			assert.equal(status, 200, path);
			return body;
		};
		for (const path of [":15021/healthz/ready", ":15020/healthz/ready"]) await ask(path);
		assert.match(await ask(":15090/stats/prometheus"), /^envoy_cluster_upstream_cx_total\{/m);
		assert.match(await ask(":15020/stats/prometheus"), /^istio_agent_cert_expiry_seconds\{[^]*^envoy_server_live[{ ]/m);
	});
});
