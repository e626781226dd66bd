import assert from "node:assert/strict";
import { test } from "node:test";
import { contextOf, createTestMesh } from "../translator/routes/test-mesh.ts";

const mesh = ["default/a", "default/b", "foo/c", "bar/d"]
	.map((name) => {
		const [namespace, host] = name.split("/");
		return `
apiVersion: v1
kind: Service
metadata: {name: ${host}, namespace: ${namespace}}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}, {name: tcp, port: 90}]}
---
`;
	})
	.join("");

function sidecar(spec: string, name = "s", namespace = "default"): string {
	return `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: ${name}, namespace: ${namespace}}
spec: ${spec}
---
`;
}

/** `a b c d`: first labels of the hosts in scope. */
function visible(yaml: string, namespace = "default", labels: Readonly<Record<string, string>> = {}): string {
	const { scope } = contextOf(createTestMesh().apply(mesh + yaml), { LABELS: labels }, namespace);
	return scope.services.map(({ hostname }) => hostname.split(".")[0]).join(" ");
}

const cases: readonly (readonly [title: string, yaml: string, expected: string])[] = [
	["without a Sidecar everything is visible", "", "a b c d"],
	["./* is the own namespace", sidecar('{egress: [{hosts: ["./*"]}]}'), "a b"],
	["ns/* is that namespace", sidecar('{egress: [{hosts: ["foo/*"]}]}'), "c"],
	["*/host is that host wherever it is", sidecar('{egress: [{hosts: ["*/d.bar.svc.cluster.local"]}]}'), "d"],
	["~/* is nothing", sidecar('{egress: [{hosts: ["~/*"]}]}'), ""],
	["a wildcard host counts", sidecar('{egress: [{hosts: ["*/*.foo.svc.cluster.local"]}]}'), "c"],
	["without egress everything is visible", sidecar("{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}"), "a b c d"],
	["the root namespace's Sidecar is the default of all", sidecar('{egress: [{hosts: ["./*"]}]}', "r", "istio-system"), "a b"],
	["the namespace's Sidecar beats the root's", sidecar('{egress: [{hosts: ["./*"]}]}', "r", "istio-system") + sidecar('{egress: [{hosts: ["bar/*"]}]}'), "d"],
	[
		"a Sidecar with a matching selector beats the namespace's",
		sidecar('{egress: [{hosts: ["./*"]}]}') + sidecar('{workloadSelector: {labels: {app: client}}, egress: [{hosts: ["bar/*"]}]}', "sel"),
		"d",
	],
	[
		"a VirtualService of an imported host pulls in where it sends to",
		`${sidecar('{egress: [{hosts: ["./a.default.svc.cluster.local"]}]}')}
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec: {hosts: [a], http: [{route: [{destination: {host: c.foo.svc.cluster.local, port: {number: 80}}}]}]}
---`,
		"a c",
	],
	[
		"exportTo on a Service hides it",
		"apiVersion: v1\nkind: Service\nmetadata: {name: d, namespace: bar, annotations: {networking.istio.io/exportTo: '.'}}\nspec: {ports: [{port: 80}]}\n",
		"a b c",
	],
];

for (const [title, yaml, expected] of cases) test(title, () => assert.equal(visible(yaml, "default", { app: "client" }), expected));

test("an egress listener with a port narrows services to that port", () => {
	const push = createTestMesh().apply(mesh + sidecar('{egress: [{port: {number: 90, protocol: TCP, name: t}, hosts: ["./a.default.svc.cluster.local"]}]}'));
	const [listener] = contextOf(push).scope.egress;
	assert.deepEqual(
		listener?.services.map(({ hostname, ports }) => [hostname, ports.map(({ port }) => port)]),
		[["a.default.svc.cluster.local", [90]]],
	);
});

test("what a VirtualService pulls in is narrowed to the ports that it names", () => {
	const yaml = `${sidecar('{egress: [{hosts: ["./a.default.svc.cluster.local"]}]}')}
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec: {hosts: [a], http: [{route: [{destination: {host: c.foo.svc.cluster.local, port: {number: 80}}}]}]}
---
`;
	const { scope } = contextOf(createTestMesh().apply(mesh + yaml));
	assert.deepEqual(
		scope.serviceByHost.get("c.foo.svc.cluster.local")?.ports.map(({ port }) => port),
		[80],
	);
});

