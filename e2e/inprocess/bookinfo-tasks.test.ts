import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { closeConnections, load, startTestMesh, type TestMesh } from "@weft/testkit";

// The tasks of Istio's documentation, with their YAML, on Bookinfo.
const examples = join(import.meta.dirname, "../../examples");
const read = (file: string) => readFileSync(join(examples, "bookinfo", file), "utf8");
const apply = (file: string) => mesh.applyYaml(read(`networking/${file}`));

let mesh: TestMesh;

before(async () => {
	mesh = await startTestMesh({
		sources: [{ file: "bookinfo.yaml", text: read("bookinfo.yaml") }],
		imageFiles: [join(examples, "weft.local.yaml")],
	});
	await apply("destination-rule-all.yaml");
});

after(async () => {
	await mesh?.stop();
	closeConnections();
});

const reviews = "/api/v1/products/0/reviews";
const jason = { headers: { cookie: "user=jason", "end-user": "jason" } };

async function versions(requests: number): Promise<Readonly<Record<string, number>>> {
	const result = await load(() => mesh.call("productpage", reviews), {
		requests,
		concurrency: 8,
		classify: (a) => /"reviews-(v\d)/.exec(a.body)?.[1] ?? `status ${a.status}`,
	});
	assert.deepEqual([result.sent, result.answered, result.errors], [requests, requests, []]);
	return result.kinds;
}

test("request routing: everything to v1", async () => {
	await apply("virtual-service-all-v1.yaml");
	assert.deepEqual(await versions(200), { v1: 200 });
});

test("traffic shifting: 90/10, 50/50, 100 % v3, each from the first request after apply", async () => {
	await apply("virtual-service-reviews-90-10.yaml");
	const canary = await versions(2000);
	assert.ok(Math.abs((canary["v2"] ?? 0) - 200) <= 60, `v2 got ${canary["v2"]} of 2000`);
	await apply("virtual-service-reviews-50-v3.yaml");
	const half = await versions(1000);
	assert.ok(Math.abs((half["v3"] ?? 0) - 500) <= 80, `v3 got ${half["v3"]} of 1000`);
	await apply("virtual-service-reviews-v3.yaml");
	assert.deepEqual(await versions(200), { v3: 200 });
});

test("request routing by user: jason sees v2, others v1", async () => {
	await apply("virtual-service-all-v1.yaml");
	await apply("virtual-service-reviews-test-v2.yaml");
	assert.deepEqual(await versions(50), { v1: 50 });
	const page = await mesh.call("productpage", "/productpage", jason);
	assert.match(page.body, /reviews-v2/);
});

test("fault injection: an abort for jason only", async () => {
	await apply("virtual-service-ratings-test-abort.yaml");
	const page = await mesh.call("productpage", "/productpage", jason);
	assert.match(page.body, /Ratings service is currently unavailable/);
	const other = await mesh.call("productpage", "/productpage");
	assert.doesNotMatch(other.body, /currently unavailable/);
});

test("fault injection: a delay of 7 s makes productpage give up for jason", async () => {
	await apply("virtual-service-ratings-test-delay.yaml");
	const page = await mesh.call("productpage", "/productpage", jason);
	assert.match(page.body, /Error fetching product reviews/);
	assert.ok(page.ms >= 5_500 && page.ms < 9_000, `gave up after ${Math.round(page.ms)} ms`);
});

test("request timeouts: reviews is cut after half a second", async () => {
	await apply("virtual-service-reviews-timeout.yaml");
	const page = await mesh.call("productpage", "/productpage");
	assert.match(page.body, /Error fetching product reviews/);
	assert.ok(page.ms < 2_500, `took ${Math.round(page.ms)} ms`);
});

test("mirroring: v3 gets a copy of what v1 answers", async () => {
	await apply("virtual-service-all-v1.yaml");
	await apply("virtual-service-reviews-mirror.yaml");
	const before = await inboundRequests("reviews-v3");
	assert.deepEqual(await versions(50), { v1: 50 });
	for (let i = 0; i < 50 && (await inboundRequests("reviews-v3")) < before + 50; i++) await new Promise((resolve) => setTimeout(resolve, 50));
	assert.equal(await inboundRequests("reviews-v3"), before + 50);
});

/** Requests that a workload's sidecar took, by Istio's standard metric. */
async function inboundRequests(workload: string): Promise<number> {
	const pod = mesh.pods().find((p) => p.workload === workload);
	assert.ok(pod);
	const text = await (await fetch(`http://${pod.adminAddress}/stats/prometheus`)).text();
	const lines = text.split("\n").filter((l) => l.startsWith("istio_requests_total{") && l.includes('reporter="destination"'));
	return lines.reduce((n, line) => n + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
}

test("standard metrics name both sides and mutual TLS", async () => {
	const pod = mesh.pods().find((p) => p.workload === "details-v1");
	assert.ok(pod);
	await mesh.call("productpage", "/productpage");
	const text = await (await fetch(`http://${pod.adminAddress}/stats/prometheus`)).text();
	const line = text.split("\n").find((l) => l.startsWith("istio_requests_total{") && l.includes('reporter="destination"')) ?? "";
	for (const label of [
		'source_workload="productpage-v1"',
		'source_principal="spiffe://cluster.local/ns/default/sa/bookinfo-productpage"',
		'destination_service="details.default.svc.cluster.local"',
		'destination_workload="details-v1"',
		'connection_security_policy="mutual_tls"',
		'response_code="200"',
	]) {
		assert.ok(line.includes(label), `${label} is missing from ${line}`);
	}
});
