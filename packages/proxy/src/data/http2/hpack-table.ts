/** RFC 7541 §4.1: what an entry costs beside its bytes. */
export const entryOverhead = 32;
const initialBytes = 512;
const initialEntries = 16;

/**
 * The dynamic table of one direction (RFC 7541 §2.3.2, §4). Entries are numbered from 0 by age of insertion; their bytes,
 * name then value, lie one after the other in `bytes`. Nothing is allocated before the first insertion.
 */
export class DynamicTable {
	bytes: Buffer = Buffer.alloc(0);
	/** Entries inserted so far; the newest is number `inserted - 1`. */
	inserted = 0;
	count = 0;
	/** As counted by RFC 7541 §4.1. */
	size = 0;
	sizeMax: number;
	#starts = new Int32Array(0);
	#nameLengths = new Int32Array(0);
	#valueLengths = new Int32Array(0);
	/** Where the next entry's bytes go. */
	#end = 0;

	constructor(sizeMax: number) {
		this.sizeMax = sizeMax;
	}

	start(number: number): number {
		return this.#starts[number & (this.#starts.length - 1)] as number;
	}
	nameLength(number: number): number {
		return this.#nameLengths[number & (this.#starts.length - 1)] as number;
	}
	valueLength(number: number): number {
		return this.#valueLengths[number & (this.#starts.length - 1)] as number;
	}
	isLive(number: number): boolean {
		return number >= this.inserted - this.count && number < this.inserted;
	}

	/** RFC 7541 §4.3. */
	resize(sizeMax: number): void {
		this.sizeMax = sizeMax;
		this.#evict(sizeMax);
	}

	#evict(sizeMax: number): void {
		while (this.size > sizeMax) {
			const oldest = this.inserted - this.count;
			this.size -= this.nameLength(oldest) + this.valueLength(oldest) + entryOverhead;
			this.count--;
		}
	}

	/** The new entry's number; -1: larger than the table, which is empty now (RFC 7541 §4.4). The bytes are not this table's own. */
	insert(nameBytes: Uint8Array, nameStart: number, nameEnd: number, valueBytes: Uint8Array, valueStart: number, valueEnd: number): number {
		const nameLength = nameEnd - nameStart;
		const length = nameLength + valueEnd - valueStart;
		if (length + entryOverhead > this.sizeMax) {
			this.#evict(0);
			return -1;
		}
		this.#evict(this.sizeMax - length - entryOverhead);
		this.#makeRoom(length);
		const number = this.inserted++;
		this.count++;
		this.size += length + entryOverhead;
		const at = number & (this.#starts.length - 1);
		this.#starts[at] = this.#end;
		this.#nameLengths[at] = nameLength;
		this.#valueLengths[at] = length - nameLength;
		const { bytes } = this;
		let end = this.#end;
		for (let i = 0; i < nameLength; i++) bytes[end++] = nameBytes[nameStart + i] as number;
		for (let i = valueStart; i < valueEnd; i++) bytes[end++] = valueBytes[i] as number;
		this.#end = end;
		return number;
	}

	#makeRoom(length: number): void {
		if (this.count === this.#starts.length) this.#growIndex();
		if (this.#end + length <= this.bytes.length) return;
		const oldest = this.inserted - this.count;
		const from = this.count === 0 ? this.#end : this.start(oldest);
		const used = this.#end - from;
		// Twice the live bytes, so that moving them stays rare.
		const wanted = Math.max(initialBytes, 2 * (used + length));
		const target = wanted > this.bytes.length ? Buffer.allocUnsafeSlow(Math.min(wanted * 2, Math.max(wanted, 2 * this.sizeMax))) : this.bytes;
		this.bytes.copy(target, 0, from, this.#end);
		this.bytes = target;
		for (let number = oldest; number < this.inserted; number++) {
			const at = number & (this.#starts.length - 1);
			this.#starts[at] = (this.#starts[at] as number) - from;
		}
		this.#end = used;
	}

	#growIndex(): void {
		const length = Math.max(initialEntries, 2 * this.#starts.length);
		const grow = (old: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> => {
			const fresh = new Int32Array(length);
			for (let number = this.inserted - this.count; number < this.inserted; number++) fresh[number & (length - 1)] = old[number & (old.length - 1)] as number;
			return fresh;
		};
		const starts = grow(this.#starts);
		const nameLengths = grow(this.#nameLengths);
		this.#valueLengths = grow(this.#valueLengths);
		this.#nameLengths = nameLengths;
		this.#starts = starts;
	}
}
