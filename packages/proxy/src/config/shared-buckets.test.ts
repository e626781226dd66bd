import assert from "node:assert/strict";
import test from "node:test";
import { createBucketBuffer, createOwnBucket, openBucket, openCount } from "./shared-buckets.ts";

const startMs = 1_700_000_000_000;
const rate = { tokensMax: 3, tokensPerFill: 1, fillIntervalMs: 100 };
const takeAll = (bucket: { take(nowMs: number): boolean }, nowMs: number) => Array.from({ length: 5 }, () => bucket.take(nowMs)).filter(Boolean).length;

test("a bucket starts full, is emptied, and fills with time up to its size", () => {
	const bucket = createOwnBucket(rate);
	assert.equal(takeAll(bucket, startMs), 3);
	assert.equal(bucket.remaining(startMs), 0);
	assert.equal(Math.round(bucket.waitMs(startMs)), 100);
	assert.equal(takeAll(bucket, startMs + 99), 0);
	assert.equal(takeAll(bucket, startMs + 100), 1);
	assert.equal(takeAll(bucket, startMs + 1_000_000), 3);
});

test("whoever opens the same bucket draws from the same tokens; others have their own", () => {
	const buffer = createBucketBuffer();
	const [one, same, other] = [openBucket(buffer, 7n, rate), openBucket(buffer, 7n, rate), openBucket(buffer, 7n + 4096n, rate)];
	assert.equal(takeAll(one, startMs), 3);
	assert.equal(takeAll(same, startMs), 0);
	assert.equal(takeAll(other, startMs), 3);
});

test("a clock that is set back refills the bucket rather than closing it", () => {
	const bucket = createOwnBucket(rate);
	takeAll(bucket, startMs);
	assert.equal(takeAll(bucket, startMs - 3_600_000), 3);
});

test("of many tokens as many are taken as there are, and those of all who draw are counted", () => {
	const buffer = createBucketBuffer();
	const bytes = { tokensMax: 100 * 1024, tokensPerFill: 100 * 1024, fillIntervalMs: 1000 };
	const [one, same] = [openBucket(buffer, 7n, bytes), openBucket(buffer, 7n, bytes)];
	assert.deepEqual([one.takeUpTo(startMs, 100_000), same.takeUpTo(startMs, 100_000), one.takeUpTo(startMs, 1)], [100_000, 2400, 0]);
	assert.equal(same.takeUpTo(startMs + 50, 1_000_000), 5120);
	let taken = 0;
	for (let ms = 51; ms <= 1050; ms++) taken += one.takeUpTo(startMs + ms, 1000);
	// A microsecond is what rounding may give away.
	assert.ok(taken >= 100 * 1024 && taken < 100 * 1024 * 1.001, String(taken));
	assert.equal(one.takeUpTo(startMs + 60_000, 1_000_000), 100 * 1024);
});

test("without a place left a bucket is its opener's own", () => {
	const buffer = createBucketBuffer();
	for (let i = 1n; i <= 70n; i++) openBucket(buffer, i * 4096n, rate);
	const lost = 71n * 4096n;
	assert.equal(takeAll(openBucket(buffer, lost, rate), startMs), 3);
	assert.equal(takeAll(openBucket(buffer, lost, rate), startMs), 3);
});

test("whoever opens the same count shares its limit; others have their own", () => {
	const buffer = createBucketBuffer();
	const [one, same, other] = [openCount(buffer, 7n), openCount(buffer, 7n), openCount(buffer, 8n)];
	assert.deepEqual([one.tryAdd(2), same.tryAdd(2), one.tryAdd(2), same.tryAdd(Infinity), other.tryAdd(2)], [true, true, false, true, true]);
	same.remove();
	same.remove();
	assert.deepEqual([one.tryAdd(2), one.tryAdd(0)], [true, false]);
});
