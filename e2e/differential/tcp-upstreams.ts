import { createServer, type Server, type Socket } from "node:net";

/** Servers of several manners, that both proxies of a pair lead to. */
export type Manner = "echo" | "greets" | "answers and ends" | "ends at once" | "resets" | "silent" | "answers after the end" | "sends much";

const muchBytes = 3_000_000;

const manners: Readonly<Record<Manner, (socket: Socket) => void>> = {
	echo: (socket) => void socket.on("data", (bytes) => socket.write(bytes)).on("end", () => socket.end("bye")),
	greets: (socket) => {
		socket.write("welcome;");
		socket.on("data", (bytes) => socket.write(bytes)).on("end", () => socket.end());
	},
	"answers and ends": (socket) => void socket.once("data", (bytes) => socket.end(`last words of ${bytes.length}`)),
	"ends at once": (socket) => void socket.resume().end(),
	resets: (socket) => void socket.once("data", () => socket.resetAndDestroy()),
	silent: (socket) => void socket.on("data", () => {}).on("end", () => socket.end()),
	"answers after the end": (socket) => {
		let received = 0;
		socket.on("data", (bytes) => void (received += bytes.length)).on("end", () => socket.end(`got ${received}`));
	},
	"sends much": (socket) => void socket.resume().end(Buffer.alloc(muchBytes, "x")),
};

export interface TcpUpstreams {
	readonly ports: Readonly<Record<Manner, number>>;
	stop(): void;
}

export async function startTcpUpstreams(): Promise<TcpUpstreams> {
	const servers: Server[] = [];
	const sockets = new Set<Socket>();
	const ports: Partial<Record<Manner, number>> = {};
	for (const name of Object.keys(manners) as Manner[]) {
		const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
			sockets.add(socket);
			socket.on("error", () => {}).on("close", () => sockets.delete(socket));
			manners[name](socket);
		});
		servers.push(server);
		await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
		const address = server.address();
		ports[name] = typeof address === "object" && address !== null ? address.port : 0;
	}
	return {
		ports: ports as Record<Manner, number>,
		stop() {
			for (const socket of sockets) socket.destroy();
			for (const server of servers) server.close();
		},
	};
}
