import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeRuntimeStruct } from "../../config/decode/runtime.ts";
import { RuntimeValues } from "../../config/runtime-values.ts";
import { createBucketBuffer } from "../../config/shared-buckets.ts";
import { loadHash64 } from "../lb/hash.ts";
import { ConnectionCeilings } from "./connection-ceilings.ts";

const globalKey = "overload.global_downstream_max_connections";
const listenerKey = "envoy.resource_limits.listener.l.connection_limit";

async function startWorkers(count: number) {
	const buckets = createBucketBuffer();
	const hash64 = await loadHash64();
	const start = (workerIndex: number) => {
		const runtime = new RuntimeValues();
		const ceilings = new ConnectionCeilings({ buckets, hash64, runtime, workerIndex, workers: count });
		const set = (struct: Record<string, unknown>) => {
			runtime.replace(decodeRuntimeStruct(struct).entries);
			ceilings.follow();
		};
		return { ceilings, set };
	};
	return { start, workers: Array.from({ length: count }, (_, i) => start(i)) };
}

test("connections of all workers count, also those that were there before the limit", async () => {
	const { workers } = await startWorkers(2);
	const [a, b] = workers.map(({ ceilings }) => ceilings.acquire("l"));
	assert.ok(a && b);
	a.add(1);
	b.add(1);
	assert.ok(!a.isReached);
	for (const { set } of workers) set({ [listenerKey]: 3 });
	assert.ok(!a.isReached && !b.isReached);
	b.add(1);
	assert.ok(a.isReached && b.isReached);
	for (const { set } of workers) set({ [listenerKey]: 4 });
	assert.ok(!a.isReached);
	for (const { set } of workers) set({});
	b.add(5);
	assert.ok(!a.isReached && !b.isReached);
});

test("a worker that takes another's place begins at none", async () => {
	const { start, workers } = await startWorkers(2);
	for (const { set } of workers) set({ [globalKey]: 2 });
	for (const { ceilings } of workers) ceilings.global.add(1);
	assert.ok(workers[0]?.ceilings.global.isReached);
	start(1).set({ [globalKey]: 2 });
	assert.ok(!workers[0]?.ceilings.global.isReached);
});

test("listeners of one name count together while the old one drains, others by themselves", async () => {
	const { workers } = await startWorkers(1);
	const [worker] = workers;
	assert.ok(worker);
	worker.set({ [listenerKey]: 1 });
	const old = worker.ceilings.acquire("l");
	old.add(1);
	assert.equal(worker.ceilings.acquire("l"), old);
	assert.ok(!worker.ceilings.acquire("other").isReached);
	worker.ceilings.release("l");
	assert.ok(worker.ceilings.acquire("l").isReached);
});
