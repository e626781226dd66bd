import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "@weft/runtime";
import { createCallerRateLimit, createRateLimit } from "./rate-limit.ts";

test("a burst is granted at once, then as many a second as the rate says, and no more is ever saved up", () => {
	let monotonicMs = 0;
	const limit = createRateLimit({ perSecond: 10, burst: 3, clock: { ...systemClock, monotonicMs: () => monotonicMs } });
	const takeAll = () => Array.from({ length: 5 }, () => limit.take()).filter(Boolean).length;
	assert.equal(takeAll(), 3);
	monotonicMs += 99;
	assert.equal(takeAll(), 0);
	monotonicMs += 1;
	assert.equal(takeAll(), 1);
	monotonicMs += 3_600_000;
	assert.equal(takeAll(), 3);
});

test("each caller has a share of its own, and ten thousand are told apart", () => {
	const clock = { nowMs: () => 0, monotonicMs: () => 0, sleep: async () => undefined };
	const limit = createCallerRateLimit({ perSecond: 1, burst: 2, clock });
	assert.deepEqual(
		[1, 2, 3].map(() => limit.take("noisy")),
		[true, true, false],
	);
	assert.equal(limit.take("quiet"), true);
	for (let i = 0; i < 9_998; i++) limit.take(`other-${i}`);
	assert.equal(limit.take("noisy"), false, "still known");
	for (let i = 0; i < 10_000; i++) limit.take(`more-${i}`);
	assert.equal(limit.take("noisy"), true, "forgotten");
});
