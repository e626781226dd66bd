import type { Socket as DatagramSocket } from "node:dgram";
import { connect, type Socket } from "node:net";
import type { SocketAddress } from "../../config/sockets.ts";

/** Takes the lines of one flush. Never waits: what does not fit is dropped, and counted by the return value. */
export interface LineSender {
	send(lines: Iterable<string>): Promise<{ readonly dropped: number; readonly error: Error | undefined }>;
	close(): void;
}

/** Lines packed into datagrams, as far as they fit. */
export class DatagramSender implements LineSender {
	readonly #address: Extract<SocketAddress, { kind: "ip" }>;
	readonly #bytesMax: number;
	#socket: DatagramSocket | undefined;
	#error: Error | undefined;

	constructor(address: Extract<SocketAddress, { kind: "ip" }>, bytesMax: number) {
		this.#address = address;
		this.#bytesMax = bytesMax;
	}

	async send(lines: Iterable<string>): Promise<{ readonly dropped: number; readonly error: Error | undefined }> {
		const socket = (this.#socket ??= await this.#open());
		const error = this.#error;
		this.#error = undefined;
		for (const datagram of pack(lines, this.#bytesMax)) socket.send(datagram, this.#address.port, this.#address.address, (failure) => this.#note(failure));
		return { dropped: 0, error };
	}

	// Shown with the next flush: nobody waits for datagrams.
	#note(failure: Error | null): void {
		if (failure !== null) this.#error = failure;
	}

	async #open(): Promise<DatagramSocket> {
		const { createSocket } = await import("node:dgram");
		const socket = createSocket(this.#address.address.includes(":") ? "udp6" : "udp4");
		socket.on("error", (failure) => this.#note(failure));
		socket.unref();
		return socket;
	}

	close(): void {
		this.#socket?.close();
		this.#socket = undefined;
	}
}

/** One line too long for a datagram has one for itself. */
export function* pack(lines: Iterable<string>, bytesMax: number): Generator<string> {
	let packed = "";
	let bytes = 0;
	for (const line of lines) {
		const length = Buffer.byteLength(line);
		if (packed !== "" && bytes + 1 + length > bytesMax) {
			yield packed;
			packed = "";
			bytes = 0;
		}
		bytes += length + (packed === "" ? 0 : 1);
		packed = packed === "" ? line : `${packed}\n${line}`;
	}
	if (packed !== "") yield packed;
}

/** What may wait for a slow server. */
const queuedBytesMax = 1024 * 1024;

/** One connection to a host of a cluster, made when there is something to send, and again after it ended. */
export class StreamSender implements LineSender {
	/** undefined: there is no host. */
	readonly #choose: () => SocketAddress | undefined;
	readonly #connectTimeoutMs: number;
	#socket: Socket | undefined;
	#error: Error | undefined;

	constructor(choose: () => SocketAddress | undefined, connectTimeoutMs: number) {
		this.#choose = choose;
		this.#connectTimeoutMs = connectTimeoutMs;
	}

	async send(lines: Iterable<string>): Promise<{ readonly dropped: number; readonly error: Error | undefined }> {
		const socket = (this.#socket ??= this.#open());
		const error = this.#error;
		this.#error = undefined;
		let dropped = 0;
		for (const line of lines) {
			if (socket === undefined || socket.writableLength > queuedBytesMax) dropped++;
			else socket.write(`${line}\n`);
		}
		return { dropped, error: error ?? (socket === undefined ? new Error("no healthy upstream") : undefined) };
	}

	#open(): Socket | undefined {
		const address = this.#choose();
		if (address === undefined) return undefined;
		const socket = address.kind === "pipe" ? connect(address.path) : connect(address.port, address.address);
		const timer = setTimeout(() => socket.destroy(new Error(`no connection within ${this.#connectTimeoutMs} ms`)), this.#connectTimeoutMs);
		socket.once("connect", () => clearTimeout(timer));
		socket.on("error", (failure) => void (this.#error = failure));
		socket.on("close", () => {
			clearTimeout(timer);
			if (this.#socket === socket) this.#socket = undefined;
		});
		// What a server says is of no interest.
		socket.resume();
		socket.unref();
		return socket;
	}

	close(): void {
		this.#socket?.end();
		this.#socket = undefined;
	}
}
