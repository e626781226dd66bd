import type { Connection, WriteStatus } from "../transport/connection.ts";
import type { Memory, OpenSslShared } from "./openssl-shared.ts";

const capacityBytes = 72 * 1024;
const sparesMax = 8;

/** What sessions put out, on its way to the wire: one memory serves all connections, but for what the kernel could not take at once. */
export class CipherOutput {
	readonly #shared: OpenSslShared;
	readonly #spares: Memory[] = [];
	#memory: Memory;

	constructor(shared: OpenSslShared) {
		this.#shared = shared;
		this.#memory = shared.allocate(capacityBytes);
	}

	/** Writes all that the session has put out. Not `written`: the connection waits for its peer. */
	flush(connection: Connection): Exclude<WriteStatus, "pinned"> {
		const { output } = this.#shared;
		let isWritten = true;
		while (output.length > 0) {
			const memory = this.#memory;
			const { at, bytes } = memory;
			const count = output.read(at, capacityBytes);
			const status = connection.write(new Uint8Array(bytes.buffer, 0, count), () => this.#give(memory));
			if (status === "pinned") this.#memory = this.#spares.pop() ?? this.#shared.allocate(capacityBytes);
			if (status !== "written") isWritten = false;
		}
		return isWritten ? "written" : "queued";
	}

	#give(memory: Memory): void {
		if (this.#spares.length < sparesMax) this.#spares.push(memory);
	}
}
