import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { AppContext, RunningApp } from "@weft/example-apps";

/** An HTTP server on HOST:PORT. */
export async function startService(
	{ env, log }: AppContext,
	answer: (request: IncomingMessage, body: Buffer, response: ServerResponse) => void,
	prepare: (server: Server) => void = () => undefined,
): Promise<RunningApp> {
	const server = createServer((request, response) => {
		const pieces: Buffer[] = [];
		request.on("data", (piece: Buffer) => pieces.push(piece));
		request.on("end", () => answer(request, Buffer.concat(pieces), response));
	});
	prepare(server);
	// Those that became websockets, too, which the server forgets.
	const sockets = new Set<Socket>();
	server.on("connection", (socket: Socket) => {
		sockets.add(socket);
		socket.once("close", () => sockets.delete(socket));
	});
	server.listen(Number(env["PORT"] ?? 0), env["HOST"] ?? "127.0.0.1");
	await once(server, "listening");
	const { port } = server.address() as AddressInfo;
	log(`listening on ${port}`);
	const close = () =>
		new Promise<void>((resolve) => {
			server.close(() => resolve());
			for (const socket of sockets) socket.destroy();
		});
	return { ports: [port], close };
}
