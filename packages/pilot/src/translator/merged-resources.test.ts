import assert from "node:assert/strict";
import { test } from "node:test";
import { MergedResources } from "./merged-resources.ts";

const named = (...names: readonly string[]) => new Map(names.map((name) => [name, { name, version: name, bytes: new Uint8Array() }] as const));

test("two sorted sets read as one sorted map", () => {
	for (const few of [[], ["a"], ["b", "d", "z"], ["x", "y"]]) {
		const [merged, map] = [new MergedResources(named("c", "e", "f"), named(...few)), new Map([...named("c", "e", "f", ...few)].sort())];
		assert.deepEqual([...merged], [...map]);
		assert.deepEqual([...merged.keys()], [...map.keys()]);
		assert.deepEqual([...merged.values()], [...map.values()]);
		assert.equal(merged.size, map.size);
		for (const name of "abcdefz") assert.deepEqual([merged.has(name), merged.get(name)], [map.has(name), map.get(name)]);
		const seen: string[] = [];
		merged.forEach((resource, name) => seen.push(`${name} ${resource.version}`));
		assert.deepEqual(
			seen,
			[...map.keys()].map((name) => `${name} ${name}`),
		);
	}
});
