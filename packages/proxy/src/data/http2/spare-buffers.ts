/** Of its size; what is less gets a buffer of its own, or a few bytes of a client would hold all of one. */
const worthShare = 1 / 8;

/** Buffers of one size that are filled for a moment, again and again: a hostile client must not make garbage of its frames. */
export class SpareBuffers {
	readonly bytes: number;
	readonly #keptMax: number;
	readonly #kept: Buffer[] = [];

	constructor(bytes: number, keptMax: number) {
		this.bytes = bytes;
		this.#keptMax = keptMax;
	}

	/** At least `count` bytes; what is in them is of no meaning. */
	take(count: number): Buffer {
		if (count < this.bytes * worthShare || count > this.bytes) return Buffer.allocUnsafeSlow(count);
		return this.#kept.pop() ?? Buffer.allocUnsafeSlow(this.bytes);
	}

	/** By whom it is not looked at any more. One that never comes back is the garbage collector's. */
	give(buffer: Buffer): void {
		if (buffer.length === this.bytes && this.#kept.length < this.#keptMax) this.#kept.push(buffer);
	}
}
