import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type ConnectionOptions, connect as tlsConnect } from "node:tls";

export interface RawResponse {
	readonly status: number;
	/** Lower-case names; values of the same name joined by ", ". */
	readonly headers: ReadonlyMap<string, string>;
	readonly body: string;
	/** The head as it came. */
	readonly head: string;
	/** Of the 1xx answers before it. */
	readonly interim: readonly string[];
}

/** `closed`: the proxy ended the connection without a (whole) response. `silent`: nothing came in time. */
export type Outcome = RawResponse | "closed" | "silent";

export interface ReadOptions {
	/** Answers to HEAD have no body. */
	readonly isHead?: boolean;
	/** How long to wait for the next byte. */
	readonly quietMs?: number;
}

type Parsed = { readonly response: RawResponse; readonly length: number } | undefined;

const quietMsDefault = 5000;

/** A client that sends any bytes, and reads responses one by one. */
export class RawClient {
	readonly socket: Socket;
	isClosed = false;
	#buffer: Buffer = Buffer.alloc(0);
	#wake: (() => void) | undefined;

	private constructor(socket: Socket) {
		this.socket = socket;
		socket.setNoDelay(true);
		socket.on("error", () => {});
		socket.on("data", (chunk: Buffer) => {
			this.#buffer = Buffer.concat([this.#buffer, chunk]);
			this.#wake?.();
		});
		for (const event of ["end", "close"]) {
			socket.on(event, () => {
				this.isClosed = true;
				this.#wake?.();
			});
		}
	}

	static async connect(port: number): Promise<RawClient> {
		const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
		await once(socket, "connect");
		return new RawClient(socket);
	}

	/** Over TLS; the server's name is not what is tested. Rejects when the handshake fails. */
	static async connectTls(port: number, options: ConnectionOptions): Promise<RawClient> {
		const socket = tlsConnect({ port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: ["http/1.1"], ...options });
		await once(socket, "secureConnect");
		return new RawClient(socket);
	}

	/** What has come and was not read as a response. */
	get unread(): string {
		return this.#buffer.toString("latin1");
	}

	/** Latin-1. */
	send(bytes: string | Buffer): void {
		if (!this.socket.destroyed) this.socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
	}

	async response({ isHead = false, quietMs = quietMsDefault }: ReadOptions = {}): Promise<Outcome> {
		for (;;) {
			const parsed = parseResponse(this.#buffer, isHead, this.isClosed);
			if (parsed !== undefined) {
				this.#buffer = this.#buffer.subarray(parsed.length);
				return parsed.response;
			}
			if (this.isClosed) return "closed";
			if (!(await this.#moreWithin(quietMs))) return "silent";
		}
	}

	/** Resolves to false when the connection is still open after `timeoutMs`. */
	async closedWithin(timeoutMs: number): Promise<boolean> {
		const end = performance.now() + timeoutMs;
		while (!this.isClosed) {
			const left = end - performance.now();
			if (left <= 0) return false;
			await this.#moreWithin(left);
		}
		return true;
	}

	/** Bytes that are no HTTP response: a tunnel's. */
	async text(length: number, quietMs = quietMsDefault): Promise<string> {
		while (this.#buffer.length < length && !this.isClosed && (await this.#moreWithin(quietMs)));
		const text = this.#buffer.toString("latin1", 0, length);
		this.#buffer = this.#buffer.subarray(length);
		return text;
	}

	#moreWithin(quietMs: number): Promise<boolean> {
		return new Promise((resolve) => {
			const done = (isMore: boolean) => {
				clearTimeout(timer);
				this.#wake = undefined;
				resolve(isMore);
			};
			const timer = setTimeout(done, quietMs, false);
			this.#wake = () => done(true);
		});
	}

	close(): void {
		this.socket.destroy();
	}
}

/** Throws when what came is no HTTP response: that is never an acceptable answer. */
function parseResponse(bytes: Buffer, isHead: boolean, isClosed: boolean): Parsed {
	const interim: string[] = [];
	for (let start = 0; ; ) {
		const end = bytes.indexOf("\r\n\r\n", start);
		if (end < 0) return undefined;
		const head = bytes.toString("latin1", start, end);
		const [first = "", ...lines] = head.split("\r\n");
		const status = Number(/^HTTP\/1\.[01] ([1-9]\d\d) /.exec(first)?.[1]);
		if (Number.isNaN(status)) throw new Error(`not a response: ${JSON.stringify(head.slice(0, 200))}`);
		if (status < 200 && status !== 101) {
			interim.push(head);
			start = end + 4;
			continue;
		}
		const headers = new Map<string, string>();
		for (const line of lines) {
			const colon = line.indexOf(":");
			const name = line.slice(0, colon).toLowerCase();
			const value = line.slice(colon + 1).trim();
			headers.set(name, headers.has(name) ? `${headers.get(name)}, ${value}` : value);
		}
		const hasNoBody = isHead || status === 101 || status === 204 || status === 304;
		const body = hasNoBody ? { text: "", end: end + 4 } : readBody(bytes, end + 4, headers, isClosed);
		return body && { response: { status, headers, body: body.text, head, interim }, length: body.end };
	}
}

function readBody(bytes: Buffer, start: number, headers: ReadonlyMap<string, string>, isClosed: boolean): { text: string; end: number } | undefined {
	if (headers.get("transfer-encoding") === "chunked") return readChunks(bytes, start);
	const length = headers.get("content-length");
	if (length === undefined) return isClosed ? { text: bytes.toString("latin1", start), end: bytes.length } : undefined;
	const end = start + Number(length);
	return bytes.length < end ? undefined : { text: bytes.toString("latin1", start, end), end };
}

function readChunks(bytes: Buffer, start: number): { text: string; end: number } | undefined {
	let text = "";
	for (let at = start; ; ) {
		const lineEnd = bytes.indexOf("\r\n", at);
		if (lineEnd < 0) return undefined;
		const size = Number.parseInt(bytes.toString("latin1", at, lineEnd), 16);
		const dataEnd = lineEnd + 2 + size;
		if (bytes.length < dataEnd + 2) return undefined;
		if (size === 0) return { text, end: dataEnd + 2 };
		text += bytes.toString("latin1", lineEnd + 2, dataEnd);
		at = dataEnd + 2;
	}
}
