import { GrpcCall, type GrpcCallEvents } from "./call.ts";
import { GrpcConnection } from "./connection.ts";
import { dial } from "./dial.ts";
import type { GrpcEnvironment } from "./environment.ts";
import { grpcCode, grpcStatus, type GrpcStatus, statusText } from "./status.ts";
import type { GrpcTarget } from "./target.ts";

export interface CallOptions {
	/** `/package.Service/Method`. */
	readonly path: string;
	/** Names in lower case; values of `-bin` names in base64. */
	readonly metadata?: Readonly<Record<string, string>>;
	/** Of one received message; default 4 MiB, as everywhere in gRPC. */
	readonly messageBytesMax?: number;
	/** Until the status has come; default: for ever. The server is told. */
	readonly timeoutMs?: number;
}

const messageBytesMax = 4 * 1024 * 1024;
const userAgent = "weft-proxy";

/** A call that ended with another status than 0. */
export class GrpcError extends Error {
	readonly code: number;

	constructor(status: GrpcStatus) {
		super(statusText(status));
		this.name = "GrpcError";
		this.code = status.code;
	}
}

/**
 * Calls of one server over one connection at a time, made when the first call needs it and again when it is gone. When to try
 * again after a failure is for the caller to decide.
 */
export class GrpcChannel {
	readonly #target: GrpcTarget;
	readonly #environment: GrpcEnvironment;
	readonly #closed = new AbortController();
	#connection: GrpcConnection | undefined;
	#connecting: Promise<GrpcConnection> | undefined;

	constructor(target: GrpcTarget, environment: GrpcEnvironment) {
		this.#target = target;
		this.#environment = environment;
	}

	/** A call with any number of messages either way. */
	open(options: CallOptions, events: GrpcCallEvents): GrpcCall {
		const call = this.#createCall(options, events);
		this.#connect().then(
			(connection) => {
				if (call.isOver) return;
				if (connection.hasRoom) call.start(connection.open());
				else call.fail(grpcStatus(grpcCode.unavailable, "the server takes no more calls on this connection"));
			},
			(error: unknown) => call.fail(grpcStatus(grpcCode.unavailable, error instanceof Error ? error.message : String(error))),
		);
		return call;
	}

	#createCall({ path, metadata = {}, messageBytesMax: bytesMax = messageBytesMax, timeoutMs = 0 }: CallOptions, events: GrpcCallEvents): GrpcCall {
		const { authority, tls } = this.#target;
		const fields = Object.entries({ "user-agent": userAgent, ...metadata });
		const scheme = tls === undefined ? "http" : "https";
		return new GrpcCall({ path, authority, scheme, metadata: fields, messageBytesMax: bytesMax, timeoutMs }, events, this.#environment.wheel);
	}

	/**
	 * One message each way. Rejects with a `GrpcError`, or with the signal's reason. A server that says it has not looked at the
	 * call is asked once more, on a new connection if it leaves this one (gRFC A6, transparent retries).
	 */
	async unary(options: CallOptions, request: Uint8Array, signal?: AbortSignal): Promise<Buffer> {
		const first = await this.#unaryOnce(options, request, signal);
		const { status, answer } = first.status.isUnprocessed ? await this.#unaryOnce(options, request, signal) : first;
		if (status.code !== grpcCode.ok) throw new GrpcError(status);
		if (answer === undefined) throw new GrpcError(grpcStatus(grpcCode.internal, "the server answered without a message"));
		return answer;
	}

	#unaryOnce(
		options: CallOptions,
		request: Uint8Array,
		signal: AbortSignal | undefined,
	): Promise<{ readonly status: GrpcStatus; readonly answer: Buffer | undefined }> {
		const { promise, resolve, reject } = Promise.withResolvers<{ status: GrpcStatus; answer: Buffer | undefined }>();
		if (signal?.aborted) return Promise.reject(signal.reason as Error);
		let answer: Buffer | undefined;
		const abort = () => {
			call.cancel();
			reject(signal?.reason as Error);
		};
		const call = this.open(options, {
			onMessage(message) {
				if (answer === undefined) answer = message;
				else call.fail(grpcStatus(grpcCode.internal, "the server answered with more than one message"));
			},
			onEnd(status) {
				signal?.removeEventListener("abort", abort);
				resolve({ status, answer });
			},
		});
		signal?.addEventListener("abort", abort, { once: true });
		call.send(request);
		call.endSending();
		return promise;
	}

	async #connect(): Promise<GrpcConnection> {
		if (this.#connection?.hasRoom) return this.#connection;
		this.#connecting ??= this.#dial().finally(() => {
			this.#connecting = undefined;
		});
		return this.#connecting;
	}

	async #dial(): Promise<GrpcConnection> {
		const connection = await dial(this.#target, this.#environment, this.#closed.signal);
		if (this.#closed.signal.aborted) {
			connection.destroy();
			throw new Error("the channel is closed");
		}
		// Calls that it still carries go on there.
		this.#connection?.leave();
		this.#connection = new GrpcConnection(connection, this.#environment);
		return this.#connection;
	}

	/** No more calls; the connection closes when the last one is over. */
	close(): void {
		this.#closed.abort(new Error("the channel is closed"));
		this.#connection?.leave();
	}
}
