const blockBytes = 16 * 1024;
const noBytes = Buffer.alloc(0);

/** Bytes that wait, copied into blocks so that many small pieces cost no more than a few large ones. */
export class ByteQueue {
	readonly #blocks: Buffer[] = [];
	/** Where the first block's bytes begin, and the last one's end. */
	#start = 0;
	#end = 0;
	length = 0;

	push(bytes: Buffer): void {
		this.length += bytes.length;
		for (let at = 0; at < bytes.length; ) {
			let last = this.#blocks.at(-1);
			if (last === undefined || this.#end === last.length) {
				last = Buffer.allocUnsafeSlow(Math.max(blockBytes, bytes.length - at));
				this.#blocks.push(last);
				this.#end = 0;
			}
			const copied = bytes.copy(last, this.#end, at);
			this.#end += copied;
			at += copied;
		}
	}

	/** The first `count` of them, which are not written to again. */
	take(count: number): Buffer {
		const parts: Buffer[] = [];
		for (let left = count; left > 0; ) {
			const part = this.#takePart(left);
			parts.push(part);
			left -= part.length;
		}
		if (parts.length === 0) return noBytes;
		return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
	}

	#takePart(countMax: number): Buffer {
		const first = this.#blocks[0] as Buffer;
		const end = this.#blocks.length === 1 ? this.#end : first.length;
		const part = first.subarray(this.#start, Math.min(end, this.#start + countMax));
		this.#start += part.length;
		this.length -= part.length;
		if (this.#start === end) this.#dropFirst();
		return part;
	}

	#dropFirst(): void {
		this.#blocks.shift();
		this.#start = 0;
		if (this.#blocks.length === 0) this.#end = 0;
	}

	clear(): void {
		this.#blocks.length = 0;
		this.#start = this.#end = this.length = 0;
	}
}
