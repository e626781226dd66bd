import { connect, type Socket } from "node:net";

export interface Conversation {
	readonly bytes: Buffer;
	/** The peer ended its side in order, rather than by a reset. */
	readonly ended: boolean;
}

export interface ConverseOptions {
	/** Written once connected, or once the peer has spoken with `waitForPeer`. */
	readonly send?: string | Uint8Array;
	readonly waitForPeer?: boolean;
	/** Ends our side once everything is written. */
	readonly end?: boolean;
	/** Stops once this many bytes came; otherwise when the peer closes. */
	readonly bytes?: number;
	readonly timeoutMs?: number;
}

/** Opens a TCP connection to `ip:port`, says one thing and collects what comes until the peer closes. Rejects when nothing ends it in time. */
export function converse(
	address: string,
	{ send = "", waitForPeer = false, end = false, bytes = Number.POSITIVE_INFINITY, timeoutMs = 10_000 }: ConverseOptions = {},
): Promise<Conversation> {
	const [host = "", port = ""] = address.split(":");
	return new Promise((resolve, reject) => {
		const chunks: Buffer[] = [];
		let length = 0;
		let ended = false;
		let spoken = false;
		const socket: Socket = connect({ host, port: Number(port), allowHalfOpen: true });
		const speak = () => {
			if (spoken) return;
			spoken = true;
			if (end) socket.end(send);
			else socket.write(send);
		};
		const timer = setTimeout(() => {
			socket.destroy();
			reject(new Error(`${address} neither answered in full nor closed within ${timeoutMs} ms; ${length} bytes came`));
		}, timeoutMs);
		const finish = () => {
			clearTimeout(timer);
			socket.destroy();
			resolve({ bytes: Buffer.concat(chunks), ended });
		};
		socket.on("connect", () => waitForPeer || speak());
		socket.on("data", (chunk: Buffer) => {
			chunks.push(chunk);
			length += chunk.length;
			speak();
			if (length >= bytes) finish();
		});
		socket.on("end", () => {
			ended = true;
			finish();
		});
		socket.on("error", (error: NodeJS.ErrnoException) => {
			if (error.code !== "ECONNREFUSED") return;
			clearTimeout(timer);
			reject(error);
		});
		socket.on("close", finish);
	});
}
