import assert from "node:assert/strict";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { decodeYaml, createStore, type Store } from "@weft/galley";
import { buildPush } from "../model/build-push.ts";
import type { ProxyNode } from "../model/proxy-node.ts";
import type { PushSnapshot } from "../model/push.ts";
import { resourceView } from "./resource-view.ts";
import { decodeNode } from "./translator.ts";

// What is carried over from push to push must never show: after any row of edits the mesh is what it would be if it were read anew.

const namespaces = ["a", "b"];
const names = ["one", "two", "three", "four"];

/** Numbers from 0 to `below`, the same row each run. */
function createRandom(seed: number): (below: number) => number {
	let state = seed;
	return (below) => {
		state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
		return Math.floor((state / 2 ** 32) * below);
	};
}

type Edit = (store: Store) => void;

function apply(yaml: string): Edit {
	return (store) => {
		const { objects, diagnostics } = decodeYaml(yaml, "test.yaml");
		assert.deepEqual(
			diagnostics.filter(({ severity }) => severity === "error"),
			[],
		);
		store.apply({ source: "test", upsert: objects, remove: [] });
	};
}

function remove(kind: string, namespace: string, name: string): Edit {
	return (store) => {
		const held = store
			.snapshot()
			.all(kind as "Service")
			.find(({ metadata }) => metadata.name === name && metadata.namespace === namespace);
		if (held) store.apply({ source: "test", upsert: [], remove: [{ kind: held.kind, namespace, name }] });
	};
}

function randomEdit(random: (below: number) => number): Edit {
	const pick = <T>(items: readonly T[]): T => items[random(items.length)] as T;
	const [namespace, name] = [pick(namespaces), pick(names)];
	const metadata = `{name: ${name}, namespace: ${namespace}}`;
	const address = `10.1.0.${1 + random(200)}`;
	const host = `${name}.${namespace}.example`;
	switch (random(10)) {
		case 0:
			return apply(`
apiVersion: v1
kind: Service
metadata: ${metadata}
spec: {clusterIP: 10.0.0.${1 + random(5)}, selector: {app: ${name}}, ports: [{name: http, port: 80, targetPort: 8080}]}`);
		case 1:
		case 2:
			return apply(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${name}-${random(2)}, namespace: ${namespace}, labels: {kubernetes.io/service-name: ${name}}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [${address}], conditions: {ready: true}}]`);
		case 3:
		case 4:
			return apply(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: ${metadata}
spec:
  hosts: [${host}]
  ports: [{number: 80, name: http, protocol: HTTP}]
  location: MESH_INTERNAL
  resolution: ${pick(["STATIC", "STATIC", "STATIC", "DNS"])}
  endpoints: [{address: ${address}, labels: {version: v${random(2)}}, serviceAccount: s${random(2)}}]`);
		case 5:
		case 6:
			return apply(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: ${metadata}
spec:
  hosts: ["${pick([host, name, "*.example"])}"]
  http: [{route: [{destination: {host: ${host}}}], timeout: ${1 + random(9)}s}]`);
		case 7:
			return apply(`
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: ${metadata}
spec: {host: ${host}, trafficPolicy: {loadBalancer: {simple: ${pick(["RANDOM", "ROUND_ROBIN"])}}}, subsets: [{name: v1, labels: {version: v1}}]}`);
		case 8:
			return apply(`
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: ${namespace}, labels: {app: ${name}}}
spec: {nodeName: n1, serviceAccountName: ${name}, containers: [{name: app}]}
status: {phase: Running, podIP: ${address}}`);
		default:
			return remove(pick(["Service", "EndpointSlice", "ServiceEntry", "VirtualService", "DestinationRule", "Pod"]), namespace, pick([name, `${name}-0`]));
	}
}

function nodeIn(push: PushSnapshot, namespace: string): ProxyNode {
	const metadata = { NAMESPACE: namespace, ISTIO_VERSION: "1.30.3", INSTANCE_IPS: "10.1.0.9", VHDS: "true" };
	return decodeNode({ id: `sidecar~10.1.0.9~one.${namespace}~${namespace}.svc.cluster.local`, metadata }, push);
}

/** Everything that a proxy is sent, by type and name. */
function everything(push: PushSnapshot, node: ProxyNode): Readonly<Record<string, string>> {
	const view = resourceView(push, node);
	const found: Record<string, string> = {};
	for (const [name, { version }] of view.all("cds")) {
		found[`cds ${name}`] = version;
		found[`eds ${name}`] = view.get("eds", name)?.version ?? "";
	}
	for (const [name, { version }] of view.all("lds")) found[`lds ${name}`] = version;
	found["rds 80"] = view.get("rds", "80")?.version ?? "";
	for (const [name, { version }] of view.members("vhds", "80") ?? []) found[`vhds ${name}`] = version;
	return found;
}

for (const seed of [1, 2, 3, 4]) {
	test(`after any row of edits the mesh is what it would be if it were read anew (row ${seed})`, () => {
		const random = createRandom(seed);
		const store = createStore();
		let push = buildPush({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" });
		// As long as nothing about a proxy changes it is one node, which parts of its configuration are kept with.
		const nodes = new Map<string, ProxyNode>();
		const heldNode = (namespace: string): ProxyNode => {
			const [known, fresh] = [nodes.get(namespace), nodeIn(push, namespace)];
			const node = known !== undefined && isDeepStrictEqual(known, fresh) ? known : fresh;
			nodes.set(namespace, node);
			return node;
		};
		for (let round = 0; round < 60; round++) {
			for (let edits = 1 + random(3); edits > 0; edits--) randomEdit(random)(store);
			const input = { snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" };
			push = buildPush(input, push);
			for (const namespace of namespaces) {
				const anew = buildPush(input);
				assert.deepEqual(everything(push, heldNode(namespace)), everything(anew, nodeIn(anew, namespace)), `round ${round}, namespace ${namespace}`);
			}
		}
	});
}

test("virtual hosts that differ between two pushes are those that the edit was about", () => {
	const store = createStore();
	for (const name of names) {
		apply(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ${name}, namespace: a}
spec: {hosts: [${name}.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, endpoints: [{address: 10.1.0.1}]}`)(store);
	}
	const node = {
		id: "sidecar~10.9.0.9~client.a~a.svc.cluster.local",
		metadata: { NAMESPACE: "a", ISTIO_VERSION: "1.30.3", INSTANCE_IPS: "10.9.0.9", VHDS: "true" },
	};
	const route = (timeout: string) =>
		apply(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: two, namespace: a}
spec: {hosts: [two.example], http: [{route: [{destination: {host: two.example}}], timeout: ${timeout}}]}`);
	let push: PushSnapshot | undefined;
	const view = (edit: Edit) => {
		edit(store);
		push = buildPush({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" }, push);
		const made = resourceView(push, decodeNode(node, push));
		const revision = made.revision("vhds");
		assert.equal(made.members("vhds", "80")?.size, names.length);
		return { revision, changesSince: (earlier: { readonly revision: unknown }) => made.changes("vhds", earlier.revision) };
	};
	const [first, second, third] = [view(route("1s")), view(route("2s")), view(route("3s"))];
	assert.deepEqual(second.changesSince(first), ["80/two.example:80"]);
	assert.deepEqual(third.changesSince(second), ["80/two.example:80"]);
	assert.deepEqual(third.changesSince(first), ["80/two.example:80"], "over two pushes as well");
});
