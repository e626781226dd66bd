import type { RingCalls } from "./ring-calls.ts";

/** A power of two. So many reads complete in one turn; whoever finds none comes again. */
export const receiveBuffers = 64;
export const receiveBufferBytes = 8 * 1024;

const registerBufferRing = 22;
const pageBytes = 4096;
const two32 = 2 ** 32;

/** Buffers of which the kernel takes one when bytes have come for a connection, so that those that wait hold none. */
export class ReceiveBuffers {
	/** All of them, one after another. */
	readonly bytes: Buffer;
	readonly #at: number;
	/** `struct io_uring_buf_ring`, in words and in halves of words. */
	readonly #entries: Uint32Array;
	readonly #halves: Uint16Array;
	#tail = 0;

	/** @throws Error when the ring takes none */
	constructor(calls: RingCalls, ring: number) {
		this.bytes = Buffer.from(new ArrayBuffer(receiveBuffers * receiveBufferBytes));
		this.#at = calls.address(this.bytes.buffer as ArrayBuffer);
		const memory = new ArrayBuffer(2 * pageBytes);
		const unaligned = calls.address(memory);
		const skipped = (pageBytes - (unaligned % pageBytes)) % pageBytes;
		this.#entries = new Uint32Array(memory, skipped, pageBytes / 4);
		this.#halves = new Uint16Array(memory, skipped, pageBytes / 2);
		const argument = new ArrayBuffer(pageBytes);
		const view = new DataView(argument);
		view.setBigUint64(0, BigInt(unaligned + skipped), true);
		view.setUint32(8, receiveBuffers, true);
		if (calls.register(ring, registerBufferRing, argument, 1) < 0) throw new Error("the ring takes no buffers");
		for (let i = 0; i < receiveBuffers; i++) this.giveBack(i * receiveBufferBytes);
	}

	/** The buffer that begins at `start` has been read. */
	giveBack(start: number): void {
		const at = (this.#tail & (receiveBuffers - 1)) * 4;
		const address = this.#at + start;
		this.#entries[at] = address % two32;
		this.#entries[at + 1] = address / two32;
		this.#entries[at + 2] = receiveBufferBytes;
		this.#halves[at * 2 + 6] = start / receiveBufferBytes;
		this.#tail = (this.#tail + 1) & 0xffff;
		// It lies in a part of the first entry that is not used.
		this.#halves[7] = this.#tail;
	}
}
