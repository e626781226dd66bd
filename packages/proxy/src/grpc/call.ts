import { RequestHead } from "../data/codec/request-head.ts";
import { ResponseHead } from "../data/codec/response-head.ts";
import { Timer, type TimerWheel } from "../data/transport/timers.ts";
import type { ResetReason, UpstreamClient, UpstreamExchange } from "../data/upstream/exchange.ts";
import { frameMessage, MessageReader } from "./message-reader.ts";
import { codeOfHttpStatus, grpcCode, grpcStatus, type GrpcStatus, statusOfFields, statusOfReset } from "./status.ts";

export interface GrpcCallOptions {
	/** `/package.Service/Method`. */
	readonly path: string;
	readonly authority: string;
	readonly scheme: "http" | "https";
	/** Names in lower case; values of `-bin` names in base64. */
	readonly metadata: readonly (readonly [name: string, value: string])[];
	/** Of one received message. */
	readonly messageBytesMax: number;
	/** Until the status has come; 0: for ever. The server is told. */
	readonly timeoutMs: number;
}

export interface GrpcCallEvents {
	/** One whole message, in memory of its own. */
	onMessage(message: Buffer): void;
	/** Once, the last call; not after `cancel`. */
	onEnd(status: GrpcStatus): void;
	/** What was sent has left, after `send` said false. */
	onDrain?(): void;
}

/** What may wait for a connection before the caller is asked to wait. */
const waitingBytesMax = 1024 * 1024;

/**
 * One call of a gRPC method, over whatever gives it an exchange: unary is one message each way.
 *
 *   waiting ──start──▶ open ──endSending──▶ half-closed ──status, reset, deadline──▶ over
 *      └────────────────────────────────── fail, deadline, cancel ──────────────────▶ over
 */
export class GrpcCall implements UpstreamClient {
	readonly response: ResponseHead = new ResponseHead();
	readonly isHead = false;
	/** What `start` sends. */
	readonly head: RequestHead;
	isOver = false;
	/** Whether anything of the answer has come. */
	hasAnswer = false;
	readonly #events: GrpcCallEvents;
	readonly #reader: MessageReader;
	readonly #timer: Timer;
	#exchange: UpstreamExchange | undefined;
	/** Framed messages that wait for an exchange. */
	#waiting: Buffer[] = [];
	#waitingBytes = 0;
	#isSendingOver = false;
	#isBlocked = false;
	#isPaused = false;
	#isDelivering = false;
	/** The status waits until the messages before it are taken. */
	#ended: GrpcStatus | undefined;
	#status = "";
	#message = "";

	constructor(options: GrpcCallOptions, events: GrpcCallEvents, wheel: TimerWheel) {
		this.head = buildHead(options);
		this.#events = events;
		this.#reader = new MessageReader(options.messageBytesMax);
		this.#timer = new Timer(wheel, () => this.fail(grpcStatus(grpcCode.deadlineExceeded, `no answer within ${options.timeoutMs} ms`)));
		this.#timer.arm(options.timeoutMs);
	}

