import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";

/** Asks one server over UDP or TCP. Rejects where it does not answer in time. */
export type Exchange = (server: DnsServer, query: Buffer, timeoutMs: number) => Promise<Buffer>;

export interface DnsServer {
	readonly host: string;
	readonly port: number;
}

const messageBytesMax = 65_535;

export const exchangeUdp: Exchange = ({ host, port }, query, timeoutMs) =>
	new Promise((resolve, reject) => {
		// A socket a query: its own random port is half of what keeps forged answers out.
		const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
		const timer = setTimeout(() => end(new Error(`no answer of ${host} within ${timeoutMs} ms`)), timeoutMs);
		const end = (outcome: Buffer | Error) => {
			clearTimeout(timer);
			socket.close();
			if (outcome instanceof Error) reject(outcome);
			else resolve(outcome);
		};
		socket.once("error", end);
		socket.on("message", (answer) => {
			if (answersQuery(answer, query)) end(answer);
		});
		// Connected: the kernel drops what comes from elsewhere, and tells of a closed port.
		socket.connect(port, host, () => socket.send(query));
	});

export const exchangeTcp: Exchange = ({ host, port }, query, timeoutMs) =>
	new Promise((resolve, reject) => {
		const socket = connect({ host, port });
		const timer = setTimeout(() => fail(new Error(`no answer of ${host} within ${timeoutMs} ms`)), timeoutMs);
		let received = Buffer.alloc(0);
		const fail = (error: Error) => {
			clearTimeout(timer);
			socket.destroy();
			reject(error);
		};
		socket.once("error", fail);
		socket.once("end", () => fail(new Error(`${host} closed the connection`)));
		socket.on("data", (part: Buffer) => {
			received = Buffer.concat([received, part]);
			const answer = takeFramed(received)?.message;
			if (answer === undefined) return;
			clearTimeout(timer);
			socket.destroy();
			if (answersQuery(answer, query)) resolve(answer);
			else reject(new Error(`${host} answered another query`));
		});
		socket.once("connect", () => socket.write(frame(query)));
	});

const answersQuery = (answer: Buffer, query: Buffer): boolean =>
	answer.length >= 12 && answer.readUInt16BE(0) === query.readUInt16BE(0) && (answer.readUInt8(2) & 0x80) !== 0;

/** Over TCP each message comes after its length. RFC 1035 §4.2.2. */
export function frame(message: Buffer): Buffer {
	const length = Buffer.alloc(2);
	length.writeUInt16BE(Math.min(message.length, messageBytesMax));
	return Buffer.concat([length, message]);
}

export function takeFramed(received: Buffer): { readonly message: Buffer; readonly rest: Buffer } | undefined {
	if (received.length < 2) return undefined;
	const end = 2 + received.readUInt16BE(0);
	return received.length < end ? undefined : { message: received.subarray(2, end), rest: received.subarray(end) };
}
