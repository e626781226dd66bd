import type { OverloadState } from "../overload/overload-state.ts";
import { type Connection, silentHandler } from "../transport/connection.ts";
import type { ListenerRuntime, Refusal } from "./listener-runtime.ts";

/** Whose connections wait: its runtime may be another by the time they are taken. */
interface Owner {
	readonly runtime: ListenerRuntime;
}

/**
 * Connections that wait while the overload manager wants none to be accepted. To their clients it is as if they stood in
 * the kernel's queue, which a socket of libuv cannot be made to keep.
 */
const waitingMax = 1_024;

/** Closes what is not accepted. */
export function refuseConnection(runtime: ListenerRuntime, connection: Connection, why: Refusal): void {
	runtime.countRefused(why);
	connection.handler = silentHandler;
	connection.destroy();
}

/** Who is let in where there is an overload manager. */
export class Acceptance {
	readonly #waiting = new Map<Connection, Owner>();

	take(owner: Owner, connection: Connection, overload: OverloadState): void {
		const { config } = owner.runtime;
		if (config.bypassesOverload === true) return owner.runtime.accept(connection);
		if (overload.stopsAccepting) return this.#keep(owner, connection);
		this.#admit(owner, connection, overload);
	}

	#admit({ runtime }: Owner, connection: Connection, overload: OverloadState): void {
		if (overload.rejectsConnection) return refuseConnection(runtime, connection, "downstream_cx_overload_reject");
		if (runtime.config.ignoresConnectionLimit !== true && !overload.hasRoom) return refuseConnection(runtime, connection, "downstream_global_cx_overflow");
		if (overload.sheds("tcp_listener_accept")) return refuseConnection(runtime, connection, "downstream_cx_overload_reject");
		runtime.accept(connection);
	}

	#keep(owner: Owner, connection: Connection): void {
		if (this.#waiting.size >= waitingMax) return refuseConnection(owner.runtime, connection, "downstream_cx_overload_reject");
		// It does not read yet.
		connection.handler = { ...silentHandler, onClose: () => void this.#waiting.delete(connection) };
		this.#waiting.set(connection, owner);
	}

	/** Lets in who waits, if connections are accepted again. */
	resume(overload: OverloadState): void {
		if (overload.stopsAccepting || this.#waiting.size === 0) return;
		const waiting = [...this.#waiting];
		this.#waiting.clear();
		for (const [connection, owner] of waiting) {
			connection.handler = silentHandler;
			this.#admit(owner, connection, overload);
		}
	}

	close(): void {
		for (const connection of this.#waiting.keys()) connection.destroy();
		this.#waiting.clear();
	}
}
