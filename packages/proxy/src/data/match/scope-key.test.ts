import assert from "node:assert/strict";
import { test } from "node:test";
import { type RouteScope, scopeKeyText, type ScopeKeyFragment } from "../../config/route-scopes.ts";
import { createRequestView } from "../headers/headers-view.ts";
import { tableOf } from "../worker/standalone.ts";
import { compileScopeKey, compileScopes, tableOfScope } from "./scope-key.ts";
import type { RouteTableInputs } from "./route-table.ts";

const inputs = { environment: { hostname: "h", env: {}, nowMs: () => 0 }, hash64: () => 0n } as unknown as RouteTableInputs;
const at = (header: string, index: number, elementSeparator = ","): ScopeKeyFragment => ({ header, elementSeparator, extract: { kind: "index", index } });
const scope = (name: string, key: readonly string[], routes: RouteScope["routes"]): RouteScope => ({ name, onDemand: false, key, routes });

test("a key has a part of each header, or there is none", () => {
	const keyOf = compileScopeKey([at("x-a", 1), { header: "x-b", elementSeparator: ";", extract: { kind: "element", separator: ":", key: "k" } }]);
	const of = (headers: Readonly<Record<string, string>>) => keyOf(createRequestView({ headers }));
	assert.equal(of({ "x-a": "0,1", "x-b": "a:b;k:v:w" }), scopeKeyText(["1", "v:w"]));
	assert.equal(of({ "x-a": "0,1", "x-b": "k" }), scopeKeyText(["1", ""]));
	assert.equal(of({ "x-a": "0", "x-b": "k:v" }), undefined);
	assert.equal(of({ "x-a": "0,1", "x-b": "kk:v" }), undefined);
	assert.equal(of({ "x-a": "0,1" }), undefined);
});

test("of a header that comes several times the first counts, and pseudo headers are headers", () => {
	const request = createRequestView({ authority: "a.example", headers: { "x-a": "one" } });
	request.append("x-a", "two");
	assert.equal(compileScopeKey([at("x-a", 0, "")])(request), scopeKeyText(["one"]));
	assert.equal(compileScopeKey([at(":authority", 1, ".")])(request), scopeKeyText(["example"]));
	assert.equal(compileScopeKey([at("host", 0, ".")])(request), scopeKeyText(["a"]));
});

test("keys are equal only part by part", () => {
	assert.notEqual(scopeKeyText(["a", "b"]), scopeKeyText(["ab", ""]));
	assert.notEqual(scopeKeyText(["1:a"]), scopeKeyText(["", "a"]));
});

test("scopes are found by their present keys, with their own tables or those of the snapshot", () => {
	const errors: string[] = [];
	const onError = (name: string) => void errors.push(name);
	const first = compileScopes(
		new Map(),
		{ upsert: [scope("a", ["1"], { kind: "inline", table: tableOf([]) }), scope("b", ["2"], { kind: "rds", name: "r" })], remove: [] },
		inputs,
		onError,
	);
	const [a, b] = ["1", "2"].map((part) => first.get(scopeKeyText([part])));
	assert.ok(a && tableOfScope(a, new Map()));
	assert.equal(b && tableOfScope(b, new Map()), undefined);
	const swapped = compileScopes(
		first,
		{ upsert: [scope("a", ["2"], { kind: "rds", name: "r" }), scope("b", ["1"], { kind: "rds", name: "r" })], remove: [] },
		inputs,
		onError,
	);
	assert.deepEqual(
		[...swapped].map(([key, { config }]) => [key, config.name]),
		[
			[scopeKeyText(["2"]), "a"],
			[scopeKeyText(["1"]), "b"],
		],
	);
	assert.equal(compileScopes(swapped, { upsert: [], remove: ["a", "b"] }, inputs, onError).size, 0);
	const twice = compileScopes(
		new Map(),
		{ upsert: [scope("a", ["1"], { kind: "rds", name: "r" }), scope("a", ["2"], { kind: "rds", name: "r" })], remove: [] },
		inputs,
		onError,
	);
	assert.deepEqual([...twice.keys()], [scopeKeyText(["2"])]);
	assert.deepEqual(errors, []);
});
