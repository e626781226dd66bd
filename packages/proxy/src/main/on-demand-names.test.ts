import assert from "node:assert/strict";
import { test } from "node:test";
import { OnDemandNames } from "./on-demand-names.ts";

const never = () => false;

test("a name is asked for once at a time, and again after a while", () => {
	const names = new OnDemandNames();
	const asked = [names.want("a", 0, never), names.want("a", 500, never), names.want("a", 1_500, never), names.want("b", 1_500, never)];
	assert.deepEqual(asked, ["ask", "asked", "again", "ask"]);
	assert.deepEqual([...names.names], ["a", "b"]);
	assert.deepEqual(names.forget(["b", "c"]), ["b"]);
	assert.equal(names.want("b", 1_600, never), "ask");
});

test("what arrives is told of once to those who wait", () => {
	const names = new OnDemandNames();
	names.want("a", 0, never);
	names.want("b", 0, never);
	const isThere = (name: string) => name === "a";
	assert.deepEqual(names.arrived(isThere), ["a"]);
	assert.deepEqual(names.arrived(isThere), []);
	assert.ok(names.has("a") && names.has("b"));
});

test("of too many the oldest that may go is given up; where none may, no more are asked for", () => {
	const names = new OnDemandNames();
	for (let i = 0; i < 10_000; i++) names.want(String(i), 0, never);
	assert.equal(names.want("more", 0, never), "full");
	assert.equal(
		names.want("more", 0, (name) => Number(name) >= 5),
		"ask",
	);
	assert.ok([...names.names].includes("4") && ![...names.names].includes("5"));
});
