import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { FromWorker } from "../../config/worker-messages.ts";
import { chainOf, listenerOf, updateOf, workerInit } from "../worker/standalone.ts";
import { createDataWorker } from "../worker/worker.ts";

test("a Unix socket is the first worker's, and the others do without", async () => {
	const folder = mkdtempSync(join(tmpdir(), "pipe-"));
	const listener = listenerOf("local", [chainOf([{ kind: "echo" }])], { address: { kind: "pipe", path: join(folder, "socket") } });
	const messages: FromWorker[][] = [[], []];
	const workers = [];
	for (const [workerIndex, seen] of messages.entries()) {
		const updated = Promise.withResolvers<void>();
		const post = (message: FromWorker) => {
			seen.push(message);
			if (message.kind === "updated") updated.resolve();
		};
		const worker = await createDataWorker({ ...workerInit(), workerIndex, workers: 2 }, post, () => undefined);
		workers.push(worker);
		worker.handle({ kind: "update", update: updateOf({ listeners: [listener] }) });
		await updated.promise;
	}
	assert.deepEqual(
		messages.map((seen) => seen.map((message) => (message.kind === "updated" ? message.errors.length : message.kind))),
		[["listening", 0], [0]],
	);
	await Promise.all(workers.map((worker) => worker.close()));
	rmSync(folder, { recursive: true });
});
