import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { parseAllDocuments } from "yaml";
import { buildJpeg, padJpeg } from "../../../examples/apps/src/jpeg.ts";
import { apply, eventually, kubectl, kubectlJson, output } from "../kubectl.ts";
import { clusterMissing, deploy, example, freshNamespace, hasProxy, installMesh, pods, removeNamespace, rolledOut } from "../mesh.ts";
import { curlFrom } from "../traffic.ts";

const namespace = "e2e-workloads";
const image = "docker.io/mccutchen/go-httpbin:v2.15.0";

describe("workloads as people have them", { skip: clusterMissing }, () => {
	before(async () => {
		await installMesh();
		await freshNamespace(namespace);
	});
	after(() => removeNamespace(namespace));

	test("HTTP and TCP probes pass through the rewrite, under STRICT mutual TLS as well", async () => {
		await apply(namespace, [
			{ apiVersion: "security.istio.io/v1", kind: "PeerAuthentication", metadata: { name: "default" }, spec: { mtls: { mode: "STRICT" } } },
		]);
		const probe = (kind: object) => ({ ...kind, periodSeconds: 1, failureThreshold: 3 });
		const deployments = [
			["http", { httpGet: { path: "/status/200", port: 8080 } }],
			["tcp", { tcpSocket: { port: 8080 } }],
		] as const;
		for (const [name, kind] of deployments) {
			const labels = { app: `probes-${name}` };
			const container = {
				name: "app",
				image,
				ports: [{ containerPort: 8080 }],
				readinessProbe: probe(kind),
				livenessProbe: probe(kind),
				startupProbe: { ...probe(kind), failureThreshold: 60 },
			};
			await apply(namespace, [
				{
					apiVersion: "apps/v1",
					kind: "Deployment",
					metadata: { name: labels.app },
					spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [container] } } },
				},
			]);
		}
		await rolledOut(namespace);
		// Longer than a failing liveness probe needs to restart it.
		await new Promise((resolve) => setTimeout(resolve, 6_000));
		for (const pod of await pods(namespace)) {
			for (const { ready, restartCount } of pod.status.containerStatuses ?? []) assert.deepEqual([ready, restartCount], [true, 0], pod.metadata.name);
		}
		const [broken] = await pods(namespace, "app=probes-http");
		assert.ok(broken && hasProxy(broken));
	});

	test("a probe that the application fails is failed", async () => {
		const labels = { app: "probes-failing" };
		const readinessProbe = { httpGet: { path: "/status/500", port: 8080 }, periodSeconds: 1 };
		const spec = { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [{ name: "app", image, readinessProbe }] } } };
		await apply(namespace, [{ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: labels.app }, spec }]);
		await eventually("an event of the kubelet", async () => {
			const events = await kubectl("get", "events", "-n", namespace, "--field-selector", "reason=Unhealthy", "-o", "jsonpath={.items[*].message}");
			assert.match(events, /Readiness probe failed: HTTP probe failed with statuscode: 500/);
		});
		await kubectl("delete", "deployment", "-n", namespace, labels.app, "--wait=false");
	});

	test("a gRPC pod with gRPC probes works", async () => {
		await deploy(namespace, "grpc-echo/grpc-echo.yaml", "sleep/sleep.yaml");
		const call = [
			"const { connect } = require('node:http2');",
			"const session = connect('http://grpc-echo:7070');",
			"const call = session.request({ ':method': 'POST', ':path': '/echo.Echo/Say', 'content-type': 'application/grpc', te: 'trailers' });",
			"const got = []; let status;",
			"call.on('trailers', (t) => { status = t['grpc-status']; }); call.on('data', (c) => got.push(c));",
			"call.on('close', () => { console.log(status, Buffer.concat(got).toString('hex')); session.close(); });",
			"call.end(Buffer.from('00000000030a0178', 'hex'));",
		].join("\n");
		await eventually("a call", async () =>
			assert.equal(await kubectl("exec", "-n", namespace, "deploy/sleep", "--", "node", "-e", call), "0 00000000030a0178\n"),
		);
	});

	test("a Job completes with its native sidecar", async () => {
		const command = ["curl", "-sf", "-m", "10", "http://httpbin:8000/get"];
		await deploy(namespace, "httpbin/httpbin.yaml");
		const template = {
			metadata: { annotations: { "sidecar.istio.io/nativeSidecar": "true" } },
			spec: { restartPolicy: "Never", containers: [{ name: "job", image: "docker.io/curlimages/curl:8.16.0", command }] },
		};
		await apply(namespace, [{ apiVersion: "batch/v1", kind: "Job", metadata: { name: "once" }, spec: { backoffLimit: 3, template } }]);
		await kubectl("wait", "-n", namespace, "--for=condition=complete", "job/once", "--timeout=120s");
		const { items } = await kubectlJson<{ items: { spec: { initContainers?: { name: string; restartPolicy?: string }[] } }[] }>(
			"get",
			"pods",
			"-n",
			namespace,
			"-l",
			"job-name=once",
		);
		assert.equal(items[0]?.spec.initContainers?.find(({ name }) => name === "istio-proxy")?.restartPolicy, "Always");
	});

	test("the manifests of ai-vision run unchanged, and 5 MB go both ways", async () => {
		await apply(namespace, example("ai-vision/ai-vision.yaml"));
		await deploy(namespace, "sleep/sleep.yaml");
		const names = parseAllDocuments(example("ai-vision/ai-vision.yaml")).map((document) => document.toJS() as { kind: string; metadata: { name: string } });
		for (const { metadata } of names.filter(({ kind }) => kind === "Deployment")) {
			const [pod] = await pods(namespace, `app=${metadata.name}`);
			assert.ok(pod && hasProxy(pod), metadata.name);
		}
		const form = await eventually("the upload form", async () => {
			const found = await curlFrom(namespace, "deploy/sleep", "http://vision-web:5000/");
			assert.equal(found.status, 200, found.body.slice(0, 200));
			return found;
		});
		assert.match(form.body, /<form/i);
		const image = padJpeg(buildJpeg(16, 16), 5_000_000);
		const upload = [
			"curl",
			"-s",
			"-m",
			"60",
			"-o",
			"/dev/null",
			"-w",
			"%{http_code} %{content_type} %{size_download}",
			"-F",
			"image=@-;type=image/jpeg;filename=a.jpg",
		];
		const command = ["exec", "-i", "-n", namespace, "deploy/sleep", "--", ...upload, "http://image-processor:5000/process"];
		const [status, type, bytes] = (await output("kubectl", command, { input: image })).split(" ");
		assert.deepEqual([status, type], ["200", "image/jpeg"]);
		assert.ok(Number(bytes) >= 4_000_000, `${bytes} bytes came back`);
	});
});
