import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createLogger, type LogLevel } from "@weft/runtime";
import { levelsBy } from "../config/loggers.ts";
import type { ConfigUpdate } from "../config/runtime-config.ts";
import type { FromWorker, ToWorker } from "../config/worker-messages.ts";
import { WorkerPool, type WorkerEvents, type WorkerPort } from "./worker-pool.ts";

/** A worker that answers when it is told to. */
class Worker implements WorkerPort {
	readonly received: ToWorker[] = [];
	readonly #events: WorkerEvents;
	isStopped = false;

	constructor(events: WorkerEvents) {
		this.#events = events;
	}

	post(message: ToWorker): void {
		this.received.push(message);
	}

	busyShare(): number {
		return 0.5;
	}

	async stop(): Promise<void> {
		this.isStopped = true;
	}

	say(message: FromWorker): void {
		this.#events.message(message);
	}

	updated(id: number, ...refused: readonly string[]): void {
		this.say({ kind: "updated", id, errors: refused.map((resource) => ({ resource, message: "no" })) });
	}

	die(): void {
		this.#events.exit("crash");
	}

	/** What it was told, updates by their ids. */
	get told(): readonly (string | number)[] {
		return this.received.map((message) => (message.kind === "update" ? message.update.id : message.kind));
	}
}

const updateOf = (id: number): ConfigUpdate => ({
	id,
	listeners: { upsert: [], remove: [] },
	clusters: { upsert: [], remove: [] },
	hosts: [],
	routes: { upsert: [], remove: [] },
	virtualHosts: [],
	scopes: { upsert: [], remove: [] },
	extensions: { upsert: [], remove: [] },
	secrets: { upsert: [], remove: [] },
});

const turn = () => sleep(1);
let nowMs = 0;
const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, sleep: async () => {} };
let pool: WorkerPool;
/** The end of the update under way, if there is one. */
let settled: Promise<void>;
afterEach(() => pool.stop());

/** Snapshots have ids from 100 on. */
async function start(count: number, onDemand: boolean): Promise<readonly Worker[]> {
	const workers: Worker[] = [];
	let snapshots = 100;
	settled = Promise.resolve();
	pool = new WorkerPool({
		count,
		onDemand,
		spawn: (_, events) => {
			const worker = new Worker(events);
			workers.push(worker);
			queueMicrotask(() => worker.say({ kind: "ready" }));
			return worker;
		},
		join: async (begin) => {
			await settled;
			begin(updateOf(snapshots++));
		},
		clock,
		logger: createLogger({ level: "none" }),
		onMessage: () => {},
		restartDelayMs: 1,
	});
	await pool.start();
	return workers;
}