test("proxies of one namespace share a scope unless a label that something selects by differs", () => {
	const push = createTestMesh().apply(mesh);
	assert.equal(contextOf(push, { LABELS: { app: "x" } }).scope, contextOf(push, { LABELS: { app: "y" } }).scope);
	const rule =
		"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r, namespace: default}\nspec: {host: a, workloadSelector: {matchLabels: {app: x}}}\n";
	const selecting = createTestMesh().apply(mesh + rule);
	assert.notEqual(contextOf(selecting, { LABELS: { app: "x" } }).scope, contextOf(selecting, { LABELS: { app: "y" } }).scope);
});

test("a Kubernetes Service beats a ServiceEntry on its host, which the listeners still see", () => {
	const entry =
		"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: default}\nspec: {hosts: [a.default.svc.cluster.local], resolution: STATIC, ports: [{number: 99, name: http, protocol: HTTP}], endpoints: [{address: 192.0.2.1}]}\n";
	const { scope } = contextOf(createTestMesh().apply(mesh + entry));
	assert.equal(scope.serviceByHost.get("a.default.svc.cluster.local")?.registry, "Kubernetes");
	assert.equal(scope.egress[0]?.services.filter(({ hostname }) => hostname === "a.default.svc.cluster.local").length, 2);
});

test("ServiceEntries of one namespace on one host lend each other their ports", () => {
	const entry = (name: string, port: number) =>
		`apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: ${name}, namespace: default}\nspec: {hosts: [x.example.org], resolution: DNS, ports: [{number: ${port}, name: p${port}, protocol: HTTP}]}\n---\n`;
	const { scope } = contextOf(createTestMesh().apply(entry("e1", 80) + entry("e2", 81)));
	assert.deepEqual(
		scope.serviceByHost.get("x.example.org")?.ports.map(({ port }) => port),
		[80, 81],
	);
});

test("namespaces that see the same VirtualServices have one list of them, over pushes too", () => {
	const route = (name: string, extra = "") => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${name}, namespace: default}
spec: {${extra}hosts: [${name}], http: [{route: [{destination: {host: ${name}}}]}]}
---
`;
	const { apply } = createTestMesh();
	const lists = (yaml: string) => {
		const push = apply(mesh + yaml);
		return ["default", "foo", "bar"].map((namespace) => contextOf(push, {}, namespace).scope.egress[0]?.virtualServices);
	};
	const [own, foo, bar] = lists(route("a") + route("b", 'exportTo: ["."], '));
	assert.deepEqual(
		[own, foo].map((list) => list?.map(({ name }) => name)),
		[["b", "a"], ["a"]],
	);
	assert.equal(foo, bar);
	const [, fooAgain, barAgain] = lists(`${route("a") + route("b", 'exportTo: ["."], ')}
apiVersion: v1
kind: Service
metadata: {name: late, namespace: foo}
spec: {clusterIP: 10.0.0.2, ports: [{name: http, port: 80}]}
---
`);
	assert.equal(fooAgain, barAgain);
});

test("classes that see the same services under the same rules have one lookup, and a rule for some of them sets them apart", () => {
	const rule = (namespace: string, exportTo: string) => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: r-${namespace}, namespace: ${namespace}}
spec: {host: a.default.svc.cluster.local, exportTo: ["${exportTo}"], subsets: [{name: ${namespace}, labels: {version: v1}}]}
---
`;
	const lookups = (yaml: string) => {
		const push = createTestMesh().apply(mesh + yaml);
		return ["default", "foo", "bar"].map((namespace) => contextOf(push, {}, namespace).scope.destinationRule);
	};
	const host = "a.default.svc.cluster.local";
	const [own, foo, bar] = lookups(rule("default", "*"));
	assert.ok(own === foo && foo === bar);
	const apart = lookups(rule("default", "*") + rule("foo", "."));
	assert.deepEqual(
		apart.map((lookup) => lookup(host)?.name),
		["r-default", "r-foo", "r-default"],
	);
	assert.equal(apart[0], apart[2]);
});
