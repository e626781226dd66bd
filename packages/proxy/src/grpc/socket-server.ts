import type { Http2Server, IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { createServer, type Socket } from "node:net";
import type { Logger } from "@weft/runtime";
import { frameMessage, MessageReader } from "./message-reader.ts";
import { grpcCode, grpcStatus, type GrpcStatus } from "./status.ts";

/** One call at the server's end. */
export interface GrpcServerCall {
	/** What the client sent under this name, in lower case; undefined: nothing. */
	header(name: string): string | undefined;
	/** Sends one message. A client that leaves more than `unreadBytesMax` unread is cut off instead. */
	send(message: Uint8Array): void;
	/** Ends the call; later messages go nowhere. */
	end(status?: GrpcStatus): void;
}

/** What happens to a call; nothing comes after `onClose`. */
export interface GrpcServerEvents {
	onMessage(message: Buffer): void;
	/** The client has said everything. */
	onEnd(): void;
	onClose(): void;
}

/** By path, `/package.Service/Method`. */
export type GrpcMethods = Readonly<Record<string, (call: GrpcServerCall) => GrpcServerEvents>>;

export interface GrpcSocketOptions {
	/** Of the Unix socket. Nothing may be there. */
	readonly path: string;
	/** Who may connect: the own user, or whoever can reach the path. */
	readonly access: "own" | "all";
	readonly methods: GrpcMethods;
	readonly logger: Logger;
}

export interface GrpcSocketServer {
	/** Ends all calls, and takes the socket away. */
	close(): Promise<void>;
}

// sockaddr_un holds 108 bytes on Linux and 104 on macOS, the final NUL among them.
const pathBytesMax = 103;
const connectionsMax = 128;
const streamsMax = 100;
/** Of one received message. */
const messageBytesMax = 64 * 1024;
const unreadBytesMax = 256 * 1024;

/**
 * gRPC on a Unix socket for the processes of the same pod, on node:http2: @grpc/grpc-js would cost every sidecar 22 MB, and
 * this costs nothing until somebody connects. Rejects where the socket cannot be made.
 */
export async function serveGrpcSocket({ path, access, methods, logger }: GrpcSocketOptions): Promise<GrpcSocketServer> {
	if (Buffer.byteLength(path) > pathBytesMax) throw new Error(`${path} is too long for a Unix socket (${pathBytesMax} bytes)`);
	const sockets = new Set<Socket>();
	let http2: Http2Server | undefined;
	const server = createServer((socket) => {
		sockets.add(socket);
		socket.on("close", () => sockets.delete(socket));
		http2 ??= createHttp2Server(methods, logger);
		http2.emit("connection", socket);
	});
	server.maxConnections = connectionsMax;
	await new Promise<void>((resolve, reject) => {
		server.once("error", (error) => reject(new Error(`cannot listen on ${path}: ${error.message}`, { cause: error })));
		const isForAll = access === "all";
		// Born without rights for others: a chmod afterwards would come too late for a key.
		const umask = isForAll ? undefined : process.umask(0o177);
		server.listen({ path, readableAll: isForAll, writableAll: isForAll }, resolve);
		if (umask !== undefined) process.umask(umask);
	});
	server.on("error", (error) => logger.error("gRPC socket", { path, error }));
	return {
		close: () =>
			new Promise((resolve) => {
				server.close(() => resolve());
				for (const socket of sockets) socket.destroy();
			}),
	};
}

function createHttp2Server(methods: GrpcMethods, logger: Logger): Http2Server {
	const server = process.getBuiltinModule("node:http2").createServer({ settings: { maxConcurrentStreams: streamsMax, enablePush: false } });
	server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
		// Ends with the stream: whoever goes away is no failure of ours.
		stream.on("error", (error: Error) => logger.debug("gRPC call broke off", { error }));
		serve(stream, headers, methods, logger);
	});
	server.on("session", (session) => void session.on("error", (error) => logger.debug("gRPC connection broke off", { error })));
	return server;
}

function serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, methods: GrpcMethods, logger: Logger): void {
	if (headers[":method"] !== "POST" || !/^application\/grpc(?:$|[+;])/.test(headers["content-type"] ?? "")) {
		stream.respond({ ":status": 415 }, { endStream: true });
		stream.resume();
		return;
	}
	const path = headers[":path"] ?? "";
	const call = new ServerCall(stream, headers);
	const method = Object.hasOwn(methods, path) ? methods[path] : undefined;
	if (method === undefined) {
		stream.resume();
		return call.end(grpcStatus(grpcCode.unimplemented, `${path} is not served here`));
	}
	const reader = new MessageReader(messageBytesMax, "client");
	const guarded = (run: () => void) => {
		try {
			run();
		} catch (error) {
			logger.error("gRPC call failed", { path, error });
			call.end(grpcStatus(grpcCode.internal, "internal error"));
		}
	};
	guarded(() => {
		const events = method(call);
		stream.on("data", (bytes: Buffer) => {
			if (call.isOver) return;
			const refused = reader.push(bytes, 0, bytes.length);
			if (refused !== undefined) return call.end(refused);
			for (let message = reader.take(); message !== undefined; message = reader.take()) {
				const whole = message;
				guarded(() => events.onMessage(whole));
			}
		});
		stream.on("end", () => guarded(() => events.onEnd()));
		stream.on("close", () => guarded(() => events.onClose()));
	});
}

class ServerCall implements GrpcServerCall {
	readonly #stream: ServerHttp2Stream;
	readonly #headers: IncomingHttpHeaders;
	#status: GrpcStatus | undefined;

	constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders) {
		this.#stream = stream;
		this.#headers = headers;
	}

	get isOver(): boolean {
		return this.#status !== undefined || this.#stream.destroyed || this.#stream.closed;
	}

	header(name: string): string | undefined {
		const value = this.#headers[name];
		return typeof value === "string" ? value : undefined;
	}

	send(message: Uint8Array): void {
		if (this.isOver) return;
		if (!this.#stream.headersSent) {
			this.#stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
			this.#stream.on("wantTrailers", () => this.#stream.sendTrailers(fieldsOf(this.#status ?? grpcStatus(grpcCode.ok, ""))));
		}
		this.#stream.write(frameMessage(message));
		// A trailer would wait behind what is not read: the reset says RESOURCE_EXHAUSTED at once.
		if (this.#stream.writableLength > unreadBytesMax) this.#stream.close(process.getBuiltinModule("node:http2").constants.NGHTTP2_ENHANCE_YOUR_CALM);
	}

	end(status: GrpcStatus = grpcStatus(grpcCode.ok, "")): void {
		if (this.isOver) return;
		this.#status = status;
		if (this.#stream.headersSent) this.#stream.end();
		else this.#stream.respond({ ":status": 200, "content-type": "application/grpc", ...fieldsOf(status) }, { endStream: true });
	}
}

function fieldsOf({ code, message }: GrpcStatus): OutgoingHttpHeaders {
	return { "grpc-status": String(code), ...(message === "" ? {} : { "grpc-message": encodeMessage(message) }) };
}

/** Percent-encoded, as little as has to be (grpc/doc/PROTOCOL-HTTP2.md, "Responses"). */
const encodeMessage = (text: string): string => text.toWellFormed().replace(/[^ -$&-~]/gu, encodeURIComponent);
