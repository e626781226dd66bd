import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { followDemand, type SleepingWorkers } from "./worker-demand.ts";

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * `looks`: how busy the awake workers are until each look; a number stands for all of them. Starting keeps them busy
 * altogether. Nobody may wake any more from the look `endsAt` on. Gives how many were awake at each look.
 */
async function follow(count: number, looks: readonly (number | readonly number[])[], endsAt = Number.POSITIVE_INFINITY): Promise<readonly number[]> {
	let awake = 1;
	let sinceAsked: (readonly number[])[] = [[1]];
	const seen: number[] = [];
	const abort = new AbortController();
	const workers: SleepingWorkers = {
		get mayWake() {
			return awake < count && seen.length <= endsAt;
		},
		busyShares() {
			const [first = []] = sinceAsked;
			const shares = first.map((_, worker) => mean(sinceAsked.map((of) => of[worker] ?? 0)));
			sinceAsked = [];
			return shares;
		},
		async wake() {
			awake = Math.min(count, 2 * awake);
			sinceAsked.push(Array.from({ length: awake }, () => 1));
		},
	};
	const clock = {
		nowMs: () => 0,
		monotonicMs: () => 0,
		async sleep() {
			const shares = looks[seen.length] ?? 0;
			sinceAsked.push(typeof shares === "number" ? Array.from({ length: awake }, () => shares) : shares);
			seen.push(awake);
			if (seen.length > looks.length) abort.abort();
		},
	};
	await followDemand(workers, clock, abort.signal);
	return seen;
}

describe("workers wake", () => {
	it("when those that are awake were busy in two looks in a row, not before", async () => {
		assert.deepEqual(await follow(4, [0.4, 0.9, 0.49, 0.5, 0.5, 0]), [1, 1, 1, 1, 1, 2, 2]);
	});

	it("not for what starting took", async () => {
		assert.deepEqual(await follow(2, [0, 1, 0]), [1, 1, 1, 1]);
		assert.deepEqual(await follow(4, [1, 1, 0, 1, 0]), [1, 1, 2, 2, 2, 2]);
	});

	it("as many more as there are, up to the count, and then nobody looks any more", async () => {
		assert.deepEqual(
			await follow(
				6,
				Array.from({ length: 20 }, () => 1),
			),
			[1, 1, 2, 2, 4, 4, 6],
		);
	});

	it("by what the awake ones are busy on average", async () => {
		assert.deepEqual(await follow(4, [1, 1, [0.9, 0], [0.9, 0], [0.9, 0.2], [0.9, 0.2], 0]), [1, 1, 2, 2, 2, 2, 4]);
	});

	it("no more once the process ends, nor while the only one is dead", async () => {
		assert.deepEqual(await follow(2, [1, 1, 1], 1), [1, 1]);
		assert.deepEqual(await follow(2, [1, [], 1, []]), [1, 1, 1, 1, 1]);
	});
});
