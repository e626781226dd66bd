import { grpcCode, grpcStatus, type GrpcStatus } from "./status.ts";

const prefixBytes = 5;

/** Puts the messages of one call together: flag, length, payload (grpc/doc/PROTOCOL-HTTP2.md, "Length-Prefixed-Message"). */
export class MessageReader {
	readonly #bytesMax: number;
	readonly #peer: "server" | "client";
	readonly #prefix: Buffer = Buffer.allocUnsafeSlow(prefixBytes);
	#prefixLength = 0;
	#message: Buffer | undefined;
	#filled = 0;
	/** Whole ones that nobody has taken yet. */
	readonly #ready: Buffer[] = [];

	/** `bytesMax`: of one message; `peer`: whose messages they are, for the words of a refusal. */
	constructor(bytesMax: number, peer: "server" | "client" = "server") {
		this.#bytesMax = bytesMax;
		this.#peer = peer;
	}

	get isWithinMessage(): boolean {
		return this.#prefixLength > 0;
	}

	/** The next whole message, in memory of its own. */
	take(): Buffer | undefined {
		return this.#ready.shift();
	}

	/** The status with which the call has to end when what comes cannot be read. */
	push(bytes: Buffer, start: number, end: number): GrpcStatus | undefined {
		let at = start;
		while (at < end) {
			if (this.#message === undefined) {
				at = this.#readPrefix(bytes, at, end);
				if (this.#prefixLength < prefixBytes) return undefined;
				const refused = this.#begin();
				if (refused !== undefined) return refused;
			}
			at = this.#readPayload(bytes, at, end);
		}
		return undefined;
	}

	#readPrefix(bytes: Buffer, start: number, end: number): number {
		const count = Math.min(prefixBytes - this.#prefixLength, end - start);
		bytes.copy(this.#prefix, this.#prefixLength, start, start + count);
		this.#prefixLength += count;
		return start + count;
	}

	#begin(): GrpcStatus | undefined {
		const flag = this.#prefix[0] as number;
		if (flag === 1) return grpcStatus(grpcCode.unimplemented, `the ${this.#peer} sent a compressed message, which was not offered`);
		if (flag !== 0) return grpcStatus(grpcCode.internal, `the ${this.#peer} sent a message with the flag ${flag}`);
		const length = this.#prefix.readUInt32BE(1);
		if (length > this.#bytesMax) {
			return grpcStatus(grpcCode.resourceExhausted, `the ${this.#peer} sent a message of ${length} bytes, at most ${this.#bytesMax} are taken`);
		}
		// The system gives the pages as they fill, so a length that is not kept costs next to nothing.
		this.#message = Buffer.allocUnsafeSlow(length);
		this.#filled = 0;
		if (length === 0) this.#finish(this.#message);
		return undefined;
	}

	#readPayload(bytes: Buffer, start: number, end: number): number {
		const message = this.#message;
		if (message === undefined) return start;
		const count = Math.min(message.length - this.#filled, end - start);
		bytes.copy(message, this.#filled, start, start + count);
		this.#filled += count;
		if (this.#filled === message.length) this.#finish(message);
		return start + count;
	}

	#finish(message: Buffer): void {
		this.#ready.push(message);
		this.#message = undefined;
		this.#prefixLength = 0;
	}
}

export function frameMessage(message: Uint8Array): Buffer {
	const framed = Buffer.allocUnsafeSlow(prefixBytes + message.length);
	framed[0] = 0;
	framed.writeUInt32BE(message.length, 1);
	framed.set(message, prefixBytes);
	return framed;
}
