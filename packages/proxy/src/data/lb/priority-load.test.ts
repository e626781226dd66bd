import assert from "node:assert/strict";
import { test } from "node:test";
import { distributePriorityLoad } from "./priority-load.ts";

const p = (healthy: number, total: number, degraded = 0, excluded = 0) => ({ healthy, total, degraded, excluded });

/** The table of Envoy's "Priority levels" page, with its overprovisioning factor of 1.4. */
test("load moves to the next priority as hosts fail", () => {
	for (const [healthyOfFirst, first, second] of [
		[100, 100, 0],
		[72, 100, 0],
		[71, 99, 1],
		[50, 70, 30],
		[25, 35, 65],
		[0, 0, 100],
	] as const) {
		assert.deepEqual(distributePriorityLoad([p(healthyOfFirst, 100), p(100, 100)], 140, 50).healthy, [first, second]);
	}
});

test("when all together are short, the load is normalised, and what rounding lost goes to the first", () => {
	assert.deepEqual(distributePriorityLoad([p(10, 100), p(10, 100), p(10, 100)], 140, 0).healthy, [34, 33, 33]);
});

test("degraded hosts take what the healthy ones cannot", () => {
	const load = distributePriorityLoad([p(25, 100, 25)], 140, 0);
	assert.deepEqual([load.healthy, load.degraded], [[50], [50]]);
});

test("when every priority panics, the hosts are counted, not their health", () => {
	const load = distributePriorityLoad([p(0, 10), p(0, 30)], 140, 50);
	assert.deepEqual(
		[load.healthy, load.panic],
		[
			[25, 75],
			[true, true],
		],
	);
});

test("a threshold of 0 never panics and sends everything to the first priority", () => {
	assert.deepEqual(distributePriorityLoad([p(0, 10), p(0, 30)], 140, 0), { healthy: [100, 0], degraded: [0, 0], panic: [false, false] });
});

test("draining hosts count neither as healthy nor as failed", () => {
	assert.deepEqual(distributePriorityLoad([p(5, 10, 0, 5)], 140, 50).panic, [false]);
});

test("priorities that were tried are left out until none is left", () => {
	assert.deepEqual(distributePriorityLoad([p(1, 1), p(1, 1)], 140, 50, [0]).healthy, [0, 100]);
	assert.deepEqual(distributePriorityLoad([p(1, 1), p(1, 1)], 140, 50, [0, 1]).healthy, [100, 0]);
});
