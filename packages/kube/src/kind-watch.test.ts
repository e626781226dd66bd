import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { createStore, type Store } from "@weft/galley";
import { createLogger, systemClock } from "@weft/runtime";
import { type ObservedObject, watchKind } from "./kind-watch.ts";
import { type KubeObject, resourceOf } from "./resource.ts";
import { type FakeApiServer, startFakeApiServer, until } from "./testing/index.ts";

let server: FakeApiServer;
let stop: AbortController;
let store: Store;
let problems: readonly string[];

beforeEach(async () => {
	server = await startFakeApiServer();
	stop = new AbortController();
	store = createStore();
	problems = [];
});

afterEach(() => {
	stop.abort();
	server.close();
});

function watch(kind: "Pod" | "VirtualService" | "Node" | "EndpointSlice"): void {
	watchKind(server.client, kind, {
		signal: stop.signal,
		clock: systemClock,
		logger: createLogger({ level: "none" }),
		onChange({ upsert, remove, diagnostics }) {
			store.apply({ source: "kubernetes", upsert, remove });
			problems = diagnostics.map(({ name, path }) => `${name} ${path}`);
		},
	});
}

const pod = (name: string, heartbeat: string): KubeObject => ({
	metadata: { name, namespace: "default", labels: { app: "web" }, managedFields: [{ manager: "kubelet" }] },
	spec: {
		nodeName: "n1",
		serviceAccountName: "web",
		containers: [{ name: "web", image: "web:1", env: [{ name: "PASSWORD", value: "secret" }], ports: [{ containerPort: 80, name: "http" }] }],
	},
	status: { podIP: "10.0.0.1", phase: "Running", conditions: [{ type: "Ready", status: "True", lastProbeTime: heartbeat }] },
});

test("objects are trimmed to what the mesh reads, and a heartbeat changes nothing", async () => {
	server.put(resourceOf("Pod"), pod("web-1", "2026-01-01T00:00:00Z"));
	watch("Pod");
	await until("the pod is there", () => store.snapshot().all("Pod").length === 1);
	const before = store.snapshot().get("Pod", "default", "web-1");
	assert.ok(before);
	assert.doesNotMatch(JSON.stringify(before), /secret|managedFields|resourceVersion|lastProbeTime/);
	assert.deepEqual(before.spec.containers[0]?.ports, [{ containerPort: 80, name: "http" }]);
	assert.equal(before.apiVersion, "v1");
	server.put(resourceOf("Pod"), pod("web-1", "2026-01-01T00:00:10Z"));
	server.put(resourceOf("Pod"), pod("web-2", "2026-01-01T00:00:10Z"));
	await until("the second pod is there", () => store.snapshot().all("Pod").length === 2);
	assert.equal(store.snapshot().get("Pod", "default", "web-1"), before, "the very same object");
});

test("nodes keep place and kubelet version", async () => {
	const status = { addresses: [{ type: "InternalIP", address: "10.1.0.1" }], nodeInfo: { kubeletVersion: "v1.34.4", bootID: "x" }, images: [{ names: ["a"] }] };
	server.put(resourceOf("Node"), { metadata: { name: "n1", labels: { "topology.kubernetes.io/zone": "z1" } }, spec: { taints: [] }, status });
	watch("Node");
	await until("the node is there", () => store.snapshot().all("Node").length === 1);
	const node = store.snapshot().all("Node")[0];
	assert.deepEqual(node?.status, { addresses: status.addresses, nodeInfo: { kubeletVersion: "v1.34.4" } });
	assert.equal(node?.metadata.labels["topology.kubernetes.io/zone"], "z1");
});

const route = (host: string, weight: number): KubeObject => ({
	metadata: { name: "reviews", namespace: "default" },
	spec: { hosts: ["reviews"], http: [{ route: [{ destination: { host }, weight }] }] },
});

test("an invalid object keeps its last valid content, is told of, and blocks nobody", async () => {
	const routes = resourceOf("VirtualService");
	server.put(routes, route("reviews", 100));
	watch("VirtualService");
	await until("the rule is there", () => store.snapshot().all("VirtualService").length === 1);
	server.put(routes, route("reviews", -1));
	await until("the problem is told", () => problems.length > 0);
	assert.match(problems.join(), /^reviews spec\.http\[0\]\.route\[0\]\.weight/);
	assert.equal(store.snapshot().get("VirtualService", "default", "reviews")?.spec.http?.[0]?.route?.[0]?.weight, 100);
	server.put(routes, { ...route("other", 100), metadata: { name: "other", namespace: "default" } });
	await until("another rule passes", () => store.snapshot().all("VirtualService").length === 2);
	server.put(routes, route("reviews", 90));
	await until("the mended rule is in force", () => store.snapshot().get("VirtualService", "default", "reviews")?.spec.http?.[0]?.route?.[0]?.weight === 90);
	assert.deepEqual(problems, []);
	server.remove(routes, "default", "reviews");
	await until("the rule is gone", () => store.snapshot().all("VirtualService").length === 1);
});

