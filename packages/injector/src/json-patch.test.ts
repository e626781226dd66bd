import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { isSameJson, type Json } from "./json.ts";
import { createPatch, type PatchOperation } from "./json-patch.ts";

/** Applies as an API server does: operation by operation, the path split at slashes. */
function apply(document: Json, operations: readonly PatchOperation[]): Json {
	const root = { "": structuredClone(document) as unknown };
	for (const operation of operations) {
		const keys = operation.path.split("/").map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
		const last = keys.pop() ?? "";
		let parent: unknown = root;
		for (const key of keys) parent = (parent as Record<string, unknown>)[key];
		if (Array.isArray(parent)) {
			const index = Number(last);
			if (operation.op === "add") parent.splice(index, 0, structuredClone(operation.value));
			else if (operation.op === "remove") assert.equal(parent.splice(index, 1).length, 1);
			else parent[index] = structuredClone(operation.value);
			continue;
		}
		const object = parent as Record<string, unknown>;
		if (operation.op === "remove") {
			assert.ok(Object.hasOwn(object, last));
			delete object[last];
		} else object[last] = structuredClone(operation.value);
	}
	return root[""] as Json;
}

suite("patches", () => {
	for (const [name, from, to, expected] of [
		["nothing for equal values", { a: [1] }, { a: [1] }, []],
		["an escaped key", { m: {} }, { m: { "a/b~c": "v" } }, [{ op: "add", path: "/m/a~1b~0c", value: "v" }]],
		["a changed scalar", { a: { b: 1 } }, { a: { b: 2 } }, [{ op: "replace", path: "/a/b", value: 2 }]],
		["a removed field of a prototype's name", JSON.parse('{"__proto__":1}') as Json, {}, [{ op: "remove", path: "/__proto__" }]],
		["a removed field", { a: 1, b: 2 }, { b: 2 }, [{ op: "remove", path: "/a" }]],
		["an item before", { c: [{ name: "app" }] }, { c: [{ name: "proxy" }, { name: "app" }] }, [{ op: "add", path: "/c/0", value: { name: "proxy" } }]],
		[
			"a moved item, others untouched",
			{ c: [{ name: "a" }, { name: "b" }, { name: "c" }] },
			{ c: [{ name: "b" }, { name: "c" }, { name: "a" }] },
			[
				{ op: "remove", path: "/c/0" },
				{ op: "add", path: "/c/2", value: { name: "a" } },
			],
		],
		["a list without names as a whole", { a: ["x", "y"] }, { a: ["y"] }, [{ op: "replace", path: "/a", value: ["y"] }]],
	] as const) {
		test(name, () => {
			assert.deepEqual(createPatch(from, to), expected);
			assert.deepEqual(apply(from, createPatch(from, to)), to);
		});
	}

	test("any value becomes any other", () => {
		const named = fc.uniqueArray(fc.record({ name: fc.constantFrom("a", "b", "c", "d", "e"), x: fc.integer({ min: 0, max: 2 }) }), {
			selector: (item) => item.name,
		});
		const value = fc.dictionary(fc.constantFrom("k", "a/b", "~", ""), fc.oneof(named, fc.integer(), fc.array(fc.string(), { maxLength: 3 })), { maxKeys: 4 });
		fc.assert(
			fc.property(value, value, (from, to) => {
				assert.ok(isSameJson(apply(from, createPatch(from, to)), to));
			}),
			{ numRuns: 300 },
		);
	});
});
