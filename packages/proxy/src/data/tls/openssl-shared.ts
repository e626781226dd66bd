import { X509Certificate } from "node:crypto";
import type { SecureContext } from "node:tls";
import { MemoryBio } from "./memory-bio.ts";
import { contextPointer, type OpenSsl, type OpenSslCalls, type Pointer } from "./openssl.ts";

/** Memory whose place C may be told. */
export interface Memory {
	readonly bytes: Buffer;
	readonly at: Pointer;
}

/** Where bytes lie. Mostly it is the same memory again, and to ask costs more than to remember. */
class Places {
	readonly #openSsl: OpenSsl;
	#memory: ArrayBufferLike | undefined;
	#at: Pointer = 0n;

	constructor(openSsl: OpenSsl) {
		this.#openSsl = openSsl;
	}

	/** `start`: of the bytes that are meant. They must be referenced until C is done with them. */
	of({ buffer, byteOffset }: Uint8Array, start = 0): Pointer {
		if (buffer !== this.#memory) {
			this.#memory = buffer;
			this.#at = this.#openSsl.address(buffer);
		}
		const offset = byteOffset + start;
		return offset === 0 ? this.#at : this.#at + BigInt(offset);
	}
}

// Numbers from include/openssl/tls1.h.
const [alpnChosen, alpnNone] = [0, 3];

const scratchBytes = 64 * 1024;
const textBytes = 512;
/** Certificates that came last, by their bytes: a mesh's peers are few, and each is read once. */
const certificatesMax = 256;

/**
 * What the sessions of one worker share. One session is at work at a time, so input from the wire and output to it lie in the
 * same two memory BIOs for all of them; both are empty when it is done, or what one left would be another's.
 */
export class OpenSslShared {
	readonly calls: OpenSslCalls;
	readonly input: MemoryBio;
	readonly output: MemoryBio;
	/** For SSL_set_verify: whoever made the handshake looks at the result. */
	readonly acceptAnyPeer: Pointer;
	/** What the server's side that is at work agrees to; "": nothing. */
	alpnChoice = "";
	/** Of bytes of the wire, of clear text that is read, and of clear text to write. */
	readonly wire: Places;
	readonly read: Places;
	readonly written: Places;
	readonly scratch: Memory;
	readonly #openSsl: OpenSsl;
	readonly #chooseAlpn: Pointer;
	readonly #alpnContexts = new WeakSet<SecureContext>();
	readonly #alpnTexts = new Map<string, Memory>();
	readonly #certificates = new Map<string, X509Certificate>();
	readonly #cell: Memory;

	constructor(openSsl: OpenSsl) {
		const { calls } = openSsl;
		this.#openSsl = openSsl;
		this.calls = calls;
		this.wire = new Places(openSsl);
		this.read = new Places(openSsl);
		this.written = new Places(openSsl);
		this.input = new MemoryBio(openSsl);
		this.output = new MemoryBio(openSsl);
		this.scratch = this.allocate(scratchBytes);
		this.#cell = this.allocate(textBytes);
		this.acceptAnyPeer = openSsl.callback({ arguments: ["i32", "pointer"], return: "i32" }, () => 1);
		const types = ["pointer", "pointer", "pointer", "pointer", "u32", "pointer"];
		this.#chooseAlpn = openSsl.callback({ arguments: types, return: "i32" }, (_ssl: Pointer, out: Pointer, outLength: Pointer) =>
			this.#answerAlpn(out, outLength),
		);
	}

	#answerAlpn(out: Pointer, outLength: Pointer): number {
		const text = this.#alpnTexts.get(this.alpnChoice);
		if (text === undefined) return alpnNone;
		this.#openSsl.setPointer(out, text.at);
		this.#openSsl.setByte(outLength, this.alpnChoice.length);
		return alpnChosen;
	}

	allocate(count: number): Memory {
		const bytes = Buffer.allocUnsafeSlow(count);
		return { bytes, at: this.#openSsl.address(bytes.buffer) };
	}

	text(pointer: Pointer): string {
		return this.#openSsl.text(pointer);
	}

	/** @throws Error when Node does not show where its context is */
	contextOf(secure: SecureContext): Pointer {
		const found = contextPointer(secure);
		if (found === undefined) throw new Error("the TLS context cannot be used with OpenSSL itself");
		return found;
	}

	/** Before a server's handshake by this context: `choice` is what it answers. */
	prepareAlpn(secure: SecureContext, choice: string): void {
		if (choice !== "" && !this.#alpnTexts.has(choice)) {
			const memory = this.allocate(Math.max(choice.length, 128));
			memory.bytes.latin1Write(choice, 0);
			this.#alpnTexts.set(choice, memory);
		}
		if (this.#alpnContexts.has(secure)) return;
		this.calls.SSL_CTX_set_alpn_select_cb(this.contextOf(secure), this.#chooseAlpn, 0n);
		this.#alpnContexts.add(secure);
	}

	/** What is left of the input; undefined: nothing. */
	takeInput(): Buffer | undefined {
		const count = this.input.length;
		if (count === 0) return undefined;
		const bytes = Buffer.allocUnsafeSlow(Math.max(count, 128));
		this.input.read(this.#openSsl.address(bytes.buffer), count);
		return bytes.subarray(0, count);
	}

	/** The earliest of what OpenSSL complained of, in the form of Node's errors; nothing is left of it. */
	takeError(what: string): Error {
		const code = this.calls.ERR_get_error();
		this.calls.ERR_clear_error();
		if (code === 0n) return Object.assign(new Error(`${what} failed`), { code: "ERR_SSL_UNKNOWN" });
		const { at } = this.#cell;
		this.calls.ERR_error_string_n(code, at, BigInt(textBytes));
		const reason = this.text(this.calls.ERR_reason_error_string(code));
		return Object.assign(new Error(this.text(at)), { code: `ERR_SSL_${reason.toUpperCase().replaceAll(" ", "_")}`, reason });
	}

	/** Of a pointer that is the caller's; undefined for NULL. */
	readCertificate(certificate: Pointer): X509Certificate | undefined {
		if (certificate === 0n) return undefined;
		const der = this.encode((at) => this.calls.i2d_X509(certificate, at));
		if (der === undefined) return undefined;
		const key = der.latin1Slice();
		let found = this.#certificates.get(key);
		if (found === undefined) {
			found = new X509Certificate(der);
			if (this.#certificates.size >= certificatesMax) this.#certificates.clear();
			this.#certificates.set(key, found);
		}
		return found;
	}

	/** What an `i2d` function writes; a copy. undefined: it fails, or is larger than any that is taken. */
	encode(write: (at: Pointer) => number): Buffer | undefined {
		const count = write(0n);
		if (count <= 0 || count > scratchBytes) return undefined;
		this.#openSsl.setPointer(this.#cell.at, this.scratch.at);
		write(this.#cell.at);
		return Buffer.from(this.scratch.bytes.subarray(0, count));
	}

	/** A text whose place and length a function writes; "" where there is none. */
	readText(write: (data: Pointer, length: Pointer) => void): string {
		const { at, bytes } = this.#cell;
		write(at, at + 8n);
		const data = bytes.readBigUInt64LE(0);
		return data === 0n ? "" : this.#openSsl.bytes(data, bytes.readUInt32LE(8)).latin1Slice();
	}

	/** What a `d2i` function makes of these bytes. */
	decode<T>(bytes: Buffer, read: (at: Pointer, count: bigint) => T): T {
		this.#openSsl.setPointer(this.#cell.at, this.wire.of(bytes));
		return read(this.#cell.at, BigInt(bytes.length));
	}
}
