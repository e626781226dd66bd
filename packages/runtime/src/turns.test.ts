import assert from "node:assert/strict";
import { test } from "node:test";
import { createTurns } from "./turns.ts";

const nextLoop = () => new Promise((resolve) => setImmediate(resolve));

test("pieces of work that fit into a turn follow each other at once", () => {
	const turns = createTurns({ monotonicMs: () => 0 });
	for (let i = 0; i < 1000; i++) assert.equal(turns.next(), undefined);
});

test("what does not fit waits for a later turn of the event loop, in the order of asking", async () => {
	let now = 0;
	const turns = createTurns({ monotonicMs: () => now });
	const done: string[] = [];
	const work = async (name: string) => {
		for (let piece = 0; piece < 2; piece++) {
			const turn = turns.next();
			if (turn) await turn;
			done.push(`${name}${piece}`);
			now += 6;
		}
	};
	const all = Promise.all(["a", "b", "c"].map(work));
	const perLoop: string[][] = [];
	for (let i = 0; i < 10; i++) {
		perLoop.push(done.splice(0));
		await nextLoop();
	}
	await all;
	assert.deepEqual(perLoop.flat(), ["a0", "a1", "b0", "b1", "c0", "c1"]);
	assert.deepEqual(perLoop[0], ["a0", "a1"]);
	for (const loop of perLoop) assert.ok(loop.length <= 2, loop.join());
});
