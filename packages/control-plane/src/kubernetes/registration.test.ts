import assert from "node:assert/strict";
import { request } from "node:https";
import { after, afterEach, before, describe, test } from "node:test";
import { status } from "@grpc/grpc-js";
import { type KubeObject, resourceOf } from "@weft/kube";
import { type FakeApiServer, until } from "@weft/kube/testing";
import { ClusterLoadAssignment } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint.ts";
import { typeUrls } from "@weft/xds";
import {
	type AdsStream,
	openAds,
	requestCertificate,
	startTestApi,
	startTestControlPlane,
	systemNamespace,
	type TestControlPlane,
	token,
} from "./test-control-plane.ts";

// Workloads outside of the cluster register themselves; the API server keeps their entries, and other pods see them as endpoints.
const entryType = resourceOf("WorkloadEntry");
const name = "reviews-10.9.0.1";
const cluster = "outbound|80||reviews.example";
let api: FakeApiServer;
let plane: TestControlPlane;
const streams: AdsStream[] = [];

before(async () => {
	api = await startTestApi();
	api.put(resourceOf("WorkloadGroup"), {
		metadata: { name: "reviews", namespace: "default", uid: "group-uid" },
		spec: { metadata: { labels: { app: "reviews" } }, template: { serviceAccount: "reviews" } },
	});
	api.put(resourceOf("ServiceEntry"), {
		metadata: { name: "reviews", namespace: "default" },
		spec: {
			hosts: ["reviews.example"],
			location: "MESH_INTERNAL",
			resolution: "STATIC",
			ports: [{ number: 80, name: "http", protocol: "HTTP", targetPort: 9080 }],
			workloadSelector: { labels: { app: "reviews" } },
		},
	});
	plane = await startTestControlPlane(api, { PILOT_WORKLOAD_ENTRY_GRACE_PERIOD: "300ms" });
	await until("roots are handed out", () => plane.rootsPem() !== "");
});

afterEach(async () => {
	for (const stream of streams.splice(0)) stream.close();
	await until("the entry is gone", () => entry() === undefined);
});

after(async () => {
	await plane.stop();
	api.close();
});

function ads(question: Parameters<typeof openAds>[1]): AdsStream {
	const stream = openAds(plane, question);
	streams.push(stream);
	return stream;
}

const machine = (extra: object = {}, serviceAccount = "reviews") =>
	ads({
		token: token({ ns: "default", sa: serviceAccount }),
		namespace: "default",
		serviceAccount,
		pod: "vm-1",
		metadata: { AUTO_REGISTER_GROUP: "reviews", INSTANCE_IPS: "10.9.0.1", ...extra },
	});
const pod = () =>
	ads({ token: token({ ns: "default", sa: "web", pod: "web-1" }), namespace: "default", serviceAccount: "web", typeUrl: typeUrls.eds, names: [cluster] });
const entry = (): KubeObject | undefined => api.get(entryType, "default", name);
const conditions = () =>
	(entry()?.["status"] as { readonly conditions?: readonly { readonly status: string; readonly message?: string }[] } | undefined)?.conditions;

function endpoints(stream: AdsStream): readonly string[] {
	const assignment = (stream.responses.at(-1)?.resources ?? [])
		.map(({ value }) => ClusterLoadAssignment.decode(value))
		.find((one) => one.clusterName === cluster);
	return (assignment?.endpoints ?? []).flatMap((group) =>
		group.lbEndpoints.map(({ endpoint }) => `${endpoint?.address?.socketAddress?.address}:${endpoint?.address?.socketAddress?.portValue}`),
	);
}

describe("a machine with the group's certificate", () => {
	test("gets it by a token that no pod has, as no other account does", async () => {
		assert.ok(Array.isArray(await requestCertificate(plane, token({ ns: "default", sa: "reviews" }))));
		assert.ok(!Array.isArray(await requestCertificate(plane, token({ ns: "default", sa: "web" }))));
		assert.ok(!Array.isArray(await requestCertificate(plane, token({ ns: systemNamespace, sa: "reviews" }))));
	});

	test("gets an entry owned by the group, is an endpoint while it is connected, and a while longer", async () => {
		const client = pod();
		const vm = machine();
		await until("it is an endpoint", () => endpoints(client).includes("10.9.0.1:9080"));
		const { metadata } = entry() ?? {};
		assert.equal(metadata?.annotations?.["istio.io/autoRegistrationGroup"], "reviews");
		assert.equal(metadata?.annotations?.["istio.io/workloadController"], "istiod-1");
		assert.deepEqual(metadata?.["ownerReferences"], [
			{ apiVersion: "networking.istio.io/v1", kind: "WorkloadGroup", name: "reviews", controller: true, uid: "group-uid" },
		]);
		vm.close();
		await until("it is marked", () => entry()?.metadata.annotations?.["istio.io/disconnectedAt"] !== undefined);
		await until("it is no endpoint", () => endpoints(client).length === 0);
		assert.equal(entry(), undefined);
	});

	test("that is probed is an endpoint while it is healthy", async () => {
		const client = pod();
		const vm = machine({ PROXY_CONFIG: { readinessProbe: { tcpSocket: { port: 9080 } } } });
		await until("the entry is there", () => entry() !== undefined);
		vm.health(undefined);
		await until("it is an endpoint", () => endpoints(client).includes("10.9.0.1:9080"));
		vm.health("connection refused");
		await until("it is none", () => endpoints(client).length === 0);
		assert.deepEqual(
			conditions()?.map(({ status: value, message }) => ({ value, message })),
			[{ value: "False", message: "connection refused" }],
		);
		vm.health(undefined);
		await until("it is one again", () => endpoints(client).includes("10.9.0.1:9080"));
		assert.equal(conditions()?.[0]?.message, undefined);
	});
});

