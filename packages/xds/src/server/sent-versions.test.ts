import assert from "node:assert/strict";
import { test } from "node:test";
import type { EncodedResource } from "./resource.ts";
import { SentVersions } from "./sent-versions.ts";

const whole = (versions: Readonly<Record<string, string>>): ReadonlyMap<string, EncodedResource> =>
	new Map(Object.entries(versions).map(([name, version]) => [name, { name, version, bytes: new Uint8Array() }]));

test("what was sent one by one", () => {
	const sent = new SentVersions();
	assert.equal(sent.isEmpty, true);
	sent.set("a", "1");
	sent.set("b", "");
	sent.delete("c");
	assert.deepEqual([sent.get("a"), sent.get("b"), sent.has("b"), sent.has("c"), sent.isEmpty], ["1", "", true, false, false]);
	sent.delete("a");
	assert.deepEqual([...sent.names()], ["b"]);
});

test("what differs from a whole that others have as well", () => {
	const shared = whole({ a: "1", b: "1", c: "1" });
	const sent = new SentVersions();
	sent.set("old", "1");
	sent.set("other", "7");
	sent.replace(shared, ["other", "unknown", "a"]);
	sent.set("a", "2");
	sent.set("new", "1");
	sent.delete("b");
	assert.deepEqual([...sent.names()].sort(), ["a", "c", "new", "other"]);
	assert.deepEqual(
		["a", "b", "c", "new", "old", "other", "unknown"].map((name) => sent.get(name)),
		["2", undefined, "1", "1", undefined, "7", undefined],
	);
	sent.set("a", "1");
	sent.set("b", "1");
	sent.delete("new");
	sent.delete("other");
	assert.deepEqual([...sent.names()], ["a", "b", "c"]);
	for (const name of [...sent.names()]) sent.delete(name);
	assert.equal(sent.isEmpty, true);
	sent.replace(whole({ b: "3" }), []);
	assert.deepEqual([sent.get("b"), sent.has("a")], ["3", false]);
	assert.equal(shared.size, 3);
});

test("a whole that is released leaves its versions", () => {
	const sent = new SentVersions();
	sent.replace(whole({ a: "1", b: "1", c: "1" }), []);
	sent.set("a", "2");
	sent.delete("b");
	sent.release();
	assert.deepEqual(
		[...sent.names()].sort().map((name) => [name, sent.get(name)]),
		[
			["a", "2"],
			["c", "1"],
		],
	);
});
