import assert from "node:assert/strict";
import { test } from "node:test";
import { KnownEndpoints } from "./known-endpoints.ts";

const none = new Map();

test("what one index finds out is known to the others that its key was not touched between", () => {
	const first = new KnownEndpoints();
	const [a, b, newB] = [new Map(none), new Map(none), new Map(none)];
	first.set("a", a);
	first.set("b", b);
	const second = first.without(new Set(["b"]));
	const third = second.without(new Set(["c"]));
	assert.deepEqual([second.get("a"), second.get("b")], [a, undefined]);
	second.set("b", newB);
	assert.equal(first.get("b"), b, "an earlier index keeps its own");
	assert.equal(third.get("b"), undefined, "a later one has yet to look");
	const late = new Map(none);
	third.set("d", late);
	assert.equal(first.get("d"), late);
	third.set("c", newB);
	assert.deepEqual([first.get("c"), second.get("c")], [undefined, undefined]);
});

test("any number of touched keys is as if each index had a map of its own", () => {
	let known = new KnownEndpoints();
	let model = new Map<string, ReadonlyMap<string, never[]>>();
	const keys = Array.from({ length: 100 }, (_, i) => `key-${i}`);
	for (let round = 0; round < 300; round++) {
		const touched = new Set(keys.filter((_, i) => (i * 31 + round * 17) % 97 < round % 9));
		const [last, lastModel] = [known, model];
		known = known.without(touched);
		model = new Map([...model].filter(([key]) => !touched.has(key)));
		for (const key of [keys[round % 100], keys[(round * 7) % 100]] as string[]) {
			const endpoints = model.get(key) ?? new Map();
			known.set(key, endpoints);
			model.set(key, endpoints);
		}
		for (const key of keys) assert.equal(known.get(key), model.get(key), key);
		for (const [key, endpoints] of lastModel) if (touched.has(key)) assert.equal(last.get(key), endpoints, `${key} before`);
	}
});
