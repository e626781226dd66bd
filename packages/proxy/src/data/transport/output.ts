import type { Connection } from "./connection.ts";

const capacityBytes = 160 * 1024;
const sparesMax = 8;
/** Up to here a loop is faster than the call that copies natively. */
const loopBytesMax = 48;
/** Views up to this length are kept. */
const viewBytesMax = 4096;
/** Header lines that came last, by the lengths of their parts: what we add ourselves is nearly always the same. */
const linePlaces = 32;
const lineBytesMax = 64;
const lineValueMax = 32;

/**
 * Where encoders put what they send. One buffer serves all connections: everything one event produces for a connection
 * leaves in one write. A buffer that the kernel could not take whole stays with its connection until sent.
 */
export class Output {
	bytes: Buffer = Buffer.allocUnsafeSlow(capacityBytes);
	length = 0;
	#owner: Connection | undefined;
	readonly #spares: Buffer[] = [];
	#views: (Uint8Array | undefined)[] = new Array<Uint8Array | undefined>(viewBytesMax);
	readonly #lineNames = new Array<string>(linePlaces).fill("");
	readonly #lineValues = new Array<string>(linePlaces).fill("");
	readonly #lines = Buffer.alloc(linePlaces * lineBytesMax);
	/** One closure a buffer, not one a write. */
	#unpin: () => void;

	constructor() {
		this.#unpin = this.#createUnpin(this.bytes);
	}

	/** Makes room for `count` bytes to this connection. Call before each `put*` sequence. */
	reserve(connection: Connection, count: number): void {
		if (this.#owner !== connection || this.length + count > capacityBytes) {
			this.flush();
			this.#owner = connection;
		}
		if (count > this.bytes.length) this.#replace(Buffer.allocUnsafeSlow(count));
	}

	/** Heads that the configuration makes larger than any that is received. The usual buffer comes back with the next flush. */
	#replace(bytes: Buffer): void {
		if (this.bytes.length === capacityBytes && this.#spares.length < sparesMax) this.#spares.push(this.bytes);
		this.bytes = bytes;
		this.#unpin = this.#createUnpin(bytes);
		this.#forgetViews();
	}

	/** One array of fixed size: one that grows by its index would become a hash table. */
	#forgetViews(): void {
		this.#views = new Array<Uint8Array | undefined>(viewBytesMax);
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
		const connection = this.#owner;
		const length = this.length;
		if (length === 0 || connection === undefined) return;
		this.length = 0;
		this.#owner = undefined;
		const status = connection.write(this.#view(length), this.#unpin);
		if (status === "pinned" || this.bytes.length > capacityBytes) {
			this.bytes = this.#spares.pop() ?? Buffer.allocUnsafeSlow(capacityBytes);
			this.#unpin = this.#createUnpin(this.bytes);
			this.#forgetViews();
		}
		if (status !== "written") connection.handler.onBlocked();
	}

	/** What is left unsent to a connection that is gone. */
	discard(connection: Connection): void {
		if (this.#owner !== connection) return;
		this.length = 0;
		this.#owner = undefined;
	}

	#view(length: number): Uint8Array {
		if (length >= viewBytesMax) return new Uint8Array(this.bytes.buffer, this.bytes.byteOffset, length);
		return (this.#views[length] ??= new Uint8Array(this.bytes.buffer, this.bytes.byteOffset, length));
	}

	#createUnpin(bytes: Buffer): () => void {
		return () => {
			if (bytes.length === capacityBytes && this.#spares.length < sparesMax) this.#spares.push(bytes);
		};
	}
}

/** Gives the position behind the text. */
function putLatin1(bytes: Buffer, text: string, at: number): number {
	const { length } = text;
	if (length > loopBytesMax) return at + bytes.latin1Write(text, at);
	for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(i);
	return at + length;
}
