import type { SocketOptions } from "../../config/sockets.ts";
import type { SocketCalls } from "./socket-calls.ts";

/**
 * One byte stream to a peer, plain or TLS, whatever carries it. The data path knows nothing below this line.
 */

/** Called by the transport; a throw inside closes the connection with that error instead of ending the process. */
export interface ConnectionHandler {
	/** `bytes[start, end)` is valid only during the call: the next read of any connection overwrites it. */
	onData(bytes: Buffer, start: number, end: number): void;
	/** The peer sends no more; it may still read. */
	onEnd(): void;
	/** Output to this connection is piling up: stop what feeds it. Called by `Output`, not by the transport. */
	onBlocked(): void;
	/** Everything written has left, after `write` said otherwise. */
	onDrain(): void;
	/** Once, the last call. undefined: closed in order, by either side. */
	onClose(error: Error | undefined): void;
}

/**
 * - `written`: the bytes have been taken; their memory is free again.
 * - `pinned`: being sent from that very memory: leave it alone until `unpin` is called.
 * - `queued`: copied behind what is being sent; memory is free, but stop the source until `onDrain`.
 */
export type WriteStatus = "written" | "pinned" | "queued";

export interface Connection {
	handler: ConnectionHandler;
	/** Unique in the worker. */
	readonly id: number;
	readonly isTls: boolean;
	readonly localAddress: string;
	readonly localPort: number;
	readonly remoteAddress: string;
	readonly remotePort: number;
	/** -1 when the platform gives none. */
	readonly fd: number;
	readonly isClosed: boolean;
	/** Bytes accepted by `write` that have not left yet, apart from a pinned write. */
	readonly queuedBytes: number;
	/** Whether a write waits for the peer to read. */
	readonly isBlocked: boolean;
	/** `unpin` runs once the memory is free again, also when the connection is destroyed. Writes after close are dropped. */
	write(bytes: Uint8Array, unpin?: () => void): WriteStatus;
	/** Read into this memory from now on (bulk transfer); undefined: the shared buffer. */
	useReadBuffer(buffer: Buffer | undefined): void;
	/** Many streams share it: few and large reads and writes are to come. */
	expectLargeReads(): void;
	pause(): void;
	resume(): void;
	/** Half-closes once all is sent. */
	end(): void;
	/** At once; what is unsent is lost. */
	destroy(error?: Error): void;
	/** As `destroy`, and the peer sees a reset where the transport can say one: not over TLS, nor over pipes. */
	reset(): void;
}

/** A bound socket that accepts. */
export interface ListeningSocket {
	/** The bound port, 0 for a pipe. */
	readonly port: number;
	close(): void;
}

export interface ListenOptions {
	readonly address: string;
	readonly port: number;
	readonly backlog: number;
	readonly reusePort: boolean;
	/** Of `::`: IPv4 is left to others. */
	readonly ipv6Only?: boolean;
	readonly socketOptions?: SocketOptions | undefined;
}

export interface ConnectOptions {
	readonly address: { readonly kind: "ip"; readonly address: string; readonly port: number } | { readonly kind: "pipe"; readonly path: string };
	/** "" : any. */
	readonly bindAddress: string;
	readonly keepaliveSeconds: number | undefined;
	readonly socketOptions?: SocketOptions | undefined;
}

/** `auto`: the best that there is. */
export type TransportKind = "auto" | Transport["kind"];

/** Ways to make plain connections. All implementations pass the same tests. */
export interface Transport {
	/** `ring`: raw handles whose connections read and write by io_uring; `net`: public sockets. */
	readonly kind: "ring" | "raw" | "net";
	/** Rejects when the address cannot be bound. */
	listen(options: ListenOptions, onConnection: (connection: Connection) => void): Promise<ListeningSocket>;
	listenPipe(path: string, onConnection: (connection: Connection) => void): Promise<ListeningSocket>;
	/** Calls back once with a connection that does not read yet (call `resume`), or an error. Returns a function that gives up. */
	connect(options: ConnectOptions, onResult: (result: Connection | Error) => void): () => void;
	/** Takes a connected TCP socket by its descriptor, which is the connection's from here on, as if it had been accepted. Gives what the system refuses. */
	takeOver(fd: number, onConnection: (connection: Connection) => void): Error | undefined;
	/** Turns the plain, paused connection into the duplex stream that node:tls can wrap; `bytes` have been read from it already. */
	toSocket(connection: Connection, bytes: Buffer | undefined): import("node:net").Socket;
	/** Takes a TLS socket whose handshake is done. It does not read until `resume`. */
	adoptTls(socket: import("node:tls").TLSSocket): Connection;
	/** Gives back what all connections share. They are closed by then. */
	close(): void;
}

export const silentHandler: ConnectionHandler = {
	onData() {},
	onEnd() {},
	onBlocked() {},
	onDrain() {},
	onClose() {},
};

export interface TransportHooks {
	/** Runs after each event from the kernel, so that output of one event goes out in one write. */
	readonly afterEvent: () => void;
	/** Runs before a connection ends or closes: output of earlier events may still wait. */
	readonly beforeClose: () => void;
	/** A handler threw; the connection is closed by the transport. */
	readonly onHandlerError: (error: Error) => void;
	/** undefined: sockets with options of their own cannot be made. */
	readonly socketCalls?: SocketCalls | undefined;
}
