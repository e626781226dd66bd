import { Worker } from "node:worker_threads";
import type { FromWorker, WorkerInit } from "../config/worker-messages.ts";
import type { WorkerEvents, WorkerPort } from "./worker-pool.ts";

/** How long a worker may take to end by itself before it is ended. */
const stopGraceMs = 500;

/** Beside the bundle where this code was bundled, in the source tree otherwise. */
function entryFile(): URL {
	return new URL(import.meta.url.endsWith("/src/main/worker-thread.ts") ? "../data/worker/entry.ts" : "./worker.mjs", import.meta.url);
}

export function spawnWorkerThread(init: WorkerInit, events: WorkerEvents): WorkerPort {
	const worker = new Worker(entryFile(), { workerData: init, name: `wrk:${init.workerIndex}`, execArgv: ["--disable-warning=ExperimentalWarning"] });
	const { eventLoopUtilization } = worker.performance;
	let seen = eventLoopUtilization();
	let reason = "";
	let ended: () => void = () => {};
	const exited = new Promise<void>((resolve) => {
		ended = resolve;
	});
	worker.on("message", (message: FromWorker) => events.message(message));
	worker.on("error", (error) => {
		reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
	});
	worker.on("exit", (code) => {
		ended();
		events.exit(reason === "" ? `exit code ${code}` : reason);
	});
	return {
		post: (message) => worker.postMessage(message),
		busyShare() {
			const now = eventLoopUtilization();
			const { utilization } = eventLoopUtilization(now, seen);
			seen = now;
			return utilization;
		},
		async stop() {
			const timer = setTimeout(() => void worker.terminate(), stopGraceMs);
			await exited;
			clearTimeout(timer);
		},
	};
}
