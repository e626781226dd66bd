import type { Connection } from "./connection.ts";

const capacityBytes = 160 * 1024;
const sparesMax = 8;
/** So many writes are enough to share what starting one costs; the first of them waits for no more. */
const waitingMax = 64;
/** Up to here a loop is faster than the call that copies natively. */
const loopBytesMax = 48;
/** Header lines that came last, by the lengths of their parts: what we add ourselves is nearly always the same. */
const linePlaces = 32;
const lineBytesMax = 64;
const lineValueMax = 32;

/** Memory that encoders fill, and how many writes the kernel still makes from it. */
interface Slab {
	readonly bytes: Buffer;
	pins: number;
	readonly unpin: () => void;
}

/**
 * Where encoders put what they send. One slab serves all connections: everything that one event produces for a connection
 * leaves in one write, and the writes of a whole turn of the event loop leave one after another: requests and the kernel's
 * way out each find their code and memory in the caches, and a peer that sleeps is woken once. A slab that the kernel could
 * not take whole stays as it is until sent.
 */
export class Output {
	/** Of the slab. */
	bytes: Buffer;
	length = 0;
	#slab: Slab;
	readonly #spares: Slab[] = [];
	/** Of the bytes from `#start` on. */
	#owner: Connection | undefined;
	#start = 0;
	/** What waits: whose, and up to where in the slab. */
	readonly #owners: Connection[] = [];
	readonly #ends: number[] = [];
	/** The first that was not written yet, and where it begins. A write may lead to another flush, which goes on there. */
	#next = 0;
	#nextStart = 0;
	readonly #lineNames = new Array<string>(linePlaces).fill("");
	readonly #lineValues = new Array<string>(linePlaces).fill("");
	readonly #lines = Buffer.alloc(linePlaces * lineBytesMax);

	constructor() {
		this.#slab = this.#createSlab(capacityBytes);
		this.bytes = this.#slab.bytes;
	}

	/** Makes room for `count` bytes to this connection. Call before each `put*` sequence. */
	reserve(connection: Connection, count: number): void {
		if (this.length + count > capacityBytes) this.flush();
		if (this.#owner !== connection) {
			this.#seal();
			this.#owner = connection;
		}
		// Heads that the configuration makes larger than any that is received. The next flush goes back to the usual size.
		if (count > this.bytes.length) this.#replace(this.#createSlab(count));
	}

	#seal(): void {
		if (this.#owner !== undefined && this.length > this.#start) {
			this.#owners.push(this.#owner);
			this.#ends.push(this.length);
		}
		this.#owner = undefined;
		this.#start = this.length;
	}

	/** An event is over. Gives whether something waits for a flush. */
	endEvent(): boolean {
		this.#seal();
		if (this.#owners.length >= waitingMax) this.flush();
		return this.length > 0;
	}

	putByte(byte: number): void {
		this.bytes[this.length++] = byte;
	}

	/** Latin-1. */
	putText(text: string): void {
		this.length = putLatin1(this.bytes, text, this.length);
	}

	/** One header line. */
	putLine(name: string, value: string): void {
		const length = name.length + value.length + 4;
		if (length > lineBytesMax || value.length > lineValueMax) return this.#encodeLine(name, value);
		const place = (name.length * 5 + value.length) & (linePlaces - 1);
		const base = place * lineBytesMax;
		if (this.#lineNames[place] === name && this.#lineValues[place] === value) {
			const { bytes, length: at } = this;
			const lines = this.#lines;
			for (let i = 0; i < length; i++) bytes[at + i] = lines[base + i] as number;
			this.length = at + length;
			return;
		}
		this.#encodeLine(name, value);
		this.#lineNames[place] = name;
		this.#lineValues[place] = value;
		this.bytes.copy(this.#lines, base, this.length - length, this.length);
	}

	#encodeLine(name: string, value: string): void {
		const { bytes } = this;
		let at = this.length;
		at = putLatin1(bytes, name, at);
		bytes[at++] = 58;
		bytes[at++] = 32;
		at = putLatin1(bytes, value, at);
		bytes[at++] = 13;
		bytes[at++] = 10;
		this.length = at;
	}

	putBytes(source: Buffer, start: number, end: number): void {
		const count = end - start;
		const { bytes, length } = this;
		if (count > loopBytesMax) source.copy(bytes, length, start, end);
		else for (let i = 0; i < count; i++) bytes[length + i] = source[start + i] as number;
		this.length = length + count;
	}

	/** Any amount, reserving as it goes. */
	sendBytes(connection: Connection, source: Buffer, start: number, end: number): void {
		for (let at = start; at < end; ) {
			const next = Math.min(end, at + capacityBytes);
			this.reserve(connection, next - at);
			this.putBytes(source, at, next);
			at = next;
		}
	}

	flush(): void {
		// Whoever is told that it is blocked may put more.
		while (this.#nextStart < this.length) {
			this.#seal();
			this.flushEarlier();
		}
		// Nothing was there, or a flush inside of this one was faster.
		if (this.length === 0) return;
		this.#owners.length = this.#ends.length = 0;
		this.#next = this.#nextStart = this.#start = this.length = 0;
		if (this.#slab.pins > 0 || this.bytes.length > capacityBytes) this.#replace(this.#spares.pop() ?? this.#createSlab(capacityBytes));
	}

	/** What earlier events put leaves now; what this one has put so far can still be discarded. */
	flushEarlier(): void {
		while (this.#next < this.#owners.length) {
			const connection = this.#owners[this.#next++] as Connection;
			while (this.#owners[this.#next] === connection) this.#next++;
			const start = this.#nextStart;
			const end = this.#ends[this.#next - 1] as number;
			this.#nextStart = end;
			const slab = this.#slab;
			const status = connection.write(new Uint8Array(slab.bytes.buffer, slab.bytes.byteOffset + start, end - start), slab.unpin);
			if (status === "pinned") slab.pins++;
			if (status !== "written") connection.handler.onBlocked();
		}
	}

	/** What this event has put for a connection that is gone. */
	discard(connection: Connection): void {
		if (this.#owner !== connection) return;
		this.length = this.#start;
		this.#owner = undefined;
	}

	#replace(slab: Slab): void {
		const old = this.#slab;
		this.#slab = slab;
		this.bytes = slab.bytes;
		if (old.pins === 0) this.#give(old);
	}

	#give(slab: Slab): void {
		if (slab.bytes.length === capacityBytes && this.#spares.length < sparesMax) this.#spares.push(slab);
	}

	#createSlab(bytes: number): Slab {
		const slab: Slab = {
			bytes: Buffer.allocUnsafeSlow(bytes),
			pins: 0,
			unpin: () => {
				slab.pins--;
				if (slab.pins === 0 && slab !== this.#slab) this.#give(slab);
			},
		};
		return slab;
	}
}

/** Gives the position behind the text. */
function putLatin1(bytes: Buffer, text: string, at: number): number {
	const { length } = text;
	if (length > loopBytesMax) return at + bytes.latin1Write(text, at);
	for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(i);
	return at + length;
}
