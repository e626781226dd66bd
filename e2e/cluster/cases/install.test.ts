import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { apply, eventually, kubectl, kubectlJson } from "../kubectl.ts";
import { clusterMissing, deploy, example, freshNamespace, hasProxy, helm, installMesh, pods, removeNamespace, systemNamespace, weft } from "../mesh.ts";
import { curlFrom, loadFrom, share } from "../traffic.ts";

const namespace = "e2e-install";

interface Status {
	readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message: string }[] };
}

const conditionOf = (status: Status["status"], of: string) => status?.conditions?.find(({ type }) => type === of);
const pattern = '"podname":"reviews-(v\\d)';

describe("helm install, label a namespace, apply a VirtualService", { skip: clusterMissing }, () => {
	before(async () => {
		await installMesh();
		await freshNamespace(namespace);
	});
	after(() => removeNamespace(namespace));

	test("helm test passes", async () => {
		assert.match(await helm("test", "weft", "-n", systemNamespace), /Phase:\s+Succeeded/);
	});

	test("every pod of Bookinfo becomes 2/2", async () => {
		await deploy(namespace, "bookinfo/bookinfo.yaml", "sleep/sleep.yaml");
		const found = await pods(namespace);
		assert.equal(found.length, 7);
		for (const pod of found) assert.ok(hasProxy(pod), pod.metadata.name);
		const page = await eventually("productpage", async () => {
			const answer = await curlFrom(namespace, "deploy/sleep", "http://productpage:9080/productpage");
			assert.equal(answer.status, 200);
			return answer;
		});
		assert.match(page.body, /Reviews/i);
	});

	test("weft proxy-status and proxy-config tell of them", async () => {
		const status = await weft("proxy-status");
		const names = (await pods(namespace)).map(({ metadata }) => metadata.name);
		for (const name of names) assert.ok(status.includes(`${name}.${namespace} `), `${name} is missing in\n${status}`);
		assert.match(await weft("proxy-config", "cluster", "deploy/sleep", "-n", namespace, "--fqdn", `reviews.${namespace}.svc.cluster.local`), /outbound +EDS/);
		assert.match(await weft("pc", "secret", "deploy/sleep", "-n", namespace), /^default +Cert Chain +ACTIVE +true/m);
		for (const what of ["listener", "route", "endpoint", "bootstrap", "all"]) assert.notEqual(await weft("pc", what, "deploy/sleep", "-n", namespace), "");
	});

	test("90/10 is 90/10 within three percent", async () => {
		await apply(namespace, example("bookinfo/networking/reviews-90-10.yaml"));
		await eventually("the first answer of v2", async () => {
			const few = await loadFrom(namespace, "deploy/sleep", { url: "http://reviews:9080/reviews/1", requests: 100, pattern });
			assert.equal(few.matches["v3"], undefined);
			assert.ok((few.matches["v2"] ?? 0) > 0);
		});
		const result = await loadFrom(namespace, "deploy/sleep", { url: "http://reviews:9080/reviews/1", requests: 2_000, pattern });
		assert.deepEqual(result.statuses, { "200": 2_000 });
		assert.ok(Math.abs(share(result, "v1") - 0.9) <= 0.03, JSON.stringify(result.matches));
	});

	test("kubectl tells that it is valid, and which proxies have it in force", async () => {
		const status = await eventually("all of them", async () => {
			const { status } = await kubectlJson<Status>("get", "virtualservices.networking.istio.io", "-n", namespace, "reviews");
			assert.equal(conditionOf(status, "Reconciled")?.status, "True");
			return status;
		});
		assert.match(conditionOf(status, "Reconciled")?.message ?? "", /^(\d+)\/\1 proxies up to date\.$/);
		assert.equal(conditionOf(status, "PassedValidation")?.status, "True");
	});

	test("a second after apply returns there is nothing but the new version, and no request failed on the way", async () => {
		const url = "http://reviews:9080/reviews/1";
		const running = loadFrom(namespace, "deploy/sleep", { url, durationMs: 8_000, ratePerSecond: 100, pattern });
		await apply(namespace, example("bookinfo/networking/virtual-service-reviews-v3.yaml"));
		await new Promise((resolve) => setTimeout(resolve, 1_000));
		const later = await loadFrom(namespace, "deploy/sleep", { url, requests: 300, pattern });
		assert.deepEqual(later.matches, { v3: 300 });
		const during = await running;
		assert.deepEqual(during.statuses, { "200": during.sent });
		assert.ok((during.matches["v3"] ?? 0) > 0);
	});

	test("an invalid VirtualService is refused by the API server with our words", async () => {
		const broken = example("bookinfo/networking/virtual-service-reviews-90-10.yaml").replace("weight: 90", "weight: -90");
		await assert.rejects(apply(namespace, broken), /validation\.istio\.io.*denied the request.*weight/s);
		assert.match(await kubectl("get", "virtualservice", "-n", namespace, "reviews", "-o", "jsonpath={.spec.http[0].route[0].destination.subset}"), /v3/);
	});
});
