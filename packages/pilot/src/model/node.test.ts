import assert from "node:assert/strict";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { assert as check, jsonValue, property, record, string } from "fast-check";
import { createTestMesh } from "../translator/routes/test-mesh.ts";
import { decodeNode, NodeError, nodeInputs } from "./node.ts";
import { sameItems } from "./reuse.ts";

const mesh = `
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {topology.kubernetes.io/region: r1, topology.kubernetes.io/zone: z1}}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: default, labels: {app: web}, ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: web, controller: true}]}
spec: {nodeName: n1, serviceAccountName: web-sa, containers: [{name: app}]}
status: {podIP: 10.1.0.1}
`;
const id = "sidecar~10.1.0.1~web-1.default~default.svc.cluster.local";
const push = createTestMesh().apply(mesh);

test("a bare node is completed from its pod", () => {
	const node = decodeNode({ id }, push);
	assert.deepEqual(
		[node.kind, node.name, node.namespace, node.ips, node.labels, node.serviceAccount, node.workloadName, node.nodeName, node.locality, node.clusterId],
		["sidecar", "web-1", "default", ["10.1.0.1"], { app: "web" }, "web-sa", "web", "n1", { region: "r1", zone: "z1", subZone: "" }, "Kubernetes"],
	);
});

const otherPod = `
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: default, labels: {app: other}}
spec: {containers: [{name: app}]}
status: {podIP: 10.1.0.2}
`;
const edits: readonly (readonly [name: string, yaml: string, isRead: boolean])[] = [
	["another pod", otherPod, false],
	["its pod", mesh.slice(mesh.indexOf("---")).replace("{app: web}", "{app: web, version: v2}"), true],
	["where its node stands", mesh.slice(0, mesh.indexOf("---")).replace("z1", "z2"), true],
];
for (const [name, yaml, isRead] of edits) {
	test(`${name} is ${isRead ? "" : "not "}among what a node is read from`, () => {
		const edited = createTestMesh();
		const before = edited.apply(mesh);
		const node = decodeNode({ id }, before);
		const after = edited.apply(yaml);
		assert.equal(sameItems(nodeInputs(node, before), nodeInputs(node, after)), !isRead);
		assert.equal(isDeepStrictEqual(node, decodeNode({ id }, after)), !isRead);
	});
}

test("without a pod the metadata speaks", () => {
	const metadata = {
		NAMESPACE: "foo",
		LABELS: { app: "x", odd: 7 },
		INSTANCE_IPS: "10.2.0.1,2001:db8::1",
		SERVICE_ACCOUNT: "sa",
		WORKLOAD_NAME: "x",
		CLUSTER_ID: "c2",
	};
	const node = decodeNode({ id: "router~10.2.0.1~x-1.foo~foo.svc.cluster.local", metadata }, push);
	assert.deepEqual(
		[node.kind, { ...node.labels }, node.ips, node.serviceAccount, node.clusterId],
		["router", { app: "x" }, ["10.2.0.1", "2001:db8::1"], "sa", "c2"],
	);
});

test("the locality of its Kubernetes node counts before what the client says, which counts where there is none", () => {
	assert.deepEqual(decodeNode({ id, locality: { region: "r9" } }, push).locality, { region: "r1", zone: "z1", subZone: "" });
	const elsewhere = "sidecar~10.1.0.2~vm.default~default.svc.cluster.local";
	assert.deepEqual(decodeNode({ id: elsewhere, locality: { region: "r9", zone: "z9" } }, push).locality, { region: "r9", zone: "z9", subZone: "" });
});

const knowing: readonly (readonly [title: string, node: object, expected: boolean])[] = [
	["lists istio's extensions", { extensions: [{ name: "envoy.filters.http.router" }, { name: "istio.stats" }], metadata: {} }, true],
	["lists extensions without istio's", { extensions: [{ name: "envoy.filters.http.router" }], metadata: { ISTIO_VERSION: "1.30.3" } }, false],
	["lists none and says its version", { metadata: { ISTIO_VERSION: "1.30.3" } }, true],
	["lists none and says nothing", {}, false],
];
for (const [title, node, expected] of knowing) {
	test(`a client that ${title} ${expected ? "knows" : "does not know"} istio's extensions`, () =>
		assert.equal(decodeNode({ id, ...node }, push).istioExtensions, expected));
}

const bad = ["", "sidecar", "sidecar~1~2", "ztunnel~10.0.0.1~a.b~c", "__proto__~10.0.0.1~a.b~c", "sidecar~1~2~3~4"];
for (const text of bad) test(`the node id ${JSON.stringify(text)} is refused`, () => assert.throws(() => decodeNode({ id: text }, push), NodeError));

test("WEFT_LOCAL is read from an object or from its JSON, and what has another shape is left out", () => {
	const local = {
		inbound: { 80: { bind: "127.0.0.2:80", endpoint: "127.0.0.1:8080" }, 81: { bind: 1 }, 82: "x" },
		outbound: { "a:80": "127.0.0.3:80", "b:80": 5 },
	};
	const expected = { inbound: { 80: { bind: "127.0.0.2:80", endpoint: "127.0.0.1:8080" } }, outbound: { "a:80": "127.0.0.3:80" } };
	for (const WEFT_LOCAL of [local, JSON.stringify(local)]) {
		const decoded = decodeNode({ id, metadata: { WEFT_LOCAL } }, push).local;
		assert.deepEqual({ inbound: { ...decoded?.inbound }, outbound: { ...decoded?.outbound } }, expected);
	}
	for (const WEFT_LOCAL of ["{", "[]", "null", 7]) assert.equal(decodeNode({ id, metadata: { WEFT_LOCAL } }, push).local, undefined);
});

test("whatever a client says of itself, its node is decoded or refused with a reason", () => {
	const metadata = record({ LABELS: jsonValue(), INSTANCE_IPS: jsonValue(), WEFT_LOCAL: jsonValue(), HTTP_PROXY_PORT: jsonValue(), NAMESPACE: jsonValue() });
	check(
		property(string(), metadata, (text, said) => {
			const node = decodeNode({ id, metadata: said }, push);
			assert.equal(node.kind, "sidecar");
			assert.throws(() => decodeNode({ id: text, metadata: said }, push), NodeError);
		}),
		{ numRuns: 200 },
	);
});
