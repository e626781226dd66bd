import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusQueue, type StatusWrite, writeKey } from "./status-queue.ts";

const write = (name: string, value = 1): StatusWrite => ({ kind: "VirtualService", namespace: "default", name, uid: "u", status: { value } });

test("an object is in it once, with the newest status, and due when the first was", () => {
	const queue = new StatusQueue();
	queue.offer(write("a", 1), 0, 1_000);
	queue.offer(write("a", 2), 500, 1_000);
	assert.equal(queue.size, 1);
	assert.equal(queue.take(999), undefined);
	assert.deepEqual(queue.take(1_000), write("a", 2));
	assert.equal(queue.take(2_000), undefined);
});

test("what is urgent does not wait for what was not", () => {
	const queue = new StatusQueue();
	queue.offer(write("a", 1), 0, 10_000);
	queue.offer(write("a", 2), 100, 0);
	assert.deepEqual(queue.take(100), write("a", 2));
});

test("one object is not written twice at one time", () => {
	const queue = new StatusQueue();
	queue.offer(write("a", 1), 0, 0);
	const taken = queue.take(0);
	assert.ok(taken);
	queue.offer(write("a", 2), 1, 0);
	assert.equal(queue.take(1), undefined);
	queue.done(taken, "settled", 2);
	assert.deepEqual(queue.take(2), write("a", 2));
});

test("what came true by itself, or whose object is gone, is not written", () => {
	const queue = new StatusQueue();
	queue.offer(write("a"), 0, 1_000);
	queue.offer(write("b"), 0, 1_000);
	queue.retain((key) => key === writeKey(write("b")));
	assert.deepEqual(queue.take(1_000), write("b"));
	assert.equal(queue.take(1_000), undefined);
});

test("a failure comes again after a pause, with what is newest then; others do not wait for it", () => {
	const queue = new StatusQueue();
	queue.offer(write("a", 1), 0, 0);
	const taken = queue.take(0);
	assert.ok(taken);
	queue.done(taken, "failed", 0);
	queue.offer(write("a", 2), 1, 0);
	queue.offer(write("b"), 1, 0);
	assert.deepEqual(queue.take(1), write("b"));
	assert.equal(queue.take(1), undefined, "it pauses though something newer came");
	assert.deepEqual(queue.take(60_000), write("a", 2));
});
