import assert from "node:assert/strict";
import { test } from "node:test";
import type { AnyConfig } from "@weft/api";
import { createStore } from "@weft/galley";
import { buildPush } from "./build-push.ts";
import type { PushSnapshot } from "./push.ts";

const host = "a.default.svc.cluster.local";
const object = (kind: string, spec: object) =>
	({ apiVersion: "networking.istio.io/v1", kind, metadata: { name: "a", namespace: "default", labels: {}, annotations: {} }, spec }) as unknown as AnyConfig;
const routeTo = (subset: string, parts: object = {}) =>
	object("VirtualService", { hosts: [host], http: [{ route: [{ destination: { host: "a", subset } }], ...parts }] });
const rule = (hosts: string, ...subsets: readonly string[]) =>
	object("DestinationRule", { host: hosts, subsets: subsets.map((name) => ({ name, labels: { version: name } })) });

/** Applies one edit after another to a running control plane; the subset that each push routes to. */
function subsetsAfter(edits: readonly (readonly AnyConfig[])[]): readonly (readonly [string | undefined, number])[] {
	const store = createStore();
	let push: PushSnapshot | undefined;
	const rebuild = () => buildPush({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" }, push);
	push = rebuild();
	return edits.map((upsert) => {
		store.apply({ source: "test", upsert, remove: [] });
		push = rebuild();
		return [push.virtualServices[0]?.spec.http?.[0]?.route?.[0]?.destination.subset, push.heldVirtualServices.size] as const;
	});
}

test("a VirtualService waits for the subsets that it names", () => {
	const cases = [
		{
			name: "the rule was there before",
			edits: [[rule("a", "v1")], [routeTo("v1")]],
			expected: [
				[undefined, 0],
				["v1", 0],
			],
		},
		{ name: "both come at once", edits: [[routeTo("v1"), rule("a", "v1")]], expected: [["v1", 0]] },
		{
			name: "the rule comes later, the default serves until then",
			edits: [[routeTo("v1")], [rule("a", "v1")]],
			expected: [
				[undefined, 1],
				["v1", 0],
			],
		},
		{
			name: "the subset comes later, the last version serves until then",
			edits: [[routeTo("v1"), rule("a", "v1")], [routeTo("v2")], [routeTo("v3")], [rule("a", "v1", "v3")]],
			expected: [
				["v1", 0],
				["v1", 1],
				["v1", 1],
				["v3", 0],
			],
		},
		{
			name: "the last version's subset goes, too",
			edits: [
				[routeTo("v1"), rule("a", "v1")],
				[routeTo("v2"), rule("a", "v3")],
			],
			expected: [
				["v1", 0],
				[undefined, 1],
			],
		},
		{
			name: "a wildcard's subset counts",
			edits: [[rule("*.default.svc.cluster.local", "v1")], [routeTo("v1")]],
			expected: [
				[undefined, 0],
				["v1", 0],
			],
		},
		{
			name: "mirrors count",
			edits: [[rule("a", "v1"), routeTo("v1")], [routeTo("v1", { mirror: { host: "a", subset: "v2" } })]],
			expected: [
				["v1", 0],
				["v1", 1],
			],
		},
	] as const;
	for (const { name, edits, expected } of cases) assert.deepEqual(subsetsAfter(edits), expected, name);
});

test("without an earlier snapshot everything is as it is written", () => {
	const store = createStore();
	store.apply({ source: "test", upsert: [routeTo("v1")], remove: [] });
	const push = buildPush({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" });
	assert.deepEqual([push.virtualServices.length, push.heldVirtualServices.size], [1, 0]);
});
