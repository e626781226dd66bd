import { connect, createServer, type Server, type Socket } from "node:net";

/** Test helper: an upstream that records every byte and answers by script. */
export interface RecordingUpstream {
	readonly port: number;
	/** What each connection received, latin-1, in order of connecting. */
	readonly received: string[];
	readonly sockets: Socket[];
	close(): void;
}

export function startUpstream(onData: (socket: Socket, text: string, connection: number) => void): Promise<RecordingUpstream> {
	const received: string[] = [];
	const sockets: Socket[] = [];
	const server: Server = createServer((socket) => {
		const index = sockets.push(socket) - 1;
		received.push("");
		socket.on("error", () => {});
		socket.on("data", (bytes) => {
			received[index] += bytes.toString("latin1");
			onData(socket, received[index] as string, index);
		});
	});
	return new Promise((resolve) => {
		server.listen(0, "127.0.0.1", () => {
			const address = server.address();
			resolve({
				port: typeof address === "object" && address !== null ? address.port : 0,
				received,
				sockets,
				close() {
					server.close();
					for (const socket of sockets) socket.destroy();
				},
			});
		});
	});
}

/** Answers each complete head (no body expected) with `answer`. */
export function answerHeads(answer: (head: string, index: number) => string): (socket: Socket, text: string, connection: number) => void {
	const seen = new Map<Socket, number>();
	let index = 0;
	return (socket, text) => {
		for (let from = seen.get(socket) ?? 0; ; ) {
			const end = text.indexOf("\r\n\r\n", from);
			if (end < 0) return;
			const head = text.slice(from, end + 4);
			from = end + 4;
			seen.set(socket, from);
			socket.write(answer(head, index++), "latin1");
		}
	};
}

export const ok = (body: string, headers = ""): string => `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n${headers}\r\n${body}`;

/** A client that speaks bytes. */
export interface RawClient {
	readonly socket: Socket;
	text: string;
	readonly closed: Promise<void>;
	send(text: string): void;
	/** Resolves once `isEnough` says so of everything received; rejects when the connection closes first. */
	until(isEnough: (text: string) => boolean): Promise<string>;
}

export async function openClient(port: number): Promise<RawClient> {
	const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
	await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
	const closed = Promise.withResolvers<void>();
	let check = () => {};
	let isClosed = false;
	const end = () => {
		isClosed = true;
		check();
		closed.resolve();
	};
	socket
		.on("error", () => {})
		.on("end", end)
		.on("close", end);
	const client: RawClient = {
		socket,
		text: "",
		closed: closed.promise,
		send: (text) => void socket.write(text, "latin1"),
		until(isEnough) {
			return new Promise((resolve, reject) => {
				check = () => {
					if (isEnough(client.text)) resolve(client.text);
					else if (isClosed) reject(new Error(`closed after ${JSON.stringify(client.text.slice(0, 500))}`));
				};
				check();
			});
		},
	};
	socket.on("data", (bytes) => {
		client.text += bytes.toString("latin1");
		check();
	});
	return client;
}

/** Sends and gives everything until the proxy closes. */
export async function exchange(port: number, text: string): Promise<string> {
	const client = await openClient(port);
	client.send(text);
	await client.closed;
	client.socket.destroy();
	return client.text;
}

/** Sends one request on a fresh connection that is to be closed after it. */
export function get(port: number, path: string, headers = ""): Promise<string> {
	return exchange(port, `GET ${path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n${headers}\r\n`);
}

export const statusOf = (response: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(response)?.[1] ?? 0);
export const bodyOf = (response: string): string => response.slice(response.indexOf("\r\n\r\n") + 4);
