import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { type AppContext, type Environment, integerFrom, type RunningApp, textFrom } from "./environment.ts";

const lineBytesMax = 65_536;
const drainTimeoutMs = 5_000;

/**
 * The tcp-echo sample: every line comes back with a prefix. Arguments are the ports, comma separated, and the prefix;
 * `PORT_<n>` moves port n elsewhere, `PORT` the first one, where a launcher hands out ports.
 */
export async function startTcpEcho(context: AppContext): Promise<RunningApp> {
	const { env, args } = context;
	const host = textFrom(env, "HOST", "0.0.0.0");
	const prefix = args[1] ?? textFrom(env, "TCP_ECHO_PREFIX", "hello");
	const listeners: { readonly server: Server; readonly sockets: Set<Socket> }[] = [];
	const ports: number[] = [];
	for (const [index, wanted] of wantedPorts(env, args[0]).entries()) {
		const sockets = new Set<Socket>();
		const server = createServer({ allowHalfOpen: true }, (socket) => echoLines(context, socket, sockets, prefix));
		const fallback = index === 0 ? integerFrom(env, "PORT", wanted, 65_535) : wanted;
		ports.push(await listen(server, host, integerFrom(env, `PORT_${wanted}`, fallback, 65_535)));
		listeners.push({ server, sockets });
	}
	context.log(`listening on ${host}, ports ${ports.join(", ")}`);
	return {
		ports,
		close: async () => {
			await Promise.all(listeners.map(({ server, sockets }) => closeListener(server, sockets)));
		},
	};
}

function wantedPorts(env: Environment, argument: string | undefined): readonly number[] {
	const words = (argument ?? textFrom(env, "TCP_ECHO_PORTS", "9000,9001,9002")).split(",");
	return words.map((word) => integerFrom({ port: word.trim() }, "port", 0, 65_535));
}

function echoLines(context: AppContext, socket: Socket, sockets: Set<Socket>, prefix: string): void {
	sockets.add(socket);
	socket.once("close", () => sockets.delete(socket));
	socket.on("error", (error) => context.log(`connection from ${socket.remoteAddress ?? "?"}: ${error.message}`));
	const head = Buffer.from(`${prefix} `);
	let rest = Buffer.alloc(0);
	socket.on("data", (chunk: Buffer) => {
		let bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
		for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10)) {
			writeBounded(socket, Buffer.concat([head, bytes.subarray(0, end + 1)]));
			bytes = bytes.subarray(end + 1);
		}
		if (bytes.length > lineBytesMax) {
			context.log(`line over ${lineBytesMax} bytes, connection closed`);
			socket.destroy();
		}
		rest = Buffer.from(bytes);
	});
	socket.on("drain", () => socket.resume());
	socket.on("end", () => {
		if (rest.length > 0) socket.write(Buffer.concat([head, rest]));
		socket.end();
	});
}

/** Stops reading while the peer does not take what it is sent, so that nothing piles up. */
function writeBounded(socket: Socket, bytes: Buffer): void {
	if (!socket.write(bytes)) socket.pause();
}

function listen(server: Server, host: string, port: number): Promise<number> {
	return new Promise((resolve, reject) => {
		server.once("error", reject);
		server.listen(port, host, () => {
			server.off("error", reject);
			resolve((server.address() as AddressInfo).port);
		});
	});
}

function closeListener(server: Server, sockets: Set<Socket>): Promise<void> {
	return new Promise((resolve) => {
		const hard = setTimeout(() => {
			for (const socket of sockets) socket.destroy();
		}, drainTimeoutMs);
		server.close(() => {
			clearTimeout(hard);
			resolve();
		});
		for (const socket of sockets) socket.end();
	});
}
