import { once } from "node:events";
import { createServer, request, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import { connect as connectHttp2, createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, connect } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";

/** What came of one request. */
export interface Answer {
	readonly status: number;
	readonly bytes: number;
	/** `name: value` */
	readonly trailers: readonly string[];
	/** The answer broke off, or none came. */
	readonly error: boolean;
}

export interface Upstreams {
	readonly http1: number;
	readonly http2: number;
	/** Bytes of answers that connections have taken so far, by what requests say in `x-mine`. */
	readonly written: ReadonlyMap<string, number>;
	close(): void;
}

/**
 * Upstreams that answer as the request's query says: `size` bytes (without one the length of what was sent), after `wait`
 * milliseconds. `/cut` breaks off. HTTP/2 ends with the trailers of a gRPC service.
 */
export async function startUpstreams(): Promise<Upstreams> {
	const written = new Map<string, number>();
	const counterOf = (headers: IncomingHttpHeaders) => {
		const key = String(headers["x-mine"] ?? "");
		return (bytes: number) => void written.set(key, (written.get(key) ?? 0) + bytes);
	};
	// A client that went away is no failure.
	const http1 = createServer((incoming, response) => void answer(incoming, response, counterOf(incoming.headers)).catch(() => {}));
	http1.on("upgrade", (_request, socket) => {
		socket.on("error", () => {});
		socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
		socket.resume().on("end", () => socket.end());
		socket.write(Buffer.alloc(1024 * 1024, "w"));
	});
	const http2 = createHttp2Server();
	http2.on("stream", (stream: ServerHttp2Stream, headers) => void answerHttp2(stream, headers[":path"] ?? "/", counterOf(headers)).catch(() => {}));
	for (const server of [http1, http2]) await once(server.listen(0, "127.0.0.1"), "listening");
	const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port;
	return {
		http1: portOf(http1),
		http2: portOf(http2),
		written,
		close() {
			http1.close();
			http1.closeAllConnections();
			http2.close();
		},
	};
}

function readQuery(path: string): { readonly size: number; readonly waitMs: number; readonly isChunked: boolean; readonly pathname: string } {
	const { searchParams, pathname } = new URL(path, "http://any");
	const number = (name: string) => Number(searchParams.get(name) ?? 0);
	return { size: number("size"), waitMs: number("wait"), isChunked: searchParams.has("chunked"), pathname };
}

async function answer(incoming: IncomingMessage, response: ServerResponse, onWritten: (bytes: number) => void): Promise<void> {
	let got = 0;
	for await (const piece of incoming) got += (piece as Buffer).length;
	const { size, waitMs, isChunked, pathname } = readQuery(incoming.url ?? "/");
	if (waitMs > 0) await sleep(waitMs);
	if (pathname === "/cut") {
		response.writeHead(200, { "content-length": 200 * 1024 }).write(Buffer.alloc(100 * 1024, "x"));
		return void setTimeout(() => incoming.socket.destroy(), 200);
	}
	if (size === 0) return void response.end(String(got));
	if (!isChunked) response.setHeader("content-length", size);
	await pipeline(Readable.from(piecesOf(size, onWritten)), response);
}

async function answerHttp2(stream: ServerHttp2Stream, path: string, onWritten: (bytes: number) => void): Promise<void> {
	let got = 0;
	for await (const piece of stream) got += (piece as Buffer).length;
	const { size } = readQuery(path);
	stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
	stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
	if (size === 0) return void stream.end(String(got));
	await pipeline(Readable.from(piecesOf(size, onWritten)), stream);
}

function* piecesOf(size: number, onTaken: (bytes: number) => void): Generator<Buffer> {
	for (let left = size; left > 0; ) {
		const bytes = Math.min(left, 64 * 1024);
		left -= bytes;
		onTaken(bytes);
		yield Buffer.alloc(bytes, "x");
	}
}

interface Options {
	readonly headers?: Readonly<Record<string, string>>;
	readonly body?: Buffer;
	readonly signal?: AbortSignal;
}

/** Over a connection of its own. */
export function ask(port: number, path: string, { headers = {}, body, signal }: Options = {}): Promise<Answer> {
	const { promise, resolve } = Promise.withResolvers<Answer>();
	const method = body === undefined ? "GET" : "POST";
	const outgoing = request({ host: "127.0.0.1", port, path, method, headers: { connection: "close", ...headers }, ...(signal && { signal }) });
	outgoing.on("error", () => resolve({ status: 0, bytes: 0, trailers: [], error: true }));
	outgoing.on("response", (response) => {
		let bytes = 0;
		const end = (error: boolean) => resolve({ status: response.statusCode ?? 0, bytes, trailers: linesOf(response.trailers), error });
		response.on("data", (piece: Buffer) => (bytes += piece.length));
		response.on("end", () => end(false));
		response.on("error", () => end(true));
	});
	outgoing.end(body);
	return promise;
}

export function askHttp2(port: number, path: string, body?: Buffer): Promise<Answer> {
	const { promise, resolve } = Promise.withResolvers<Answer>();
	const session = connectHttp2(`http://127.0.0.1:${port}`);
	const stream = session.request({ ":path": path, ":method": body === undefined ? "GET" : "POST" });
	let [status, bytes, error] = [0, 0, false];
	let trailers: readonly string[] = [];
	stream.on("response", (headers) => (status = headers[":status"] ?? 0));
	stream.on("data", (piece: Buffer) => (bytes += piece.length));
	stream.on("trailers", (fields) => (trailers = linesOf(fields)));
	stream.on("error", () => (error = true));
	stream.on("close", () => {
		session.close();
		resolve({ status, bytes, trailers, error });
	});
	stream.end(body);
	return promise;
}

const linesOf = (fields: object): readonly string[] => Object.entries(fields).map(([name, value]) => `${name}: ${String(value)}`);

/** Opens a WebSocket and goes when `bytes` have come through it. Gives whether they were the upstream's. */
export async function openWebSocket(port: number, path: string, bytes: number): Promise<boolean> {
	const socket = connect(port, "127.0.0.1");
	socket.write(`GET ${path} HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n`);
	let text = "";
	for await (const piece of socket) {
		text += (piece as Buffer).toString("latin1");
		const start = text.indexOf("\r\n\r\n") + 4;
		if (start > 3 && text.length - start >= bytes) break;
	}
	socket.destroy();
	return text.startsWith("HTTP/1.1 101") && text.endsWith("w".repeat(bytes));
}