test("a machine with another identity of the namespace is refused", async () => {
	const vm = machine({}, "web");
	await until("it is refused", () => vm.failure() !== undefined);
	assert.equal(vm.failure()?.code, status.PERMISSION_DENIED);
	assert.equal(entry(), undefined);
});

test("while the API server is away a machine is told to come again", async () => {
	api.forbidden.add(entryType.plural);
	const vm = machine();
	await until("it is refused", () => vm.failure() !== undefined);
	api.forbidden.delete(entryType.plural);
	assert.equal(vm.failure()?.code, status.UNAVAILABLE);
});

describe("an instance that registers itself over HTTPS", () => {
	const call = (method: "PUT" | "DELETE", serviceAccount = "reviews"): Promise<string> =>
		new Promise((resolve, reject) => {
			const sent = request(
				{
					host: "127.0.0.1",
					port: plane.webhookAddress.split(":").at(-1),
					method,
					path: `/registration/v1/namespaces/default/instances/${name}`,
					ca: plane.rootsPem(),
					servername: "istiod.istio-system.svc",
					agent: false,
					headers: { authorization: `Bearer ${token({ ns: "default", sa: serviceAccount })}` },
				},
				(response) => {
					let text = "";
					response.on("data", (chunk: Buffer) => void (text += chunk.toString()));
					response.on("end", () => resolve(`${response.statusCode} ${text.trim()}`));
				},
			);
			sent.on("error", reject);
			sent.end(method === "PUT" ? JSON.stringify({ service: "reviews", address: "10.9.0.1", ttl: "5s" }) : undefined);
		});

	test("is kept in the API server, and every pod sees it; heartbeats change nothing of the mesh", async () => {
		const client = pod();
		assert.match(await call("PUT", "web"), /^403 instances of ServiceEntry default\/reviews run as reviews, not as web/);
		assert.match(await call("PUT"), /^201 /);
		await until("it is an endpoint", () => endpoints(client).includes("10.9.0.1:9080"));
		assert.equal(entry()?.metadata.annotations?.["weft.dev/registered-by"], "spiffe://cluster.local/ns/default/sa/reviews");
		const pushes = () => plane.log.filter((line) => line.includes("\tpush\t")).length;
		const before = { pushes: pushes(), heartbeat: entry()?.metadata.annotations?.["weft.dev/heartbeat-at"] };
		assert.match(await call("PUT"), /^200 /);
		assert.notEqual(entry()?.metadata.annotations?.["weft.dev/heartbeat-at"], before.heartbeat);
		// Whatever follows comes after what the heartbeat could have caused.
		api.put(resourceOf("WorkloadGroup"), { metadata: { name: "other", namespace: "default" }, spec: { template: {} } });
		await until("the later change is pushed", () => pushes() > before.pushes);
		assert.equal(pushes(), before.pushes + 1);
		assert.match(await call("DELETE"), /^200 /);
		await until("it is no endpoint", () => endpoints(client).length === 0);
	});

	test("drains without heartbeats, then is removed", async () => {
		assert.match(await call("PUT"), /^201 /);
		await until("it drains", () => conditions()?.some((one) => one.message === "no heartbeat for 5s") ?? false);
		await until("it is removed", () => entry() === undefined);
	});
});

test("what a replica that is gone has left behind is removed by the leader", async () => {
	const annotations = {
		"istio.io/autoRegistrationGroup": "reviews",
		"istio.io/workloadController": "istiod-gone",
		"istio.io/connectedAt": "2026-01-01T00:00:00.000Z",
	};
	const podOf = (podName: string) => ({ metadata: { name: podName, namespace: systemNamespace }, spec: { containers: [] } });
	api.put(entryType, { metadata: { name, namespace: "default", annotations }, spec: { address: "10.9.0.1", labels: { app: "reviews" } } });
	api.put(resourceOf("Pod"), podOf("istiod-1"));
	await until("it is removed", () => entry() === undefined);
});
