import assert from "node:assert/strict";
import { test } from "node:test";
import type { Resources } from "./context.ts";
import { MergedResources, PatchedResources } from "./derived-resources.ts";

const resourceOf = (name: string, version = name) => ({ name, version, bytes: new Uint8Array() });
const named = (...names: readonly string[]) => new Map(names.map((name) => [name, resourceOf(name)]));

function assertReadsAs(derived: Resources, map: Resources, absent: readonly string[]): void {
	assert.deepEqual([...derived], [...map]);
	assert.deepEqual([...derived.keys()], [...map.keys()]);
	assert.deepEqual([...derived.values()], [...map.values()]);
	assert.equal(derived.size, map.size);
	for (const name of [...map.keys(), ...absent]) assert.deepEqual([derived.has(name), derived.get(name)], [map.has(name), map.get(name)]);
	const seen: string[] = [];
	derived.forEach((resource, name) => seen.push(`${name} ${resource.version}`));
	assert.deepEqual(
		seen,
		[...map].map(([name, { version }]) => `${name} ${version}`),
	);
}

test("two sorted sets read as one sorted map", () => {
	for (const few of [[], ["a"], ["b", "d", "z"], ["x", "y"]]) {
		const map = new Map([...named("c", "e", "f", ...few)].sort());
		assertReadsAs(new MergedResources(named("c", "e", "f"), named(...few)), map, ["0", "g"]);
	}
});

test("a patched set reads as a map with the replacements in their places, whatever was patched before", () => {
	const names = Array.from({ length: 200 }, (_, i) => `host-${i}`);
	const map = named(...names);
	let patched: Resources = named(...names);
	for (let edit = 0; edit < 150; edit++) {
		const replacements = [names[(edit * 7) % 200], names[edit % 3]].map((name) => resourceOf(name as string, `v${edit}`));
		const [before, versions] = [patched, [...patched.values()].map(({ version }) => version)];
		patched = PatchedResources.of(patched, replacements);
		for (const resource of replacements) map.set(resource.name, resource);
		assertReadsAs(patched, map, ["none", ""]);
		assert.deepEqual(
			[...before.values()].map(({ version }) => version),
			versions,
		);
	}
});
