import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { readRequest, type SeenRequest } from "./request-reader.ts";

/** What to put on the wire for a request; `close` ends the connection afterwards. */
export interface Answer {
	readonly bytes: Buffer | string;
	readonly close?: boolean;
}

export type Responder = (request: SeenRequest, socket: Socket) => Answer | undefined;

/** The plain answer: its body names the request line, so that a client can tell whose answer it holds. */
export function echo(request: SeenRequest): Answer {
	const body = `saw ${request.method} ${request.target}`;
	return { bytes: `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\ncontent-type: text/plain\r\n\r\n${request.method === "HEAD" ? "" : body}` };
}

const pathOf = ({ target }: SeenRequest): string => target.split("?", 1)[0] ?? "";
const receivedBytesMax = 256 * 1024;

/**
 * A raw TCP server that writes down exactly what reached it. It reads requests by the letter of RFC 9112 and keeps
 * whatever is not by the letter as a violation: nothing that two parsers may read in two ways is allowed to arrive here.
 */
export class RecordingUpstream {
	readonly seen: SeenRequest[] = [];
	readonly violations: string[] = [];
	/** All bytes, in order of arrival; for tests of what must never be forwarded. */
	received: Buffer[] = [];
	/** Answers by path without its query; anything else is echoed. */
	readonly responders = new Map<string, Responder>();
	/** Answers given when the head is there and the body is not; undefined leaves it to the complete request. */
	readonly earlyResponders = new Map<string, Responder>();
	/** The answer to what no responder takes. */
	fallback: Responder = echo;
	readonly sockets = new Set<Socket>();
	accepted = 0;
	#receivedBytes = 0;
	readonly #server: Server;

	constructor() {
		this.#server = createServer((socket) => this.#accept(socket));
	}

	async listen(): Promise<number> {
		this.#server.listen(0, "127.0.0.1");
		await once(this.#server, "listening");
		const address = this.#server.address();
		if (address === null || typeof address === "string") throw new Error("the upstream has no TCP address");
		return address.port;
	}

	async close(): Promise<void> {
		for (const socket of this.sockets) socket.destroy();
		this.#server.close();
		await once(this.#server, "close");
	}

	clear(): void {
		this.seen.length = this.violations.length = this.#receivedBytes = 0;
		this.received = [];
	}

	get receivedText(): string {
		return Buffer.concat(this.received).toString("latin1");
	}

	#accept(socket: Socket): void {
		this.accepted++;
		this.sockets.add(socket);
		let carry: Buffer = Buffer.alloc(0);
		let hasAnsweredEarly = false;
		socket.setNoDelay(true);
		socket.on("error", () => {});
		socket.on("close", () => this.sockets.delete(socket));
		socket.on("data", (chunk: Buffer) => {
			this.#keep(chunk);
			carry = carry.length === 0 ? chunk : Buffer.concat([carry, chunk]);
			for (;;) {
				const read = readRequest(carry);
				if (read.kind === "violation") {
					this.violations.push(read.why);
					return void socket.destroy();
				}
				if (read.kind === "partial") {
					if (read.head !== undefined && !hasAnsweredEarly) hasAnsweredEarly = this.#answerEarly(read.head, socket);
					return;
				}
				carry = carry.subarray(read.length);
				this.seen.push(read.request);
				if (!hasAnsweredEarly) this.#answer(read.request, socket);
				hasAnsweredEarly = false;
			}
		});
	}

	#keep(chunk: Buffer): void {
		this.#receivedBytes += chunk.length;
		if (this.#receivedBytes <= receivedBytesMax) this.received.push(chunk);
	}

	#answerEarly(head: SeenRequest, socket: Socket): boolean {
		const answer = this.earlyResponders.get(pathOf(head))?.(head, socket);
		if (answer !== undefined) this.#send(socket, answer);
		return answer !== undefined;
	}

	/** A responder may answer later by itself and gives undefined then. */
	#answer(request: SeenRequest, socket: Socket): void {
		const responder = this.responders.get(pathOf(request)) ?? this.fallback;
		const answer = responder(request, socket);
		if (answer !== undefined) this.#send(socket, answer);
	}

	#send(socket: Socket, { bytes, close }: Answer): void {
		if (socket.destroyed) return;
		socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
		if (close === true) socket.end();
	}
}
