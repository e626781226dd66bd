import { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Connection, ConnectOptions, ListeningSocket, ListenOptions, Transport, TransportHooks } from "./connection.ts";
import type { SocketOption, SocketOptions } from "../../config/sockets.ts";
import type { RawBindings, RawHandle, RawPipe, RawTcp, SocketName } from "./raw-bindings.ts";
import { applySocketOptions, noSocketCalls } from "./socket-options.ts";
import { RawConnection, type RawShared, systemError } from "./raw-connection.ts";
import { RingConnection } from "./ring/ring-connection.ts";
import type { RingLoop } from "./ring/ring-loop.ts";

const readBufferBytes = 64 * 1024;

/** node:net's sockets keep their handle here. */
interface SocketWithHandle {
	readonly _handle: RawHandle;
}

/** With a ring, its connections read and write by it. */
export function createRawTransport(bindings: RawBindings, hooks: TransportHooks, ring?: RingLoop): Transport {
	const shared: RawShared = {
		bindings,
		hooks,
		readBuffer: Buffer.allocUnsafeSlow(readBufferBytes),
		spareWrite: new bindings.WriteWrap(),
		nextId: 1,
		createConnection: (handle) => (ring === undefined ? new RawConnection(shared, handle, undefined) : new RingConnection(shared, handle, ring)),
	};
	const { TCP, Pipe } = bindings;
	return {
		kind: ring === undefined ? "raw" : "ring",
		async listen(options, onConnection) {
			const server = new TCP(bindings.tcp.SERVER);
			const set = openWithOptions(shared, server, options.address, options.socketOptions);
			bindServer(bindings, server, options);
			set?.("bound");
			return startListening(shared, server, options.backlog, true, onConnection, set);
		},
		async listenPipe(path, onConnection) {
			const server = new Pipe(bindings.pipe.SERVER);
			const status = server.bind(path);
			if (status !== 0) throw systemError(bindings, "bind", status);
			return startListening(shared, server, 511, false, onConnection);
		},
		connect: (options, onResult) => connectRaw(shared, options, onResult),
		takeOver(fd, onConnection) {
			const handle = new TCP(bindings.tcp.SOCKET);
			const status = handle.open(fd);
			if (status === 0) return accept(shared, handle, true, onConnection);
			hooks.socketCalls?.close(fd);
			return systemError(bindings, "open", status);
		},
		toSocket(connection, bytes) {
			const { handle, held } = (connection as RawConnection).detach();
			const socket = new Socket({ handle, allowHalfOpen: true } as unknown as ConstructorParameters<typeof Socket>[0]);
			if (held !== undefined) socket.unshift(held);
			if (bytes !== undefined && bytes.length > 0) socket.unshift(bytes);
			return socket;
		},
		adoptTls: (socket) => adoptTls(shared, socket),
		close: () => ring?.close(),
	};
}

type SetOptions = (state: SocketOption["state"]) => void;

/** Gives the handle a socket of our own that has its options from before it is bound; throws when the system refuses one. undefined: no options. */
function openWithOptions({ bindings, hooks }: RawShared, handle: RawTcp, address: string, options: SocketOptions | undefined): SetOptions | undefined {
	if (options === undefined) return undefined;
	const calls = hooks.socketCalls;
	if (calls === undefined) throw noSocketCalls();
	const family = address.includes(":") ? 6 : 4;
	const fd = calls.open(family);
	if (fd < 0) throw new Error("no more sockets are to be had");
	const refused = applySocketOptions(calls, fd, family, options, "prebind");
	if (refused !== undefined) {
		calls.close(fd);
		throw new Error(`the system refuses ${refused}`);
	}
	const status = handle.open(fd);
	if (status !== 0) throw systemError(bindings, "open", status);
	return (state) => {
		const late = applySocketOptions(calls, fd, family, options, state);
		if (late === undefined) return;
		handle.close();
		throw new Error(`the system refuses ${late}`);
	};
}

function bindServer(bindings: RawBindings, server: RawTcp, options: ListenOptions): void {
	const isSix = options.address.includes(":");
	const flags = (options.reusePort ? bindings.tcp.UV_TCP_REUSEPORT : 0) | (isSix && options.ipv6Only === true ? bindings.tcp.UV_TCP_IPV6ONLY : 0);
	const status = isSix ? server.bind6(options.address, options.port, flags) : server.bind(options.address, options.port, flags);
	if (status === 0) return;
	server.close();
	throw systemError(bindings, `bind ${options.address}:${options.port}`, status);
}

