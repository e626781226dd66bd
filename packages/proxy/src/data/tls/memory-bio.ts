import type { OpenSsl, Pointer } from "./openssl.ts";

// Numbers from include/openssl/bio.h.
const [controlReset, controlMemoryEnd] = [1, 130];

/** A memory BIO, from which one side reads what the other wrote. */
export class MemoryBio {
	readonly at: Pointer;
	readonly #openSsl: OpenSsl;
	/**
	 * BUF_MEM.length of what is to be read (crypto/bio/bss_mem.c: BIO_BUF_MEM { buf, readp }, BUF_MEM { length, … }). It is asked
	 * for several times a request, and a look at memory costs a hundredth of a call.
	 */
	readonly #length: Uint32Array;

	/** @throws Error when OpenSSL lays it out otherwise */
	constructor(openSsl: OpenSsl) {
		const { calls } = openSsl;
		this.#openSsl = openSsl;
		this.at = calls.BIO_new(calls.BIO_s_mem());
		// When it is empty it says "come again", not "the end".
		calls.BIO_ctrl(this.at, controlMemoryEnd, -1n, 0n);
		const readPointer = openSsl.pointerAt(calls.BIO_get_data(this.at) + 8n);
		this.#length = new Uint32Array(openSsl.view(readPointer, 8));
		this.#check();
	}

	#check(): void {
		const { calls } = this.#openSsl;
		const seen = [this.length];
		const probe = Buffer.allocUnsafeSlow(128);
		const at = this.#openSsl.address(probe.buffer);
		calls.BIO_write(this.at, at, 100);
		seen.push(this.length);
		calls.BIO_read(this.at, at, 30);
		seen.push(this.length);
		this.drop();
		seen.push(this.length);
		if (seen.join() !== "0,100,70,0") throw new Error("OpenSSL's memory BIO is not laid out as expected");
	}

	/** Bytes that can be read. */
	get length(): number {
		return this.#length[0] as number;
	}

	write(bytes: Pointer, count: number): void {
		this.#openSsl.calls.BIO_write(this.at, bytes, count);
	}

	/** At most `count` bytes; gives how many. */
	read(into: Pointer, count: number): number {
		return this.#openSsl.calls.BIO_read(this.at, into, count);
	}

	drop(): void {
		this.#openSsl.calls.BIO_ctrl(this.at, controlReset, 0n, 0n);
	}
}
