/** Buffers of one size that are filled for a moment, again and again: a hostile client must not make garbage of its frames. */
export class SpareBuffers {
	readonly bytes: number;
	readonly #keptMax: number;
	readonly #kept: Buffer[] = [];

	constructor(bytes: number, keptMax: number) {
		this.bytes = bytes;
		this.#keptMax = keptMax;
	}

	/** What is in it is of no meaning. */
	take(): Buffer {
		return this.#kept.pop() ?? Buffer.allocUnsafeSlow(this.bytes);
	}

	/** By whom it is not looked at any more. One that never comes back is the garbage collector's. */
	give(buffer: Buffer): void {
		if (buffer.length === this.bytes && this.#kept.length < this.#keptMax) this.#kept.push(buffer);
	}
}
