import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { performServerHandshake, type ServerHttp2Session } from "node:http2";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";

/** Hosts of clusters, all in this process: each port says whose it is, in HTTP/1.1 and in HTTP/2 without TLS. */
export class Hosts {
	readonly #servers = new Map<string, Promise<Server>>();
	readonly #ports = new Map<string, number>();
	readonly #clusters = new Map<number, string>();
	readonly #sockets = new Set<Socket>();
	readonly #http1: HttpServer;

	constructor() {
		this.#http1 = createHttpServer({ keepAliveTimeout: 60_000 }, (request, response) => {
			request.resume();
			response.writeHead(200, { "x-cluster": this.#clusterOf(request.socket) }).end("here");
		});
	}

	/** Has the host of this cluster listen; `portOf` knows it from then on. */
	async open(cluster: string, index: number): Promise<void> {
		const key = `${cluster} ${index}`;
		const known = this.#servers.get(key) ?? this.#listen(key, cluster);
		this.#servers.set(key, known);
		await known;
	}

	portOf(cluster: string, index: number): number {
		return this.#ports.get(`${cluster} ${index}`) ?? 0;
	}

	#listen(key: string, cluster: string): Promise<Server> {
		const server = createServer((socket) => this.#serve(socket));
		return new Promise((resolve) => {
			server.listen(0, "127.0.0.1", () => {
				const { port } = server.address() as AddressInfo;
				this.#ports.set(key, port);
				this.#clusters.set(port, cluster);
				resolve(server);
			});
		});
	}

	#clusterOf(socket: { readonly localPort?: number | undefined }): string {
		return encodeURIComponent(this.#clusters.get(socket.localPort ?? 0) ?? "");
	}

	/** The first bytes tell which of the two it is. */
	#serve(socket: Socket): void {
		this.#sockets.add(socket);
		socket.on("error", () => {}).on("close", () => this.#sockets.delete(socket));
		socket.once("data", (first) => {
			socket.pause();
			socket.unshift(first);
			if (!first.toString("latin1").startsWith("PRI ")) {
				this.#http1.emit("connection", socket);
				return void socket.resume();
			}
			const cluster = this.#clusterOf(socket);
			const session: ServerHttp2Session = performServerHandshake(socket);
			session.on("error", () => {});
			session.on("stream", (stream) => {
				stream.on("error", () => {});
				stream.resume();
				stream.respond({ ":status": 200, "x-cluster": cluster });
				stream.end("here");
			});
		});
	}

	async close(): Promise<void> {
		for (const socket of this.#sockets) socket.destroy();
		for (const server of await Promise.all(this.#servers.values())) server.close();
	}
}
