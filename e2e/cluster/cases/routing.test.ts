import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { apply, eventually, kubectl } from "../kubectl.ts";
import { clusterMissing, deploy, example, freshNamespace, installMesh, removeNamespace, rolledOut } from "../mesh.ts";
import { curlFrom, loadFrom } from "../traffic.ts";

const namespace = "e2e-routing";
const virtualService = (host: string, http: readonly object[]) => [
	{ apiVersion: "networking.istio.io/v1", kind: "VirtualService", metadata: { name: host }, spec: { hosts: [host], http } },
];
const route = (host: string) => ({ route: [{ destination: { host } }] });
const curl = (...args: string[]) => curlFrom(namespace, "deploy/sleep", ...args);

describe("fault, retry, mirror and header match", { skip: clusterMissing }, () => {
	before(async () => {
		await installMesh();
		await freshNamespace(namespace);
		await deploy(namespace, "httpbin/httpbin.yaml", "helloworld/helloworld.yaml", "sleep/sleep.yaml");
		await eventually("httpbin", async () => assert.equal((await curl("http://httpbin:8000/get")).status, 200));
	});
	after(() => removeNamespace(namespace));

	test("a header chooses the route, and a fault is injected for it alone", async () => {
		const fault = { abort: { httpStatus: 418, percentage: { value: 100 } } };
		await apply(
			namespace,
			virtualService("httpbin", [{ match: [{ headers: { "x-user": { exact: "jason" } } }], fault, ...route("httpbin") }, route("httpbin")]),
		);
		await eventually("the fault", async () => assert.equal((await curl("-H", "x-user: jason", "http://httpbin:8000/get")).status, 418));
		assert.equal((await curl("http://httpbin:8000/get")).status, 200);
	});

	test("a request that takes longer than its timeout is a 504", async () => {
		await apply(namespace, virtualService("httpbin", [{ timeout: "0.5s", ...route("httpbin") }]));
		await eventually("the timeout", async () => assert.equal((await curl("http://httpbin:8000/delay/5")).status, 504));
		assert.equal((await curl("http://httpbin:8000/delay/0")).status, 200);
	});

	test("a delay is injected: a client that waits a shorter time gives up", async () => {
		const fault = { delay: { fixedDelay: "10s", percentage: { value: 100 } } };
		await apply(
			namespace,
			virtualService("httpbin", [{ match: [{ headers: { "x-user": { exact: "jason" } } }], fault, ...route("httpbin") }, route("httpbin")]),
		);
		// 28: curl's own time is over.
		await eventually("the delay", async () => assert.equal((await curl("-m", "2", "-H", "x-user: jason", "http://httpbin:8000/get")).exit, 28));
		assert.equal((await curl("-m", "2", "http://httpbin:8000/get")).status, 200);
	});

	test("what fails is tried again", async () => {
		await apply(namespace, virtualService("httpbin", [{ retries: { attempts: 3, perTryTimeout: "2s", retryOn: "5xx" }, ...route("httpbin") }]));
		const answer = await eventually("retries", async () => {
			const found = await curl("http://httpbin:8000/status/503");
			assert.match(found.headers, /x-envoy-upstream-service-time|server/i);
			return found;
		});
		assert.equal(answer.status, 503);
		const stats = await eventually("retries in the metrics", async () => {
			const text = (await curl("http://localhost:15000/stats?filter=upstream_rq_retry")).body;
			assert.match(text, /outbound\|8000\|\|httpbin[^\n]*upstream_rq_retry: [1-9]/);
			return text;
		});
		assert.ok(stats.length > 0);
	});

	test("a mirror gets every request and answers none", async () => {
		const mirrored = { ...route("httpbin"), mirror: { host: "helloworld", port: { number: 5000 } }, mirrorPercentage: { value: 100 } };
		await apply(namespace, virtualService("httpbin", [mirrored]));
		const requests = 50;
		await eventually("mirrored requests", async () => {
			const result = await loadFrom(namespace, "deploy/sleep", { url: "http://httpbin:8000/get", requests, pattern: "(headers)" });
			assert.deepEqual(result.matches, { headers: requests });
			const text = (await curl("http://localhost:15000/stats?filter=upstream_rq_total")).body;
			const mirrors = Number(/outbound\|5000\|\|helloworld[^\n]*upstream_rq_total: (\d+)/.exec(text)?.[1] ?? 0);
			assert.ok(mirrors >= requests, text);
		});
	});

	test("a sidecar that captures DNS answers names that only the mesh knows, with automatic addresses", async () => {
		const hosts = ["only.in.the.mesh"];
		const endpoints = [{ address: "httpbin" }];
		const entry = { hosts, ports: [{ number: 80, name: "http", protocol: "HTTP" }], resolution: "DNS", endpoints };
		await apply(namespace, [{ apiVersion: "networking.istio.io/v1", kind: "ServiceEntry", metadata: { name: "only" }, spec: entry }]);
		const captured = example("sleep/sleep.yaml")
			.replaceAll(/\bsleep$/gm, "resolver")
			.replace(/(template:\n\s+metadata:\n)(\s+)/, '$1$2annotations: { proxy.istio.io/config: "proxyMetadata: {ISTIO_META_DNS_CAPTURE: \\"true\\"}" }\n$2');
		await apply(namespace, captured);
		await rolledOut(namespace);
		const lookup = async (name: string) => {
			const script = `require('node:dns').lookup(${JSON.stringify(name)}, { all: true }, (e, all) => console.log(e ? e.code : all.map((a) => a.address).join()))`;
			return (await kubectl("exec", "-n", namespace, "deploy/resolver", "--", "node", "-e", script)).trim();
		};
		await eventually("the automatic address", async () => assert.match(await lookup("only.in.the.mesh"), /^240\.240\./));
		assert.match(await lookup("httpbin"), /^10\./);
		// Of the cluster's own domain: whether its DNS knows a world outside is no matter here.
		assert.equal(await lookup("nowhere.svc.cluster.local"), "ENOTFOUND");
		assert.match(await kubectl("get", "serviceentry", "-n", namespace, "only", "-o", "jsonpath={.status.addresses[0].value}"), /^240\.240\./);
	});
});