test("kinds without spec keep their fields", async () => {
	server.put(resourceOf("EndpointSlice"), {
		metadata: {
			name: "web-1",
			namespace: "default",
			labels: { "kubernetes.io/service-name": "web" },
			annotations: { "endpoints.kubernetes.io/last-change-trigger-time": "x" },
		},
		addressType: "IPv4",
		endpoints: [{ addresses: ["10.0.0.1"] }],
		ports: [{ port: 80 }],
	});
	watch("EndpointSlice");
	await until("the slice is there", () => store.snapshot().all("EndpointSlice").length === 1);
	const slice = store.snapshot().all("EndpointSlice")[0];
	assert.deepEqual(slice?.spec.endpoints, [{ addresses: ["10.0.0.1"] }]);
	assert.deepEqual(slice?.metadata.annotations, {});
});

test("who writes status is told what the cluster has, and its own writes change no object", async () => {
	const observed = new Map<string, ObservedObject>();
	const type = resourceOf("VirtualService");
	const object = (spec: object, generation: number, status?: object): KubeObject => ({
		metadata: { name: "a", namespace: "default", generation, uid: "u1" },
		spec,
		...(status && { status }),
	});
	const valid = { hosts: ["a"], http: [{ route: [{ destination: { host: "a" } }] }] };
	server.put(type, object(valid, 1));
	const changes: number[] = [];
	watchKind(server.client, "VirtualService", {
		signal: stop.signal,
		clock: systemClock,
		logger: createLogger({ level: "none" }),
		observed,
		onChange({ upsert, remove }) {
			changes.push(store.apply({ source: "kubernetes", upsert, remove }).changed.length);
		},
	});
	await until("it is there", () => observed.get("default/a")?.generation === 1);
	server.put(type, object(valid, 1, { conditions: [] }));
	await until("its status is seen", () => observed.get("default/a")?.status !== undefined);
	assert.equal(store.snapshot().get("VirtualService", "default", "a")?.status, undefined);
	await until("the write came by", () => changes.length === 2);
	assert.deepEqual(changes, [1, 0]);
	server.put(type, object({ hosts: "a" }, 2));
	await until("the new content is seen", () => observed.get("default/a")?.generation === 2);
	assert.equal(
		observed.get("default/a")?.diagnostics.every(({ severity }) => severity === "error"),
		true,
	);
	assert.notEqual(observed.get("default/a")?.diagnostics.length, 0);
	assert.deepEqual(store.snapshot().get("VirtualService", "default", "a")?.spec.hosts, ["a"]);
	server.remove(type, "default", "a");
	await until("it is gone", () => observed.size === 0);
});

test("a kind is read in the version that the cluster serves, and in another one when that goes", async () => {
	const [v1, alpha] = ["v1", "v1alpha2"].map((version) => ({ ...resourceOf("TLSRoute"), version }));
	assert.ok(v1 && alpha);
	const object: KubeObject = {
		metadata: { name: "r", namespace: "default" },
		spec: { hostnames: ["a.example.com"], rules: [{ backendRefs: [{ name: "a", port: 443 }] }] },
	};
	server.put(alpha, object);
	server.missing.add("tlsroutes.v1").add("tlsroutes.v1alpha3");
	const observed = new Map<string, ObservedObject>();
	const states: string[] = [];
	watchKind(server.client, "TLSRoute", {
		signal: stop.signal,
		clock: systemClock,
		logger: createLogger({ level: "none" }),
		observed,
		onChange: ({ upsert, remove }) => void store.apply({ source: "kubernetes", upsert, remove }),
		onState: (state) => states.push(state),
	});
	await until("it is read", () => store.snapshot().all("TLSRoute").length === 1);
	assert.equal(observed.get("default/r")?.type.version, "v1alpha2");
	server.missing.delete("tlsroutes.v1");
	server.missing.add("tlsroutes.v1alpha2");
	server.put(v1, object);
	server.endWatches("end");
	await until("it is read again", () => observed.get("default/r")?.type.version === "v1");
	assert.equal(states.includes("missing"), false);
});
