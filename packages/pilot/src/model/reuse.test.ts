import assert from "node:assert/strict";
import { test } from "node:test";
import { createMemo } from "../translator/memo.ts";
import { createReuse } from "./reuse.ts";

test("a value is kept while the same inputs come again", () => {
	const reuse = createReuse<object>();
	const input = {};
	const first = reuse.get("k", [input, 1], () => ({}));
	reuse.advance();
	assert.equal(
		reuse.get("k", [input, 1], () => ({})),
		first,
	);
	assert.notEqual(
		reuse.get("k", [{}, 1], () => ({})),
		first,
		"another object is another input",
	);
});

test("a value that nobody asks for is dropped in the end", () => {
	const reuse = createReuse<object>();
	const first = reuse.get("k", [], () => ({}));
	for (let i = 0; i < 9; i++) reuse.advance();
	assert.notEqual(
		reuse.get("k", [], () => ({})),
		first,
	);
});

test("a memo tells its objects apart by identity and its texts by content", () => {
	const memo = createMemo<number>();
	let builds = 0;
	const [a, b, c] = [{}, {}, {}];
	const get = (objects: readonly [object, ...object[]], key: string) => memo.get(objects, key, () => ++builds);
	assert.equal(get([a, b], "x"), 1);
	assert.equal(get([a, b], "x"), 1);
	assert.equal(get([a, c], "x"), 2);
	assert.equal(get([a, b], "y"), 3);
	assert.equal(get([b, a], "x"), 4);
});

test("a memo holds no more than its limit of entries under one object", () => {
	const memo = createMemo<number>();
	const anchor = {};
	let builds = 0;
	for (let i = 0; i < 513; i++) memo.get([anchor], String(i), () => ++builds);
	memo.get([anchor], "512", () => ++builds);
	assert.equal(builds, 513);
	memo.get([anchor], "0", () => ++builds);
	assert.equal(builds, 514, "the oldest were forgotten");
});
