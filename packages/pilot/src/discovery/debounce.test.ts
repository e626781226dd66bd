import assert from "node:assert/strict";
import { test } from "node:test";
import { manualClock } from "../test-clock.ts";
import { createDebounce } from "./debounce.ts";

function harness(run?: () => Promise<void>) {
	const clock = manualClock();
	const batches: { values: readonly number[]; atMs: number }[] = [];
	const notify = createDebounce<readonly number[]>({
		quietMs: 100,
		capMs: 1000,
		clock,
		merge: (a, b) => [...a, ...b],
		run: async (values) => {
			batches.push({ values, atMs: clock.monotonicMs() });
			await run?.();
		},
		signal: new AbortController().signal,
	});
	return { clock, batches, notify };
}

test("a single event runs after the quiet time", async () => {
	const { clock, batches, notify } = harness();
	notify([1]);
	await clock.advance(99);
	assert.deepEqual(batches, []);
	await clock.advance(1);
	assert.deepEqual(batches, [{ values: [1], atMs: 100 }]);
});

test("events in quick succession are one batch, counted from the last", async () => {
	const { clock, batches, notify } = harness();
	for (const n of [1, 2, 3]) {
		notify([n]);
		await clock.advance(60);
	}
	await clock.advance(100);
	assert.deepEqual(batches, [{ values: [1, 2, 3], atMs: 220 }]);
});

test("a stream of events without quiet is cut at the cap", async () => {
	const { clock, batches, notify } = harness();
	for (let n = 0; n < 30; n++) {
		notify([n]);
		await clock.advance(50);
	}
	assert.equal(batches[0]?.atMs, 1000);
	assert.equal(batches[0]?.values.length, 20);
});

test("what comes while a batch runs waits for the next, and batches never overlap", async () => {
	let finish = () => {};
	const { clock, batches, notify } = harness(() => new Promise((resolve) => (finish = resolve)));
	notify([1]);
	await clock.advance(100);
	notify([2]);
	await clock.advance(500);
	assert.equal(batches.length, 1);
	finish();
	await clock.advance(1);
	assert.deepEqual(batches[1]?.values, [2]);
});
