import assert from "node:assert/strict";
import { mock, test } from "node:test";
import type { TimerWheel } from "../transport/timers.ts";
import { BodyThrottle } from "./body-throttle.ts";
import { createByteBucket } from "./byte-bucket.ts";
import { ByteQueue } from "./byte-queue.ts";

const clockOf = () => {
	const clock = { ms: 1000.25, now: () => clock.ms };
	return clock;
};

test("a bucket begins with what comes in its first moment, fills with time, and holds one second", () => {
	const clock = clockOf();
	const bucket = createByteBucket(1024, 50, clock.now);
	assert.deepEqual([bucket.take(20), bucket.take(100), bucket.take(1)], [20, 31, 0]);
	clock.ms += 0.5;
	assert.equal(bucket.take(10), 0);
	clock.ms += 0.5;
	assert.equal(bucket.take(10), 1);
	clock.ms += 250;
	assert.equal(bucket.take(10_000), 256);
	clock.ms += 60_000;
	assert.equal(bucket.take(10_000), 1024);
});

test("a bucket loses nothing to rounding", () => {
	const clock = clockOf();
	const bucket = createByteBucket(1000, 0, clock.now);
	let taken = 0;
	for (let i = 0; i < 10_000; i++) {
		clock.ms += 0.1;
		taken += bucket.take(1000);
	}
	assert.ok(taken === 1000 || taken === 999, String(taken));
});

test("a queue gives the bytes that it got, in their order, however they came", () => {
	const queue = new ByteQueue();
	const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251));
	const sizes = [1, 3, 40_000, 7, 16_384, 20_000, 5];
	for (let at = 0, i = 0; at < bytes.length; at += sizes[i++ % sizes.length] as number)
		queue.push(bytes.subarray(at, at + (sizes[i % sizes.length] as number)));
	assert.equal(queue.length, bytes.length);
	const taken: Buffer[] = [queue.take(0)];
	for (let i = 1; queue.length > 0; i++) taken.push(queue.take(Math.min(i * 1000, queue.length)));
	assert.deepEqual(Buffer.concat(taken), bytes);
});

test("bytes that were taken stay as they are when others come", () => {
	const queue = new ByteQueue();
	queue.push(Buffer.from("first"));
	const first = queue.take(5);
	queue.push(Buffer.from("other"));
	assert.equal(String(first), "first");
	assert.equal(String(queue.take(5)), "other");
});

/** A throttle of 1000 B/s that looks every 50 ms, its clock and what it did. */
function throttled(bytesMax = 1_000_000) {
	const clock = clockOf();
	const events: unknown[] = [];
	mock.timers.enable({ apis: ["setTimeout"] });
	const wheel: TimerWheel = { nowMs: clock.now, close() {}, insert() {}, run: (timer) => timer.fire() };
	const throttle = new BodyThrottle({
		bucket: createByteBucket(1000, 50, clock.now),
		wheel,
		intervalMs: 50,
		bytesMax,
		send: (bytes) => events.push(String(bytes)),
		onFull: (isFull) => events.push(isFull ? "full" : "not full"),
	});
	const pass = (ms: number) => {
		for (let left = ms; left > 0; left -= 50) {
			clock.ms += 50;
			mock.timers.tick(50);
		}
		return events.splice(0);
	};
	return { throttle, pass, events };
}

test("what finds no tokens waits and goes in the order that it came, and the end goes last", (t) => {
	t.after(() => mock.timers.reset());
	const { throttle, pass, events } = throttled();
	const first = Buffer.from(`${"a".repeat(50)}${"b".repeat(50)}`);
	assert.equal(String(throttle.pass(first)), "a".repeat(50));
	first.fill("?");
	assert.equal(String(throttle.pass(Buffer.from("c".repeat(70)))), "");
	assert.ok(throttle.holdsEnd(() => events.push("end")));
	assert.equal(throttle.waitingBytes, 120);
	assert.deepEqual(pass(50), ["b".repeat(50)]);
	assert.deepEqual(pass(100), ["c".repeat(50), "c".repeat(20), "end"]);
	assert.deepEqual(pass(500), []);
	assert.ok(!throttle.holdsEnd(() => assert.fail()));
	assert.equal(throttle.pass(Buffer.alloc(400)).length, 400);
});

test("a source is stopped while more waits than may, and goes on when half of that is left", (t) => {
	t.after(() => mock.timers.reset());
	const { throttle, pass, events } = throttled(200);
	throttle.pass(Buffer.alloc(250, "x"));
	assert.deepEqual(events.splice(0), []);
	throttle.pass(Buffer.alloc(50, "x"));
	throttle.pass(Buffer.alloc(50, "x"));
	assert.deepEqual(events.splice(0), ["full"]);
	assert.deepEqual(pass(150), ["x".repeat(50), "x".repeat(50), "x".repeat(50)]);
	assert.deepEqual(pass(50), ["x".repeat(50), "not full"]);
});

test("nothing comes of a throttle that is closed, even by what it sends", (t) => {
	t.after(() => mock.timers.reset());
	const { throttle, pass, events } = throttled();
	throttle.pass(Buffer.alloc(300, "x"));
	throttle.holdsEnd(() => events.push("end"));
	pass(50);
	throttle.close();
	assert.deepEqual(pass(1000), []);
});
