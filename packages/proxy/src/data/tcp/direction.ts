import type { Connection, ConnectionHandler } from "../transport/connection.ts";
import type { WorkerContext } from "../worker/context.ts";
import { Tunnel } from "./tunnel.ts";

/** So many bytes in large reads, and a direction gets memory of its own and its bytes are not copied any more. */
const bulkBytesMin = 256 * 1024;
/** Smaller reads are messages, and copying them costs less than a buffer for each. */
const bulkReadBytesMin = 8 * 1024;
const bulkBufferBytes = 128 * 1024;

/** Towards the upstream, or back. */
export type Way = "up" | "down";

/** Told what passes, and how it ends. */
export interface PassOwner {
	readonly context: WorkerContext;
	onBytes(way: Way, count: number): void;
	/** No more bytes come this way. */
	onHalfClosed(way: Way): void;
	onClosed(side: "downstream" | "upstream", error: NodeJS.ErrnoException | undefined): void;
}

/** Bytes from one side to the other. */
export class Direction {
	isEnded = false;
	readonly #owner: PassOwner;
	readonly #way: Way;
	#from: Connection | Tunnel | undefined;
	#to: Connection | Tunnel | undefined;
	#tunnel: Tunnel | undefined;
	/** In large reads; each small one takes from it. */
	#bulkBytes = 0;
	#isBulk = false;

	constructor(owner: PassOwner, way: Way) {
		this.#owner = owner;
		this.#way = way;
	}

	/** `tunnel`: where it is one that they go to. */
	wire(from: Connection | Tunnel, to: Connection | Tunnel, tunnel: Tunnel | undefined): void {
		this.#from = from;
		this.#to = to;
		this.#tunnel = tunnel;
	}

	pass(bytes: Buffer, start: number, end: number): void {
		const count = end - start;
		this.#owner.onBytes(this.#way, count);
		if (this.#tunnel !== undefined) return this.#tunnel.send(bytes, start, end);
		const to = this.#to as Connection;
		if (!this.#isBulk) {
			this.#owner.context.output.sendBytes(to, bytes, start, end);
			this.#bulkBytes = count < bulkReadBytesMin ? Math.max(0, this.#bulkBytes - bulkReadBytesMin) : this.#bulkBytes + count;
			if (this.#bulkBytes > bulkBytesMin && !(this.#from instanceof Tunnel)) this.#enterBulk(this.#from as Connection);
			return;
		}
		// The other direction's bytes for this side may still wait in the shared buffer.
		if (to.write(bytes.subarray(start, end)) !== "written") this.pause();
	}

	/** The source reads into its own memory: it is not read again before that has been sent. */
	#enterBulk(from: Connection): void {
		this.#owner.context.output.flush();
		this.#isBulk = true;
		from.useReadBuffer(Buffer.allocUnsafeSlow(bulkBufferBytes));
	}

	pause(): void {
		this.#from?.pause();
	}
	resume(): void {
		if (!this.isEnded) this.#from?.resume();
	}

	end(): void {
		if (this.isEnded) return;
		this.isEnded = true;
		this.#owner.context.output.flush();
		this.#to?.end();
		this.#owner.onHalfClosed(this.#way);
	}
}

/** Handler of one connection: reads feed `outgoing`, room to write lets `incoming` go on. */
export class Side implements ConnectionHandler {
	readonly #owner: PassOwner;
	readonly #name: "downstream" | "upstream";
	readonly #outgoing: Direction;
	readonly #incoming: Direction;
	constructor(owner: PassOwner, name: "downstream" | "upstream", outgoing: Direction, incoming: Direction) {
		this.#owner = owner;
		this.#name = name;
		this.#outgoing = outgoing;
		this.#incoming = incoming;
	}
	onData(bytes: Buffer, start: number, end: number): void {
		this.#outgoing.pass(bytes, start, end);
	}
	onEnd(): void {
		this.#outgoing.end();
	}
	onBlocked(): void {
		this.#incoming.pause();
	}
	onDrain(): void {
		this.#incoming.resume();
	}
	onClose(error: Error | undefined): void {
		this.#owner.onClosed(this.#name, error);
	}
}
