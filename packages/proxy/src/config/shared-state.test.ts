import assert from "node:assert/strict";
import { test } from "node:test";
import {
	breakerWord,
	clearFailures,
	countFailure,
	createSharedBuffer,
	createSlotAllocator,
	isEjected,
	noSlot,
	readEjectionGeneration,
	readWord,
	release,
	retryBudgetLimit,
	setEjected,
	tryAcquire,
	viewSharedWords,
} from "./shared-state.ts";

test("a limit holds over all views of the buffer, and what is given back can be taken again", () => {
	const allocator = createSlotAllocator();
	const workers = Array.from({ length: 4 }, () => viewSharedWords(allocator.buffer));
	const word = breakerWord(allocator.allocate(), "default", "requests");
	const taken = Array.from({ length: 40 }, (_, i) => tryAcquire(workers[i % 4] as Int32Array<SharedArrayBuffer>, word, 10));
	assert.equal(taken.filter(Boolean).length, 10);
	const [first] = workers;
	assert.ok(first);
	assert.equal(readWord(first, word), 10);
	release(first, word);
	assert.equal(tryAcquire(first, word, 10), true);
});

test("the priorities have their own counts", () => {
	const words = ["connections", "pending", "requests", "retries"] as const;
	const all = (["default", "high"] as const).flatMap((priority) => words.map((resource) => breakerWord(8, priority, resource)));
	assert.equal(new Set(all).size, 8);
	assert.ok(all.every((word) => word >= 8 && word < 16));
});

test("slots are distinct, come back zeroed, and views follow the buffer as it grows", () => {
	const allocator = createSlotAllocator(createSharedBuffer(2000));
	const early = viewSharedWords(allocator.buffer);
	const slots = Array.from({ length: 1500 }, () => allocator.allocate());
	assert.equal(new Set(slots).size, 1500);
	assert.ok(!slots.includes(noSlot));
	const last = slots.at(-1) ?? noSlot;
	setEjected(early, last, true);
	assert.equal(isEjected(viewSharedWords(allocator.buffer), last), true);
	allocator.free(last);
	assert.equal(allocator.allocate(), last);
	assert.equal(isEjected(early, last), false);
});

test("a full buffer gives no slot rather than somebody else's", () => {
	const allocator = createSlotAllocator(createSharedBuffer(4));
	const slots = Array.from({ length: 5 }, () => allocator.allocate());
	assert.deepEqual(slots.slice(2), [noSlot, noSlot, noSlot]);
	assert.equal(allocator.used, 2);
	const words = viewSharedWords(allocator.buffer);
	setEjected(words, noSlot, true);
	assert.equal(isEjected(words, noSlot), false);
});

test("failures are counted per kind, and an ejection is seen by its generation", () => {
	const allocator = createSlotAllocator();
	const words = viewSharedWords(allocator.buffer);
	const slot = allocator.allocate();
	assert.deepEqual(
		[countFailure(words, slot, "consecutive5xx"), countFailure(words, slot, "consecutive5xx"), countFailure(words, slot, "localOrigin")],
		[1, 2, 1],
	);
	clearFailures(words, slot, "consecutive5xx");
	assert.equal(countFailure(words, slot, "consecutive5xx"), 1);
	const before = readEjectionGeneration(words);
	setEjected(words, slot, true);
	assert.notEqual(readEjectionGeneration(words), before);
});

test("a retry budget is a share of what is under way, at least its minimum", () => {
	const allocator = createSlotAllocator();
	const words = viewSharedWords(allocator.buffer);
	const slot = allocator.allocate();
	assert.equal(retryBudgetLimit(words, slot, "default", 20, 3), 3);
	for (let i = 0; i < 50; i++) tryAcquire(words, breakerWord(slot, "default", "requests"), 100);
	assert.equal(retryBudgetLimit(words, slot, "default", 20, 3), 10);
});
