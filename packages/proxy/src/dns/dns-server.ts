import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server as TcpServer, type Socket } from "node:net";
import type { Logger } from "@weft/runtime";
import { decodeQuery, encodeAnswer, type Query, responseCode } from "./message.ts";
import type { NameLookup } from "./name-lookup.ts";
import { type DnsServer, type Exchange, exchangeTcp, exchangeUdp, frame, takeFramed } from "./upstream.ts";

/** Istio's port: captured queries come here. */
export const dnsPort = 15_053;
const ttlSeconds = 30;
const timeoutMs = 5_000;
/** Queries that are forwarded at a time; more are failed at once: an application must not fill this process. */
const forwardedMax = 1_000;
const connectionsMax = 256;
const idleTimeoutMs = 10_000;
const messageBytesMax = 65_535;

export interface DnsServerOptions {
	readonly port: number;
	/** Addresses to listen on; those that the machine does not have are left out. */
	readonly hosts: readonly string[];
	/** Who is asked about all other names, one after the other. */
	readonly upstream: readonly DnsServer[];
	readonly logger: Logger;
	/** For tests. */
	readonly exchange?: { readonly udp: Exchange; readonly tcp: Exchange };
}

export interface RunningDnsServer {
	readonly port: number;
	/** Those of the hosts that could be had. */
	readonly addresses: readonly string[];
	/** Before the first table nothing is answered: a name of the mesh must not be taken for one that does not exist. */
	setNames(lookup: NameLookup): void;
	close(): Promise<void>;
}

/** Answers names of the mesh, and forwards the rest as it came. Rejects when no address can be had. */
export async function startDnsServer({ port, hosts, upstream, logger, exchange }: DnsServerOptions): Promise<RunningDnsServer> {
	let lookup: NameLookup | undefined;
	let forwarded = 0;

	async function forward(query: Query, message: Buffer, ask: Exchange): Promise<Buffer> {
		if (forwarded >= forwardedMax) return failed(query);
		forwarded++;
		try {
			for (const server of upstream) {
				try {
					return await ask(server, message, timeoutMs);
				} catch (error) {
					logger.debug("DNS server did not answer", { server: server.host, name: query.name, error });
				}
			}
			return failed(query);
		} finally {
			forwarded--;
		}
	}

	/** Undefined: what is no query gets no answer. */
	async function answer(message: Buffer, bytesMax: number | undefined, ask: Exchange): Promise<Buffer | undefined> {
		const query = decodeQuery(message);
		if (query === undefined) return undefined;
		if (lookup === undefined) return failed(query);
		const answers = lookup(query.name, query.type);
		if (answers === undefined) return forward(query, message, ask);
		return encodeAnswer(query, responseCode.noError, answers, ttlSeconds, bytesMax ?? query.answerBytesMax);
	}

	const { udp = exchangeUdp, tcp = exchangeTcp } = exchange ?? {};
	const sockets: { readonly udp: UdpSocket; readonly tcp: TcpServer }[] = [];
	const connections = new Set<Socket>();
	let bound = port;
	for (const host of hosts) {
		try {
			const pair = await bind(host, bound);
			bound = pair.udp.address().port;
			sockets.push(pair);
		} catch (error) {
			logger.debug("DNS is not answered on an address", { host, error });
			if (host === hosts.at(-1) && sockets.length === 0) throw error;
		}
	}
	for (const pair of sockets) {
		pair.udp.on("message", (message, peer) => {
			void answer(message, undefined, udp).then((reply) => reply && pair.udp.send(reply, peer.port, peer.address));
		});
		pair.udp.on("error", (error) => logger.error("DNS", { error }));
		pair.tcp.on("connection", (socket) => {
			connections.add(socket);
			socket.once("close", () => connections.delete(socket));
			serveTcp(socket, (message) => answer(message, messageBytesMax, tcp));
		});
	}
	return {
		port: bound,
		addresses: sockets.map(({ udp }) => udp.address().address),
		setNames: (next) => void (lookup = next),
		close: async () => {
			const closed = sockets.map((pair) => once(pair.tcp, "close"));
			for (const pair of sockets) {
				pair.udp.close();
				pair.tcp.close();
			}
			for (const connection of connections) connection.destroy();
			await Promise.all(closed);
		},
	};
}

const failed = (query: Query): Buffer => encodeAnswer(query, responseCode.serverFailure, [], ttlSeconds, messageBytesMax);

async function bind(host: string, port: number): Promise<{ readonly udp: UdpSocket; readonly tcp: TcpServer }> {
	const udp = createSocket({ type: host.includes(":") ? "udp6" : "udp4", ipv6Only: host.includes(":") });
	udp.bind(port, host);
	await once(udp, "listening");
	const tcp = createServer();
	tcp.maxConnections = connectionsMax;
	tcp.listen({ host, port: udp.address().port, ipv6Only: host.includes(":") });
	try {
		await once(tcp, "listening");
	} catch (error) {
		udp.close();
		throw error;
	}
	return { udp, tcp };
}

/** One query after the other, in the order in which they came. */
function serveTcp(socket: Socket, answer: (message: Buffer) => Promise<Buffer | undefined>): void {
	let received = Buffer.alloc(0);
	let isBusy = false;
	socket.setTimeout(idleTimeoutMs, () => socket.destroy());
	socket.on("error", () => socket.destroy());
	const next = async (): Promise<void> => {
		if (isBusy) return;
		isBusy = true;
		for (let taken = takeFramed(received); taken !== undefined && !socket.destroyed; taken = takeFramed(received)) {
			received = Buffer.from(taken.rest);
			const reply = await answer(taken.message);
			if (reply === undefined) return void socket.destroy();
			socket.write(frame(reply));
		}
		isBusy = false;
	};
	socket.on("data", (part: Buffer) => {
		received = Buffer.concat([received, part]);
		// More than two messages unread: who does not wait for answers is cut off.
		if (received.length > 2 * (messageBytesMax + 2)) return void socket.destroy();
		void next();
	});
}
