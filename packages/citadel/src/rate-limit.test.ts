import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "@weft/runtime";
import { createRateLimit } from "./rate-limit.ts";

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
