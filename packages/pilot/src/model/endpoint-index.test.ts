import assert from "node:assert/strict";
import { test } from "node:test";
import { createTestMesh } from "../translator/routes/test-mesh.ts";
import type { PushSnapshot } from "./push.ts";
import type { Endpoint } from "./service.ts";

const service = (extra = "") => `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.0.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]${extra}}
---`;

const pod = (name: string, ip: string, labels = "", node = "n1") => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: default, labels: {app: web${labels}}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-abc, controller: true}]}
spec: {nodeName: ${node}, serviceAccountName: web-sa, containers: [{name: app}]}
status: {phase: Running, podIP: ${ip}}
---
apiVersion: v1
kind: Node
metadata: {name: ${node}, labels: {topology.kubernetes.io/region: r1, topology.kubernetes.io/zone: z1}}
---`;

const slice = (endpoints: string, name = "web-1") => `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${name}, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [${endpoints}]
---`;

const at = (ip: string, target?: string, conditions = "ready: true") =>
	`{addresses: [${ip}], conditions: {${conditions}}${target ? `, targetRef: {kind: Pod, name: ${target}, namespace: default}` : ""}}`;

function endpoints(push: PushSnapshot, host = "web.default.svc.cluster.local", port = "http"): readonly Endpoint[] {
	const [found] = push.servicesByHost.get(host) ?? [];
	assert.ok(found, `there is a service ${host}`);
	return push.endpoints.of(found).get(port) ?? [];
}

const summary = (list: readonly Endpoint[]) => list.map(({ address, port, health }) => `${address}:${port} ${health}`);

test("an endpoint has its pod's identity, workload and place", () => {
	const push = createTestMesh().apply(
		service() + pod("web-abc-1", "10.1.0.1", ", security.istio.io/tlsMode: istio, pod-template-hash: abc") + slice(at("10.1.0.1", "web-abc-1")),
	);
	const [endpoint] = endpoints(push);
	assert.deepEqual(
		{ ...endpoint, labels: undefined },
		{
			address: "10.1.0.1",
			port: 8080,
			portName: "http",
			labels: undefined,
			namespace: "default",
			workloadName: "web",
			podName: "web-abc-1",
			nodeName: "n1",
			serviceAccount: "web-sa",
			locality: { region: "r1", zone: "z1", subZone: "" },
			network: "",
			weight: 0,
			health: "HEALTHY",
			tlsMode: "istio",
			registry: "Kubernetes",
		},
	);
});

const cases: readonly (readonly [title: string, yaml: string, expected: readonly string[]])[] = [
	["an endpoint without targetRef needs no pod", service() + slice(at("10.1.0.9")), ["10.1.0.9:8080 HEALTHY"]],
	["an endpoint ahead of its pod waits", service() + slice(at("10.1.0.9", "not-there")), []],
	["an endpoint that is not ready is unhealthy", service() + slice(at("10.1.0.9", undefined, "ready: false, terminating: false")), ["10.1.0.9:8080 UNHEALTHY"]],
	[
		"one that is not ready and does not say that it stays is terminating, to istiod",
		service() + slice(at("10.1.0.9", undefined, "ready: false")),
		["10.1.0.9:8080 TERMINATING"],
	],
	["conditions that say nothing mean ready", service() + slice("{addresses: [10.1.0.9]}"), ["10.1.0.9:8080 HEALTHY"]],
	[
		"publishNotReadyAddresses is for whoever writes the slices: they say what is ready",
		service(", publishNotReadyAddresses: true") + slice(at("10.1.0.9", undefined, "ready: false, terminating: false")),
		["10.1.0.9:8080 UNHEALTHY"],
	],
	[
		"a terminating endpoint is terminating",
		service() + slice(at("10.1.0.9", undefined, "ready: false, serving: true, terminating: true")),
		["10.1.0.9:8080 TERMINATING"],
	],
	["an address in two slices counts once", service() + slice(at("10.1.0.9")) + slice(at("10.1.0.9"), "web-2"), ["10.1.0.9:8080 HEALTHY"]],
	[
		"Endpoints count where there is no slice",
		`${service()}\napiVersion: v1\nkind: Endpoints\nmetadata: {name: web, namespace: default}\nsubsets: [{addresses: [{ip: 10.1.0.7}], notReadyAddresses: [{ip: 10.1.0.8}], ports: [{name: http, port: 8080}]}]\n---`,
		["10.1.0.7:8080 HEALTHY", "10.1.0.8:8080 UNHEALTHY"],
	],
	[
		"a WorkloadEntry joins by the service's selector",
		`${service()}\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: vm, namespace: default}\nspec: {address: 192.0.2.1, labels: {app: web}, ports: {http: 9999}}\n---`,
		["192.0.2.1:9999 HEALTHY"],
	],
];
for (const [title, yaml, expected] of cases) test(title, () => assert.deepEqual(summary(endpoints(createTestMesh().apply(yaml))), expected));

const entry = (spec: string) => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e, namespace: default}
spec: {hosts: [x.example.org], ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}], ${spec}}
---`;

const entryCases: readonly (readonly [title: string, yaml: string, expected: readonly string[]])[] = [
	[
		"inline endpoints: their own port, else targetPort",
		entry("resolution: STATIC, endpoints: [{address: 192.0.2.1, ports: {http: 1}}, {address: 192.0.2.2}]"),
		["192.0.2.1:1 HEALTHY", "192.0.2.2:8080 HEALTHY"],
	],
	["a unix address has no port", entry("resolution: STATIC, endpoints: [{address: 'unix:///run/x.sock'}]"), ["unix:///run/x.sock:0 HEALTHY"]],
	["DNS without endpoints resolves the host itself", entry("resolution: DNS"), ["x.example.org:8080 HEALTHY"]],
	["NONE has no endpoints", entry("resolution: NONE"), []],
	["a workloadSelector picks pods", entry("resolution: STATIC, workloadSelector: {labels: {app: web}}") + pod("p", "10.1.0.1"), ["10.1.0.1:8080 HEALTHY"]],
];
for (const [title, yaml, expected] of entryCases)
	test(title, () => assert.deepEqual(summary(endpoints(createTestMesh().apply(yaml), "x.example.org")), expected));

test("a host's endpoints keep their identity over snapshots while nothing of theirs changes", () => {
	const mesh = createTestMesh();
	const first = mesh.apply(service() + pod("a", "10.1.0.1") + slice(at("10.1.0.1", "a")));
	const before = endpoints(first);
	const unrelated = mesh.apply(entry("resolution: DNS"));
	assert.equal(endpoints(unrelated), before);
	const relabelled = mesh.apply(pod("a", "10.1.0.1", ", version: v2"));
	assert.notEqual(endpoints(relabelled), before);
	assert.equal(endpoints(relabelled)[0]?.labels["version"], "v2");
});

test("hosts without address get one of 240.240.0.0/16 that does not depend on other entries", () => {
	const more = Array.from({ length: 50 }, (_, i) =>
		entry("resolution: DNS").replace("name: e,", `name: e${i},`).replace("x.example.org", `y${i}.example.org`),
	).join("");
	const addressOf = (yaml: string) => createTestMesh().apply(yaml).servicesByHost.get("x.example.org")?.[0]?.autoAddress;
	assert.match(addressOf(entry("resolution: DNS")) ?? "", /^240\.240\.\d+\.\d+$/);
	assert.equal(addressOf(entry("resolution: DNS") + more), addressOf(entry("resolution: DNS")));
	assert.equal(addressOf(entry("resolution: NONE")), undefined);
});
