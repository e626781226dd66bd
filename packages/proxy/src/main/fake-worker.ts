import type { ConfigUpdate } from "../config/runtime-config.ts";
import type { FromWorker, ToWorker, WorkerInit } from "../config/worker-messages.ts";
import { emptyStats } from "../data/stats/registry.ts";
import type { WorkerEvents, WorkerPort } from "./worker-pool.ts";

/** For tests: stands in for a worker thread, takes everything, serves nothing. */
export class FakeWorker implements WorkerPort {
	readonly received: ToWorker[] = [];
	readonly #events: WorkerEvents;
	/** Listeners that it says it cannot bind. */
	readonly refuses = new Set<string>();
	isStopped = false;
	busy = 0;

	constructor(_: WorkerInit, events: WorkerEvents) {
		this.#events = events;
		queueMicrotask(() => events.message({ kind: "ready" }));
	}

	post(message: ToWorker): void {
		this.received.push(message);
		if (message.kind === "update") queueMicrotask(() => this.#events.message({ kind: "updated", id: message.update.id, errors: this.#errors(message.update) }));
		if (message.kind === "scrape") this.#events.message({ kind: "scraped", id: message.id, stats: emptyStats });
		if (message.kind === "drain") this.#events.message({ kind: "drained" });
	}

	busyShare(): number {
		return this.busy;
	}

	/** As a worker does that wants something of the main thread. */
	say(message: FromWorker): void {
		this.#events.message(message);
	}

	#errors(update: ConfigUpdate) {
		return update.listeners.upsert.filter(({ name }) => this.refuses.has(name)).map(({ name }) => ({ resource: name, message: "cannot bind" }));
	}

	async stop(): Promise<void> {
		this.isStopped = true;
	}

	updates(): readonly ConfigUpdate[] {
		return this.received.flatMap((message) => (message.kind === "update" ? [message.update] : []));
	}
}
