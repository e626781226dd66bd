import {
	type ClientHttp2Session,
	type ClientHttp2Stream,
	connect,
	createServer,
	type IncomingHttpHeaders,
	type OutgoingHttpHeaders,
	type ServerHttp2Session,
	type ServerHttp2Stream,
	type Settings,
} from "node:http2";
import type { AddressInfo } from "node:net";

/** Test helper: Node's HTTP/2 at both ends. */
export interface Http2Answer {
	readonly status: number;
	readonly headers: IncomingHttpHeaders;
	readonly body: Buffer;
	readonly trailers: IncomingHttpHeaders;
}

/** One request; rejects when the stream is reset, with `code` of the error being Node's. */
export function request(
	session: ClientHttp2Session,
	headers: OutgoingHttpHeaders,
	body?: Buffer | string,
	trailers?: OutgoingHttpHeaders,
): Promise<Http2Answer> {
	return answerOf(send(session, headers, body, trailers));
}

export function send(session: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: Buffer | string, trailers?: OutgoingHttpHeaders): ClientHttp2Stream {
	const stream = session.request(
		{ ":authority": "h", ...headers },
		{ endStream: body === undefined && trailers === undefined, waitForTrailers: trailers !== undefined },
	);
	if (trailers !== undefined) stream.once("wantTrailers", () => stream.sendTrailers(trailers));
	if (body !== undefined || trailers !== undefined) stream.end(body);
	return stream;
}

export function answerOf(stream: ClientHttp2Stream): Promise<Http2Answer> {
	return new Promise((resolve, reject) => {
		const pieces: Buffer[] = [];
		let headers: IncomingHttpHeaders & { readonly ":status"?: number } = {};
		let trailers: IncomingHttpHeaders = {};
		stream
			.on("response", (head) => (headers = head))
			.on("trailers", (fields) => (trailers = fields))
			.on("data", (bytes: Buffer) => pieces.push(bytes))
			.on("error", reject)
			.on("close", () => {
				if (stream.rstCode !== 0) reject(Object.assign(new Error(`reset ${stream.rstCode}`), { rstCode: stream.rstCode }));
				else resolve({ status: headers[":status"] ?? 0, headers, body: Buffer.concat(pieces), trailers });
			});
	});
}

export interface Http2Server {
	readonly port: number;
	/** Every session that was opened. */
	readonly sessions: ServerHttp2Session[];
	close(): void;
}

export function startHttp2Server(onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void, settings: Settings = {}): Promise<Http2Server> {
	const sessions: ServerHttp2Session[] = [];
	const server = createServer({ settings });
	server.on("session", (session) => {
		sessions.push(session);
		session.on("error", () => {});
	});
	server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
		stream.on("error", () => {});
		onStream(stream, headers);
	});
	return new Promise((resolve) => {
		server.listen(0, "127.0.0.1", () =>
			resolve({
				port: (server.address() as AddressInfo).port,
				sessions,
				close() {
					server.close();
					for (const session of sessions) session.destroy();
				},
			}),
		);
	});
}

export function openSession(port: number, settings: Settings = {}): Promise<ClientHttp2Session> {
	return new Promise((resolve, reject) => {
		const session = connect(`http://127.0.0.1:${port}`, { settings });
		session.on("error", reject);
		session.once("connect", () => resolve(session));
	});
}

/** The whole body of what a server was sent. */
export async function readAll(stream: ServerHttp2Stream): Promise<Buffer> {
	const pieces: Buffer[] = [];
	for await (const bytes of stream) pieces.push(bytes as Buffer);
	return Buffer.concat(pieces);
}