	/** The call's way to the server is there. */
	start(exchange: UpstreamExchange): void {
		this.#exchange = exchange;
		exchange.begin(this);
		exchange.sendHead(this.head, "", false);
		const isCallerWaiting = this.#waitingBytes >= waitingBytesMax;
		this.#waitingBytes = 0;
		for (const message of this.#waiting.splice(0)) exchange.sendBody(message, 0, message.length);
		if (this.#isSendingOver) exchange.sendEnd([]);
		if (this.#isPaused) exchange.pause();
		if (isCallerWaiting && !this.#isBlocked) this.#events.onDrain?.();
	}

	/** False: it waits here or in the connection; a caller who can should wait too, until `onDrain`. */
	send(message: Uint8Array): boolean {
		if (this.isOver || this.#isSendingOver) return true;
		const framed = frameMessage(message);
		if (this.#exchange !== undefined) {
			this.#exchange.sendBody(framed, 0, framed.length);
			return !this.#isBlocked;
		}
		this.#waiting.push(framed);
		this.#waitingBytes += framed.length;
		return this.#waitingBytes < waitingBytesMax;
	}

	/** Half-closes: no more messages. */
	endSending(): void {
		if (this.isOver || this.#isSendingOver) return;
		this.#isSendingOver = true;
		this.#exchange?.sendEnd([]);
	}

	/** Nothing is delivered until `resume`, and the peer's window is not refilled: what it may still send is bounded. */
	pause(): void {
		if (this.#isPaused) return;
		this.#isPaused = true;
		this.#exchange?.pause();
	}

	resume(): void {
		if (!this.#isPaused) return;
		this.#isPaused = false;
		this.#exchange?.resume();
		this.#deliver();
	}

	/** The caller wants no more of it and hears no more. */
	cancel(): void {
		if (!this.isOver) this.#close();
	}

	/** Ends it, with this status. */
	fail(status: GrpcStatus): void {
		if (this.isOver) return;
		this.#close();
		this.#events.onEnd(status);
	}

	#close(): void {
		this.isOver = true;
		this.#timer.disarm();
		this.#waiting = [];
		const exchange = this.#exchange;
		this.#exchange = undefined;
		exchange?.abandon();
	}

	#deliver(): void {
		if (this.#isDelivering) return;
		this.#isDelivering = true;
		while (!this.#isPaused && !this.isOver) {
			const message = this.#reader.take();
			if (message === undefined) break;
			this.#events.onMessage(message);
		}
		this.#isDelivering = false;
		if (this.#ended !== undefined && !this.#isPaused) this.fail(this.#ended);
	}

	// ---- the answer

	onResponseHead(hasBody: boolean): "body" | "interim" {
		const { response } = this;
		if (response.status < 200) return "interim";
		this.hasAnswer = true;
		this.#status = response.get("grpc-status") ?? "";
		this.#message = response.get("grpc-message") ?? "";
		// Trailers only: the status is all there is.
		if (!hasBody && this.#status !== "") return "body";
		const type = response.get("content-type") ?? "";
		if (response.status !== 200) this.fail(grpcStatus(codeOfHttpStatus(response.status), `the server answered with HTTP status ${response.status}`));
		else if (!/^application\/grpc(?:[+;]|$)/.test(type))
			this.fail(grpcStatus(grpcCode.unknown, `the server answered with the content type ${JSON.stringify(type)}`));
		return "body";
	}

	onResponseBody(bytes: Buffer, start: number, end: number): void {
		const refused = this.#reader.push(bytes, start, end);
		this.#deliver();
		if (refused !== undefined) this.fail(refused);
	}

	onResponseTrailer(name: string, value: string): void {
		if (name === "grpc-status") this.#status = value;
		else if (name === "grpc-message") this.#message = value;
	}

	onResponseEnd(): void {
		this.#exchange = undefined;
		if (this.#reader.isWithinMessage) this.#ended = grpcStatus(grpcCode.internal, "the server ended the call within a message");
		else if (this.#status === "") this.#ended = grpcStatus(grpcCode.unknown, "the server ended the call without a status");
		else this.#ended = statusOfFields(this.#status, this.#message);
		this.#deliver();
	}

	onUpstreamReset(reason: ResetReason, detail: string, http2Code = -1): void {
		this.#exchange = undefined;
		this.fail(statusOfReset(reason, http2Code, detail));
	}

	onUpstreamBlocked(): void {
		this.#isBlocked = true;
	}

	onUpstreamDrain(): void {
		this.#isBlocked = false;
		this.#events.onDrain?.();
	}
}

function buildHead({ path, authority, scheme, metadata, timeoutMs }: GrpcCallOptions): RequestHead {
	const head = new RequestHead();
	head.version = 20;
	head.isChunked = true;
	head.method = "POST";
	head.path = path;
	head.authority = authority;
	head.scheme = scheme;
	head.appendOwn("te", "trailers");
	head.appendOwn("content-type", "application/grpc");
	if (timeoutMs > 0) head.appendOwn("grpc-timeout", formatTimeout(timeoutMs));
	for (const [name, value] of metadata) head.append(name, value);
	return head;
}

/** At most eight digits. */
function formatTimeout(timeoutMs: number): string {
	const ms = Math.ceil(timeoutMs);
	return ms < 1e8 ? `${ms}m` : `${Math.min(Math.ceil(ms / 1000), 99_999_999)}S`;
}
