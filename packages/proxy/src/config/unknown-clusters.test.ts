import assert from "node:assert/strict";
import { test } from "node:test";
import { chainOf, forwardTo, listenerOf, managerOf, routeOf, tableOf } from "../data/worker/standalone.ts";
import { findUnknownClusters, findUnknownClustersOfListener } from "./unknown-clusters.ts";

const noHeaders = { requestAdd: [], requestRemove: [], responseAdd: [], responseRemove: [] };
const isThere = (name: string) => name === "there";
const table = {
	...tableOf([
		routeOf("/a", forwardTo("missing")),
		routeOf("/b", {
			...forwardTo("there"),
			cluster: {
				kind: "weighted",
				clusters: ["there", "light"].map((name) => ({ name, weight: 1, headers: noHeaders, hostRewrite: undefined, filters: {} })),
				totalWeight: 2,
				header: "",
				usesHashPolicy: false,
			},
		}),
		routeOf("/c", { ...forwardTo("there"), mirrors: [{ cluster: "shadow", fraction: { numerator: 100, denominator: 100 }, shadowSuffix: true }] }),
		routeOf("/d", forwardTo("missing")),
		routeOf("/e", { ...forwardTo("there"), cluster: { kind: "header", name: "x-cluster" } }),
	]),
	validatesClusters: true,
};
const expected = ["route: unknown cluster 'missing'", "route: unknown weighted cluster 'light'", "route: unknown shadow cluster 'shadow'"];

test("every way to name a cluster is looked at, and each is told once", () => {
	assert.deepEqual(findUnknownClusters(table, isThere), expected);
	assert.deepEqual(
		findUnknownClusters(table, () => true),
		[],
	);
});

test("a table that does not ask for it is answered by its requests", () => {
	assert.deepEqual(findUnknownClusters({ ...table, validatesClusters: false }, isThere), []);
});

test("tables inside a listener, that of its default chain too", () => {
	const chain = chainOf([managerOf(table)]);
	assert.deepEqual(findUnknownClustersOfListener(listenerOf("l", [chain]), isThere), expected);
	assert.deepEqual(findUnknownClustersOfListener(listenerOf("l", [], { defaultFilterChain: chain }), isThere), expected);
});