/** What goes wrong with a connection ends that one alone. */
function accept(shared: RawShared, handle: RawTcp | RawPipe, isTcp: boolean, onConnection: (connection: Connection) => void): undefined {
	if (isTcp) (handle as RawTcp).setNoDelay(true);
	const connection = shared.createConnection(handle);
	try {
		onConnection(connection);
	} catch (error) {
		connection.fail(error);
	}
	shared.hooks.afterEvent();
}

function startListening(
	shared: RawShared,
	server: RawTcp | RawPipe,
	backlog: number,
	isTcp: boolean,
	onConnection: (connection: Connection) => void,
	setOptions?: SetOptions,
): ListeningSocket {
	const { bindings } = shared;
	server.onconnection = (status: number, handle: RawTcp | RawPipe) => {
		if (status === 0 && handle !== undefined) accept(shared, handle, isTcp, onConnection);
	};
	const status = server.listen(backlog);
	if (status !== 0) {
		server.close();
		throw systemError(bindings, "listen", status);
	}
	setOptions?.("listening");
	const name: SocketName = {};
	if (isTcp) (server as RawTcp).getsockname(name);
	let isOpen = true;
	return {
		port: name.port ?? 0,
		close() {
			if (isOpen) server.close();
			isOpen = false;
		},
	};
}

function connectRaw(shared: RawShared, options: ConnectOptions, onResult: (result: Connection | Error) => void): () => void {
	const { bindings, hooks } = shared;
	const { address } = options;
	const handle = address.kind === "ip" ? new bindings.TCP(bindings.tcp.SOCKET) : new bindings.Pipe(bindings.pipe.SOCKET);
	let isDone = false;
	const finish = (status: number, refusal?: Error) => {
		if (isDone) return;
		isDone = true;
		if (status === 0 && address.kind === "ip") (handle as RawTcp).setNoDelay(true);
		if (status === 0 && address.kind === "ip" && options.keepaliveSeconds !== undefined) (handle as RawTcp).setKeepAlive(true, options.keepaliveSeconds);
		if (status !== 0) handle.close();
		try {
			onResult(status === 0 ? shared.createConnection(handle) : (refusal ?? systemError(bindings, "connect", status)));
		} catch (error) {
			hooks.onHandlerError(error instanceof Error ? error : new Error(String(error)));
		}
		hooks.afterEvent();
	};
	try {
		const status = startConnect(shared, handle, options, (code) => finish(code));
		if (status !== 0) setImmediate(finish, status);
	} catch (error) {
		setImmediate(finish, -1, error instanceof Error ? error : new Error(String(error)));
	}
	return () => {
		if (isDone) return;
		isDone = true;
		handle.close();
	};
}

function startConnect(shared: RawShared, handle: RawTcp | RawPipe, options: ConnectOptions, finish: (status: number) => void): number {
	const { bindings } = shared;
	const { address } = options;
	if (address.kind === "pipe") {
		const request = new bindings.PipeConnectWrap();
		request.oncomplete = finish;
		// A pipe's connect returns nothing: errors arrive in the callback.
		return (handle as RawPipe).connect(request, address.path) ?? 0;
	}
	const tcp = handle as RawTcp;
	const isSix = address.address.includes(":");
	const set = openWithOptions(shared, tcp, address.address, options.socketOptions);
	if (options.bindAddress !== "") {
		const bound = isSix ? tcp.bind6(options.bindAddress, 0, 0) : tcp.bind(options.bindAddress, 0, 0);
		if (bound !== 0) return bound;
	}
	set?.("bound");
	const request = new bindings.TCPConnectWrap();
	request.oncomplete = finish;
	return isSix ? tcp.connect6(request, address.address, address.port) : tcp.connect(request, address.address, address.port);
}

/** The stream object stays alive beside us: it owns the handle, reports TLS alerts, and closes both layers. */
function adoptTls(shared: RawShared, socket: TLSSocket): Connection {
	const handle = (socket as unknown as SocketWithHandle)._handle;
	handle.readStop();
	const connection = new RawConnection(shared, handle, socket);
	const afterwards = (error?: Error) => {
		connection.destroy(error);
		shared.hooks.afterEvent();
	};
	socket.on("error", afterwards);
	socket.on("close", () => afterwards());
	return connection;
}
