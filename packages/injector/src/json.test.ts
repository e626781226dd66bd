import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { isSameJson, nestingDepth } from "./json.ts";

suite("nesting depth", () => {
	for (const [text, depth] of [
		["1", 0],
		["[]", 1],
		['{"a":[{"b":1}]}', 3],
		['{"a":"[[[["}', 1],
		['{"a":"\\"[["}', 1],
		["[".repeat(100_000), 100_000],
	] as const) {
		test(`${text.slice(0, 20)} is ${depth}`, () => assert.equal(nestingDepth(text), depth));
	}
});

test("the order of fields does not matter, that of lists does", () => {
	assert.ok(isSameJson({ a: 1, b: [1, 2] }, { b: [1, 2], a: 1 }));
	assert.ok(!isSameJson([1, 2], [2, 1]));
	assert.ok(isSameJson({ a: undefined }, {}));
	assert.ok(!isSameJson({ a: null }, {}));
});
