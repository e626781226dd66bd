import { connect as netConnect, createServer, type Server, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import {
	type Connection,
	type ConnectionHandler,
	type ConnectOptions,
	type ListeningSocket,
	silentHandler,
	type Transport,
	type TransportHooks,
	type WriteStatus,
} from "./connection.ts";
import { unmapAddress } from "./raw-connection.ts";

/**
 * The public sockets of node:net behind the same interface: slower, but it stands on nothing private. Taken when the
 * self-test of the raw handles fails, or when asked for.
 */
class NetConnection implements Connection {
	handler: ConnectionHandler = silentHandler;
	readonly id: number;
	readonly isTls: boolean;
	isClosed = false;
	readonly socket: Socket;
	readonly #hooks: TransportHooks;
	readonly #listeners: ReadonlyMap<string, (...values: never[]) => void>;
	readonly localAddress: string;
	readonly localPort: number;
	readonly remoteAddress: string;
	readonly remotePort: number;

	constructor(hooks: TransportHooks, socket: Socket, id: number, isTls: boolean) {
		this.#hooks = hooks;
		this.socket = socket;
		this.id = id;
		this.isTls = isTls;
		this.localAddress = unmapAddress(socket.localAddress ?? "");
		this.localPort = socket.localPort ?? 0;
		this.remoteAddress = unmapAddress(socket.remoteAddress ?? "");
		this.remotePort = socket.remotePort ?? 0;
		this.#listeners = new Map<string, (...values: never[]) => void>([
			["data", (bytes: Buffer) => this.#guard(() => this.handler.onData(bytes, 0, bytes.length))],
			["end", () => this.#guard(() => this.handler.onEnd())],
			["drain", () => this.#guard(() => this.handler.onDrain())],
			["error", (error: Error) => this.#guard(() => this.destroy(error))],
			["close", () => this.#guard(() => this.destroy())],
		]);
		socket.pause();
		for (const [event, listener] of this.#listeners) socket.on(event, listener as (...values: unknown[]) => void);
	}

	get fd(): number {
		return -1;
	}
	get queuedBytes(): number {
		return this.socket.writableLength;
	}
	get isBlocked(): boolean {
		return this.socket.writableNeedDrain;
	}

	#guard(run: () => void): void {
		try {
			run();
		} catch (thrown) {
			this.fail(thrown);
		}
		this.#hooks.afterEvent();
	}

	fail(thrown: unknown): void {
		const error = thrown instanceof Error ? thrown : new Error(String(thrown));
		this.#hooks.onHandlerError(error);
		this.destroy(error);
	}

	write(bytes: Uint8Array): WriteStatus {
		if (this.isClosed || this.socket.writableEnded) return "written";
		// The stream may keep what it is given: it gets its own copy.
		return this.socket.write(Buffer.from(bytes)) ? "written" : "queued";
	}
	useReadBuffer(): void {}
	expectLargeReads(): void {}
	pause(): void {
		this.socket.pause();
	}
	resume(): void {
		if (!this.isClosed) this.socket.resume();
	}
	end(): void {
		if (this.isClosed) return;
		this.#hooks.beforeClose();
		this.socket.end();
	}
	destroy(error?: Error): void {
		this.#close(error, false);
	}
	reset(): void {
		this.#close(undefined, true);
	}
	#close(error: Error | undefined, isReset: boolean): void {
		if (this.isClosed) return;
		this.#hooks.beforeClose();
		this.isClosed = true;
		if (isReset && !("encrypted" in this.socket) && this.socket.remotePort !== undefined) this.socket.resetAndDestroy();
		else this.socket.destroy();
		const handler = this.handler;
		this.handler = silentHandler;
		try {
			handler.onClose(error);
		} catch (thrown) {
			this.#hooks.onHandlerError(thrown instanceof Error ? thrown : new Error(String(thrown)));
		}
	}
	detach(): Socket {
		this.#hooks.beforeClose();
		this.isClosed = true;
		this.handler = silentHandler;
		for (const [event, listener] of this.#listeners) this.socket.off(event, listener as (...values: unknown[]) => void);
		return this.socket;
	}
}

export function createNetTransport(hooks: TransportHooks): Transport {
	let nextId = 1;
	const adopt = (socket: Socket, isTls: boolean) => new NetConnection(hooks, socket, nextId++, isTls);
	const accept = (onConnection: (connection: Connection) => void) =>
		createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => {
			const connection = adopt(socket, false);
			try {
				onConnection(connection);
			} catch (error) {
				connection.fail(error);
			}
			hooks.afterEvent();
		});
	return {
		kind: "net",
		async listen({ address, port, backlog, reusePort, ipv6Only = false, socketOptions }, onConnection) {
			if (socketOptions !== undefined) throw onlyRaw();
			return startServer(accept(onConnection), { host: address, port, backlog, reusePort, ipv6Only });
		},
		listenPipe: (path, onConnection) => startServer(accept(onConnection), { path }),
		connect: (options, onResult) => connectNet(hooks, options, (socket) => onResult(socket instanceof Error ? socket : adopt(socket, false))),
		takeOver: () => new Error("public sockets cannot be handed from thread to thread"),
		toSocket(connection, bytes) {
			const socket = (connection as NetConnection).detach();
			if (bytes !== undefined && bytes.length > 0) socket.unshift(bytes);
			return socket;
		},
		adoptTls: (socket: TLSSocket) => adopt(socket, true),
		close() {},
	};
}

function onlyRaw(): Error {
	return new Error("socket options need the raw transport, which this Node does not offer or WEFT_TRANSPORT=net turns off");
}

function startServer(server: Server, options: Parameters<Server["listen"]>[0]): Promise<ListeningSocket> {
	return new Promise((resolve, reject) => {
		server.once("error", reject);
		server.listen(options, () => {
			server.off("error", reject);
			server.on("error", () => {});
			const address = server.address();
			resolve({ port: typeof address === "object" && address !== null ? address.port : 0, close: () => void server.close() });
		});
	});
}

function connectNet(hooks: TransportHooks, options: ConnectOptions, onResult: (socket: Socket | Error) => void): () => void {
	const { address, bindAddress, keepaliveSeconds, socketOptions } = options;
	if (socketOptions !== undefined) {
		const timer = setImmediate(() => {
			onResult(onlyRaw());
			hooks.afterEvent();
		});
		return () => clearImmediate(timer);
	}
	const keepAlive = keepaliveSeconds === undefined ? {} : { keepAlive: true, keepAliveInitialDelay: keepaliveSeconds * 1000 };
	const socket =
		address.kind === "pipe"
			? netConnect({ path: address.path, allowHalfOpen: true })
			: netConnect({
					host: address.address,
					port: address.port,
					noDelay: true,
					allowHalfOpen: true,
					...keepAlive,
					...(bindAddress === "" ? {} : { localAddress: bindAddress }),
				});
	const finish = (result: Socket | Error) => {
		socket.off("connect", onConnect);
		socket.off("error", finish);
		try {
			onResult(result);
		} catch (error) {
			hooks.onHandlerError(error instanceof Error ? error : new Error(String(error)));
		}
		hooks.afterEvent();
	};
	const onConnect = () => finish(socket);
	socket.once("connect", onConnect);
	socket.once("error", finish);
	return () => {
		socket.off("connect", onConnect);
		socket.off("error", finish);
		socket.on("error", () => {});
		socket.destroy();
	};
}
