import assert from "node:assert/strict";
import { test } from "node:test";
import { planRenewal, renewalWaitMs } from "./rotation.ts";

const hourMs = 3_600_000;
const plan = (random: number, lifeMs = 24 * hourMs) => planRenewal({ nowMs: 1_000_000, monotonicMs: 50, notAfterMs: 1_000_000 + lifeMs, random: () => random });

test("renewal is due at half life, give or take one percent of the life", () => {
	assert.equal(plan(0.5).dueMs - 1_000_000, 12 * hourMs);
	assert.equal(plan(0).dueMs - 1_000_000, 0.49 * 24 * hourMs);
	assert.equal(plan(1).dueMs - 1_000_000, 0.51 * 24 * hourMs);
	assert.equal(plan(0.5).dueMonotonicMs, 50 + 12 * hourMs);
});

test("a certificate already expired is renewed after a second, not at once", () => {
	assert.equal(plan(0.5, -hourMs).dueMs, 1_001_000);
	assert.equal(plan(0.5, 10).dueMs, 1_001_000);
});

test("waits are of a minute at most, so that no timer overflows at 25 days", () => {
	assert.equal(renewalWaitMs(plan(0.5, 90 * 24 * hourMs), 1_000_000, 50), 60_000);
});

test("the earlier of the two clocks decides", () => {
	const half = plan(0.5);
	assert.equal(renewalWaitMs(half, half.dueMs - 10, 50), 10);
	assert.equal(renewalWaitMs(half, half.dueMs + 1, 50), 0, "the wall clock was set ahead");
	assert.equal(renewalWaitMs(half, 0, half.dueMonotonicMs), 0, "the wall clock was set back");
});