/** Whether it is settled, once everything that can happen has. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
	await turn();
	return Promise.race([promise.then(() => true), turn().then(() => false)]);
}

describe("a pool whose workers come on demand", () => {
	it("begins with one, and has as many more each time, up to the count", async () => {
		const workers = await start(3, true);
		assert.deepEqual([workers.length, pool.mayWake, pool.busyShares()], [1, true, [0.5]]);
		const first = pool.wake();
		await turn();
		workers[1]?.updated(100);
		await first;
		assert.deepEqual([workers.length, pool.mayWake, pool.busyShares()], [2, true, [0.5, 0.5]]);
		const second = pool.wake();
		await turn();
		workers[2]?.updated(101);
		await second;
		assert.deepEqual([workers.length, pool.mayWake], [3, false]);
	});

	it("begins with all where somebody said how many", async () => {
		assert.equal((await start(3, false)).length, 3);
		assert.equal(pool.mayWake, false);
	});

	it("has clients come again once the new worker serves, those of the older ones alone", async () => {
		const workers = await start(2, true);
		const woken = pool.wake();
		assert.equal(await isSettled(woken), false);
		assert.deepEqual(workers[0]?.told, []);
		workers[1]?.updated(100);
		await woken;
		assert.deepEqual([workers[0]?.told, workers[1]?.told], [["spread"], [100]]);
	});
});

describe("a worker that comes late", () => {
	it("begins once no update is under way, and holds up none before", async () => {
		const workers = await start(2, true);
		const update = pool.update(updateOf(1));
		const settle = Promise.withResolvers<void>();
		settled = settle.promise;
		const woken = pool.wake();
		pool.broadcast({ kind: "healthcheckFail", fail: true });
		workers[0]?.updated(1);
		await update;
		assert.deepEqual(workers[1]?.told, []);
		settle.resolve();
		assert.equal(await isSettled(woken), false);
		workers[1]?.updated(100, "web");
		await woken;
		assert.deepEqual(workers[1]?.told, ["healthcheckFail", 100]);
	});

	it("gets later updates behind its snapshot, and they wait for it, too", async () => {
		const workers = await start(2, true);
		void pool.wake();
		await turn();
		const update = pool.update(updateOf(1));
		assert.deepEqual(workers[1]?.told, [100, 1]);
		workers[0]?.updated(1);
		workers[1]?.updated(100);
		assert.equal(await isSettled(update), false);
		workers[1]?.updated(1, "web");
		assert.deepEqual(await update, [{ resource: "web", message: "no" }]);
	});

	it("is told what lasts: the log level and the health check before it serves", async () => {
		const workers = await start(2, true);
		const levelsAt = (level: LogLevel) => ({ kind: "logLevels", levels: levelsBy(() => level) }) as const;
		for (const level of ["debug", "error"] as const) pool.broadcast(levelsAt(level));
		pool.broadcast({ kind: "healthcheckFail", fail: true });
		pool.broadcast({ kind: "reopenLogs" });
		void pool.wake();
		await turn();
		assert.deepEqual(workers[1]?.told, ["logLevels", "healthcheckFail", 100]);
		assert.deepEqual(workers[1]?.received[0], levelsAt("error"));
		pool.broadcast(levelsAt("info"));
		assert.equal(workers[1]?.told.at(-1), "logLevels");
	});

	it("holds up nothing when it dies before it serves, and another takes its place", async () => {
		const workers = await start(2, true);
		const woken = pool.wake();
		await turn();
		const update = pool.update(updateOf(1));
		workers[0]?.updated(1);
		workers[1]?.die();
		assert.equal(await isSettled(Promise.all([woken, update])), true);
		while (workers.length < 3) await turn();
		await turn();
		assert.deepEqual(workers[2]?.told, [101]);
	});

	it("is told nothing when it dies before its turn has come", async () => {
		const workers = await start(2, true);
		const settle = Promise.withResolvers<void>();
		settled = settle.promise;
		const woken = pool.wake();
		workers[1]?.die();
		settle.resolve();
		await woken;
		const update = pool.update(updateOf(1));
		workers[0]?.updated(1);
		await update;
		assert.deepEqual(workers[1]?.told, []);
	});
});

describe("a worker that dies", () => {
	it("is replaced, by one that begins with the whole configuration and what lasts", async () => {
		const workers = await start(1, false);
		const update = pool.update(updateOf(1));
		pool.broadcast({ kind: "healthcheckFail", fail: true });
		workers[0]?.die();
		assert.deepEqual(await update, []);
		while (workers.length < 2) await turn();
		await turn();
		assert.deepEqual(workers[1]?.told, ["healthcheckFail", 100]);
	});

	it("holds up no update that comes before another has taken its place", async () => {
		const workers = await start(2, false);
		workers[1]?.die();
		const update = pool.update(updateOf(1));
		workers[0]?.updated(1);
		assert.deepEqual(await update, []);
		while (workers.length < 3) await turn();
		await turn();
		assert.deepEqual(workers[2]?.told, [100]);
	});

	it("has clients of the others come again once the next one serves, not when that one dies, too", async () => {
		const workers = await start(2, false);
		workers[1]?.die();
		while (workers.length < 3) await turn();
		workers[2]?.die();
		while (workers.length < 4) await turn();
		await turn();
		assert.deepEqual(workers[0]?.told, []);
		workers[3]?.updated(101);
		await turn();
		assert.deepEqual(workers[0]?.told, ["spread"]);
	});

	it("leaves its drain to the next one, with the time that is left of it", async () => {
		const workers = await start(1, false);
		pool.broadcast({ kind: "drain", graceful: true, inboundOnly: true, deadlineMs: 1_000 });
		nowMs += 400;
		workers[0]?.die();
		while (workers.length < 2) await turn();
		await turn();
		assert.deepEqual(workers[1]?.told, [100, "drain"]);
		assert.deepEqual(workers[1]?.received[1], { kind: "drain", graceful: true, inboundOnly: true, deadlineMs: 600 });
	});

	it("is not waited for at the end", async () => {
		const workers = await start(2, false);
		workers[0]?.die();
		const drained = pool.drain(600_000);
		workers[1]?.say({ kind: "drained" });
		await drained;
	});
});

describe("a pool that drains", () => {
	it("wakes nobody", async () => {
		await start(2, true);
		pool.broadcast({ kind: "drain", graceful: true, inboundOnly: false, deadlineMs: 1 });
		assert.equal(pool.mayWake, false);
	});

	it("has whoever is on the way drain as well, and no clients come again", async () => {
		const workers = await start(2, true);
		const woken = pool.wake();
		await turn();
		const drained = pool.drain(600_000);
		workers[0]?.say({ kind: "drained" });
		assert.equal(await isSettled(drained), false);
		workers[1]?.updated(100);
		workers[1]?.say({ kind: "drained" });
		await Promise.all([woken, drained]);
		assert.deepEqual([workers[0]?.told, workers[1]?.told], [["drain"], [100, "drain"]]);
	});
});
