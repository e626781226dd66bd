import assert from "node:assert/strict";
import { test } from "node:test";
import { claimMeshNumber, preferredNumber } from "./mesh-number.ts";

test("a folder prefers the same number always", () => {
	assert.equal(preferredNumber("/home/anna/.weft"), preferredNumber("/home/anna/.weft"));
	assert.notEqual(preferredNumber("/home/anna/.weft"), preferredNumber("/home/anna/other/.weft"));
});

test("two meshes that prefer one number get two, and a number that was given back is taken again", async () => {
	const first = await claimMeshNumber(150);
	const second = await claimMeshNumber(first.number);
	assert.notEqual(second.number, first.number);
	first.release();
	const third = await claimMeshNumber(first.number);
	assert.equal(third.number, first.number);
	second.release();
	third.release();
});
