import type { Connection } from "../transport/connection.ts";

const chunkBytes = 64 * 1024;
const sparesMax = 16;
const empty: Buffer = Buffer.alloc(0);

/** All HTTP/2 connections of one worker that have something to send: each sends the output of a whole turn by one write. */
export class OutboundQueue {
	#waiting: Outbound[] = [];
	readonly #spares: Buffer[] = [];
	readonly #afterEvent: () => void;
	readonly #run = (): void => {
		const waiting = this.#waiting;
		this.#waiting = [];
		for (const outbound of waiting) outbound.flush();
		this.#afterEvent();
	};

	/** `afterEvent` ends the turn, as after every event. */
	constructor(afterEvent: () => void) {
		this.#afterEvent = afterEvent;
	}

	/** It is flushed before the event loop waits again. */
	add(outbound: Outbound): void {
		if (this.#waiting.length === 0) setImmediate(this.#run);
		this.#waiting.push(outbound);
	}

	take(): Buffer {
		return this.#spares.pop() ?? Buffer.allocUnsafeSlow(chunkBytes);
	}

	give(chunk: Buffer): void {
		if (chunk.length === chunkBytes && this.#spares.length < sparesMax) this.#spares.push(chunk);
	}
}

/** What one HTTP/2 connection has to send. It holds memory only while there is something. */
export class Outbound {
	/** Frames go to `bytes` from `length` on, after `reserve`. */
	bytes: Buffer = empty;
	length = 0;
	/** Frames that wait for the peer to read, and those among them that answer the peer's own. */
	frames = 0;
	controlFrames = 0;
	/** The peer does not read. What is sent nevertheless is kept here; whoever can wait has to. */
	isBlocked = false;
	/** Changes with every flush: positions in `bytes` hold no longer. */
	epoch = 0;
	readonly #connection: Connection;
	readonly #queue: OutboundQueue;
	#isWaiting = false;

	constructor(connection: Connection, queue: OutboundQueue) {
		this.#connection = connection;
		this.#queue = queue;
	}

	/** Room for `count` bytes. */
	reserve(count: number): void {
		if (!this.#isWaiting) {
			this.#isWaiting = true;
			this.#queue.add(this);
		}
		if (this.length + count <= this.bytes.length) return;
		if (this.length > 0 && !this.isBlocked) this.#write();
		if (this.length + count <= this.bytes.length) return;
		const larger = this.length + count <= chunkBytes ? this.#queue.take() : Buffer.allocUnsafeSlow(Math.max(2 * this.bytes.length, this.length + count));
		this.bytes.copy(larger, 0, 0, this.length);
		this.#queue.give(this.bytes);
		this.bytes = larger;
	}

	flush(): void {
		this.#isWaiting = false;
		if (this.length > 0 && !this.isBlocked) this.#write();
		if (this.length > 0) return;
		this.#queue.give(this.bytes);
		this.bytes = empty;
	}

	#write(): void {
		const { bytes, length } = this;
		this.length = this.frames = this.controlFrames = 0;
		this.epoch++;
		const status = this.#connection.write(new Uint8Array(bytes.buffer, bytes.byteOffset, length), () => this.#queue.give(bytes));
		if (status === "pinned") this.bytes = empty;
		if (status === "written") return;
		this.isBlocked = true;
		this.#connection.handler.onBlocked();
	}

	/** The peer reads again. */
	unblock(): void {
		this.isBlocked = false;
		this.flush();
	}

	/** The connection is gone. */
	discard(): void {
		this.length = 0;
		this.isBlocked = true;
		this.#queue.give(this.bytes);
		this.bytes = empty;
	}
}
