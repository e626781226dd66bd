import type { Connection } from "./connection.ts";

const capacityBytes = 160 * 1024;
const sparesMax = 8;

/**
 * Where encoders put what they send. One buffer serves all connections: everything one event produces for a connection
 * leaves in one write. A buffer that the kernel could not take whole stays with its connection until sent.
 */
export class Output {
	bytes: Buffer = Buffer.allocUnsafeSlow(capacityBytes);
	length = 0;
	#owner: Connection | undefined;
	readonly #spares: Buffer[] = [];
	#views: Uint8Array[] = [];
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
		this.#views = [];
	}

	putByte(byte: number): void {
		this.bytes[this.length++] = byte;
	}

	/** Latin-1. */
	putText(text: string): void {
		this.length += this.bytes.latin1Write(text, this.length);
	}

	/** One header line. */
	putLine(name: string, value: string): void {
		const { bytes } = this;
		let at = this.length;
		at += bytes.latin1Write(name, at);
		bytes[at++] = 58;
		bytes[at++] = 32;
		at += bytes.latin1Write(value, at);
		bytes[at++] = 13;
		bytes[at++] = 10;
		this.length = at;
	}

	putBytes(source: Buffer, start: number, end: number): void {
		source.copy(this.bytes, this.length, start, end);
		this.length += end - start;
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
			this.#views = [];
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
		if (length >= 8192) return new Uint8Array(this.bytes.buffer, this.bytes.byteOffset, length);
		return (this.#views[length] ??= new Uint8Array(this.bytes.buffer, this.bytes.byteOffset, length));
	}

	#createUnpin(bytes: Buffer): () => void {
		return () => {
			if (bytes.length === capacityBytes && this.#spares.length < sparesMax) this.#spares.push(bytes);
		};
	}
}
