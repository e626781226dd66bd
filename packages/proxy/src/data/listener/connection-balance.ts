import type { BalanceInit } from "../../config/worker-messages.ts";
import { type BalanceRow, markWorker, openBalanceRow } from "../../config/shared-balance.ts";
import { type Connection, silentHandler } from "../transport/connection.ts";
import type { SocketCalls } from "../transport/socket-calls.ts";
import type { WorkerContext } from "../worker/context.ts";

/** A connection that another worker accepted, on its way. */
interface HandedOver {
	readonly listener: string;
	readonly fd: number;
}

/** One of ours that another worker accepted. */
export type OnTaken = (listener: string, connection: Connection) => void;

/** The worker that accepts for all. */
export const acceptingWorker = 0;

/**
 * Exact balance: one worker accepts, and gives each connection to the worker that has the fewest of this listener's. The
 * workers are threads of one process, so a descriptor is all that crosses; the main thread has no part in it.
 */
export class ConnectionBalance {
	readonly #init: BalanceInit;
	readonly #context: WorkerContext;
	readonly #calls: SocketCalls;
	readonly #mine: BroadcastChannel;
	readonly #others = new Map<number, BroadcastChannel>();

	constructor(init: BalanceInit, context: WorkerContext, calls: SocketCalls, onTaken: OnTaken) {
		this.#init = init;
		this.#context = context;
		this.#calls = calls;
		this.#mine = openChannel(init.id, context.workerIndex);
		this.#mine.addEventListener("message", ({ data }: MessageEvent) => {
			const { listener, fd } = data as HandedOver;
			this.row(listener).count(context.workerIndex, -1);
			const refused = context.transport.takeOver(fd, (connection) => onTaken(listener, connection));
			if (refused !== undefined) context.log("conn_handler", "warn", "a connection could not be taken over", { listener, error: refused.message });
		});
		// The accepting worker may have connections for it from here on: a channel that is not open yet would lose them.
		markWorker(init.counts, init.workers, context.workerIndex, true);
	}

	row(listener: string): BalanceRow {
		return openBalanceRow(this.#init.counts, this.#init.workers, listener);
	}

	/** True: it is another worker's now. */
	handOver(listener: string, connection: Connection): boolean {
		const row = this.row(listener);
		const worker = row.fewest();
		if (worker === this.#context.workerIndex) return false;
		const fd = this.#calls.duplicate(connection.fd);
		if (fd < 0) return false;
		// Counted at once: the next one is not to go the same way because this one has not arrived yet.
		row.count(worker, 1);
		connection.handler = silentHandler;
		connection.destroy();
		let channel = this.#others.get(worker);
		if (channel === undefined) this.#others.set(worker, (channel = openChannel(this.#init.id, worker)));
		channel.postMessage({ listener, fd } satisfies HandedOver);
		return true;
	}

	close(): void {
		this.#mine.close();
		for (const channel of this.#others.values()) channel.close();
	}
}

function openChannel(id: string, worker: number): BroadcastChannel {
	const channel = new BroadcastChannel(`weft connections ${id} ${worker}`);
	// Node's own has it; alone it keeps no thread alive.
	(channel as BroadcastChannel & { unref(): void }).unref();
	return channel;
}
