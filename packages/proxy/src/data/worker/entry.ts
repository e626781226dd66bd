import { parentPort, workerData } from "node:worker_threads";
import type { FromWorker, ToWorker, WorkerInit } from "../../config/worker-messages.ts";
import { createOriginalDst } from "../transport/original-dst.ts";
import { loadSocketCalls } from "../transport/socket-calls.ts";
import { keepTrimmed, loadTrim } from "./native-memory.ts";
import { createDataWorker } from "./worker.ts";

/** The thread's start: `new Worker(new URL("…/entry.ts", …), { workerData: WorkerInit })`. */
const port = parentPort;
if (port === null) throw new Error("this module is the entry of a worker thread");

const post = (message: FromWorker): void => port.postMessage(message);
const early: ToWorker[] = [];
let handle = (message: ToWorker): void => void early.push(message);
port.on("message", (message: ToWorker) => handle(message));

const init = workerData as WorkerInit;
const socketCalls = await loadSocketCalls();
const worker = await createDataWorker(init, post, createOriginalDst(socketCalls), socketCalls);
handle = worker.handle;
// Of a thread that fails: its process goes on.
process.once("exit", () => worker.context.transport.close());
post({ kind: "ready" });
for (const message of early.splice(0)) worker.handle(message);

// The C library's memory is the whole process's: one thread is enough.
const trim = init.workerIndex === 0 ? await loadTrim() : undefined;
const ended = new AbortController();
port.once("close", () => ended.abort());
if (trim !== undefined) keepTrimmed(trim, ended.signal);
