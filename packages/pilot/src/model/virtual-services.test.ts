import assert from "node:assert/strict";
import { test } from "node:test";
import { createTestMesh } from "../translator/routes/test-mesh.ts";
import type { VirtualService } from "./push.ts";

const vs = (name: string, namespace: string, spec: string, created = "2026-01-01T00:00:00Z") => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${name}, namespace: ${namespace}, creationTimestamp: "${created}"}
spec: ${spec}
---
`;

function build(yaml: string): readonly VirtualService[] {
	return createTestMesh().apply(yaml).virtualServices;
}

test("short names are written out in the namespace of the VirtualService", () => {
	const spec =
		"{hosts: [a, b.example.org], gateways: [mesh, edge, other/gw], http: [{match: [{uri: {prefix: /x}, gateways: [edge]}], route: [{destination: {host: c}}], mirror: {host: d}}]}";
	const [found] = build(vs("v", "foo", spec));
	assert.deepEqual(found?.hosts, ["a.foo.svc.cluster.local", "b.example.org"]);
	assert.deepEqual(found?.gateways, ["mesh", "foo/edge", "other/gw"]);
	const [route] = found?.spec.http ?? [];
	assert.deepEqual(
		[route?.match?.[0]?.gateways, route?.route?.[0]?.destination.host, route?.mirror?.host],
		[["foo/edge"], "c.foo.svc.cluster.local", "d.foo.svc.cluster.local"],
	);
});

test("without gateways a VirtualService is for the mesh", () => {
	assert.deepEqual(build(vs("v", "foo", "{hosts: [a], http: [{route: [{destination: {host: a}}]}]}"))[0]?.gateways, ["mesh"]);
});

test("they are sorted by age, then name, then namespace", () => {
	const spec = "{hosts: [a], http: [{route: [{destination: {host: a}}]}]}";
	const names = build(vs("b", "foo", spec) + vs("a", "foo", spec) + vs("a", "bar", spec) + vs("z", "foo", spec, "2025-01-01T00:00:00Z")).map(
		({ name, namespace }) => `${namespace}/${name}`,
	);
	assert.deepEqual(names, ["foo/z", "bar/a", "foo/a", "foo/b"]);
});

const root = (match: string) => vs("root", "default", `{hosts: [shop], http: [{name: outer, ${match}delegate: {name: part, namespace: foo}, timeout: 7s}]}`);
const part = (http: string, more = "") => vs("part", "foo", `{${more}http: [${http}]}`);
const to = "route: [{destination: {host: b}}]";

interface DelegateCase {
	readonly title: string;
	readonly yaml: string;
	readonly expected: readonly unknown[];
}

const delegates: readonly DelegateCase[] = [
	{
		title: "a delegate's route stands in the root with the root's match",
		yaml: root("match: [{uri: {prefix: /a}}], ") + part(`{${to}}`),
		expected: [[{ uri: { prefix: "/a" } }]],
	},
	{
		title: "a delegate's match is kept where the root asks for nothing",
		yaml: root("") + part(`{match: [{uri: {exact: /x}}], ${to}}`),
		expected: [[{ uri: { exact: "/x" } }]],
	},
	{
		title: "both matches must hold, the more exact uri stands",
		yaml: root("match: [{uri: {prefix: /a}, headers: {h: {exact: v}}}], ") + part(`{match: [{uri: {prefix: /a/b}, method: {exact: GET}}], ${to}}`),
		expected: [[{ uri: { prefix: "/a/b" }, headers: { h: { exact: "v" } }, method: { exact: "GET" } }]],
	},
	{
		title: "a route that contradicts the root is dropped",
		yaml: root("match: [{uri: {prefix: /a}}], ") + part(`{match: [{uri: {prefix: /b}}], ${to}}, {${to}}`),
		expected: [[{ uri: { prefix: "/a" } }]],
	},
	{ title: "a port that contradicts the root's drops the route", yaml: root("match: [{port: 80}], ") + part(`{match: [{port: 81}], ${to}}`), expected: [] },
	{ title: "a delegate that the root may not see gives nothing", yaml: root("") + part(`{${to}}`, 'exportTo: ["."], '), expected: [] },
	{ title: "a delegate that does not exist gives nothing", yaml: root(""), expected: [] },
];
for (const { title, yaml, expected } of delegates) {
	test(title, () => {
		const all = build(yaml);
		assert.deepEqual(
			all.map(({ name }) => name),
			["root"],
		);
		assert.deepEqual(
			all[0]?.spec.http?.map(({ match }) => match),
			expected,
		);
	});
}

test("a delegate's hosts are its own namespace's, what it leaves open comes from the root, and both names are joined", () => {
	const [route] = build(root("") + part(`{name: inner, ${to}}`))[0]?.spec.http ?? [];
	assert.deepEqual([route?.name, route?.timeout, route?.route?.[0]?.destination.host], ["outer-inner", "7s", "b.foo.svc.cluster.local"]);
});

test("an edit changes the identity of that VirtualService alone; a delegate's edit that of its root", () => {
	const mesh = createTestMesh();
	const spec = (timeout: string) => `{hosts: [a], http: [{timeout: ${timeout}, ${to}}]}`;
	const first = mesh.apply(vs("v", "default", spec("1s")) + root("") + part(`{${to}}`)).virtualServices;
	const second = mesh.apply(vs("v", "default", spec("2s"))).virtualServices;
	const same = (a: readonly VirtualService[], b: readonly VirtualService[]) => b.filter((item) => a.includes(item)).map(({ name }) => name);
	assert.deepEqual(same(first, second), ["root"]);
	assert.deepEqual(same(second, mesh.apply(part(`{timeout: 3s, ${to}}`)).virtualServices), ["v"]);
});
