import { type Connection, type ConnectionHandler, silentHandler, type TransportHooks, type WriteStatus } from "../transport/connection.ts";
import type { CipherOutput } from "./cipher-output.ts";
import { readResults, type Session } from "./openssl-session.ts";
import type { OpenSslShared } from "./openssl-shared.ts";

/** What all TLS connections of one worker share. */
export interface SecureShared {
	readonly openSsl: OpenSslShared;
	readonly hooks: TransportHooks;
	/** Clear text of all connections, one event at a time: what one read of the wire and the record before it hold at most. */
	readonly readBuffer: Buffer;
	readonly output: CipherOutput;
}

const nothing = Buffer.alloc(0);

/** A plain connection with TLS on it, from the end of the handshake on. */
export class SecureConnection implements Connection, ConnectionHandler {
	handler: ConnectionHandler = silentHandler;
	readonly isTls = true;
	isClosed = false;
	readonly #shared: SecureShared;
	readonly #inner: Connection;
	readonly #session: Session;
	readonly #onTicket: ((ticket: Buffer) => void) | undefined;
	/** Reads that may bring a ticket: servers give theirs at the end of the handshake. */
	#readsWithTickets: number;
	#readBuffer: Buffer;
	/** Bytes of the wire that came while nobody wanted more. */
	#held: Buffer | undefined;
	/** There may be clear text although nothing comes from the wire. */
	#hasMore = false;
	#isPaused = true;
	#isContinuing = false;
	#isEnding = false;
	#hasEnded = false;
	#isEndTold = false;

	/** `early`: what came behind the handshake. */
	constructor(shared: SecureShared, inner: Connection, session: Session, early: Buffer | undefined, onTicket?: (ticket: Buffer) => void) {
		this.#shared = shared;
		this.#inner = inner;
		this.#session = session;
		this.#held = early;
		this.#hasMore = early !== undefined;
		this.#onTicket = onTicket;
		this.#readsWithTickets = onTicket === undefined ? 0 : 2;
		this.#readBuffer = shared.readBuffer;
		inner.handler = this;
	}

	get id(): number {
		return this.#inner.id;
	}
	get localAddress(): string {
		return this.#inner.localAddress;
	}
	get localPort(): number {
		return this.#inner.localPort;
	}
	get remoteAddress(): string {
		return this.#inner.remoteAddress;
	}
	get remotePort(): number {
		return this.#inner.remotePort;
	}
	/** What is read from it is not what was sent. */
	get fd(): number {
		return -1;
	}
	get queuedBytes(): number {
		return this.#inner.queuedBytes;
	}
	get isBlocked(): boolean {
		return this.#inner.isBlocked;
	}

	useReadBuffer(buffer: Buffer | undefined): void {
		this.#readBuffer = buffer ?? this.#shared.readBuffer;
	}

	expectLargeReads(): void {
		this.#inner.expectLargeReads();
	}

	write(bytes: Uint8Array): WriteStatus {
		if (this.isClosed || this.#isEnding || bytes.length === 0) return "written";
		const failure = this.#session.write(bytes);
		if (failure !== undefined) {
			this.#destroyLater(failure);
			return "written";
		}
		// OpenSSL has taken the clear text, so its memory is free in either case.
		return this.#shared.output.flush(this.#inner) === "written" ? "written" : "queued";
	}

	/** Callers of `write` do not expect `onClose` from inside it. */
	#destroyLater(error: Error): void {
		setImmediate(() => {
			this.destroy(error);
			this.#shared.hooks.afterEvent();
		});
	}

	onData(bytes: Buffer, start: number, end: number): void {
		if (this.#hasMore) {
			this.#continue();
			if (this.isClosed) return;
			// It comes behind what nobody wants yet.
			if (this.#hasMore || this.#isPaused) return this.#hold(Buffer.from(bytes.subarray(start, end)));
		}
		this.#session.feed(bytes, start, end);
		this.#deliver();
	}

	#hold(bytes: Buffer): void {
		this.#held = this.#held === undefined ? bytes : Buffer.concat([this.#held, bytes]);
		this.#hasMore = true;
	}

	/** Goes on where the handler had stopped, or the handshake. */
	#continue(): void {
		this.#feedHeld();
		this.#deliver();
	}

	#feedHeld(): void {
		const held = this.#held ?? nothing;
		this.#held = undefined;
		this.#hasMore = false;
		this.#session.feed(held, 0, held.length);
	}

	/** Hands on all clear text there is, a buffer at a time, until the handler wants no more. */
	#deliver(): void {
		const { openSsl } = this.#shared;
		for (;;) {
			const target = this.#readBuffer;
			let length = 0;
			let result = 0;
			do {
				result = this.#session.read(target, length);
				if (result > 0) length += result;
			} while (result > 0 && length < target.length && openSsl.input.length > 0);
			const isFull = length === target.length;
			this.#settle(isFull);
			if (length > 0) this.handler.onData(target, 0, length);
			if (this.isClosed) return;
			if (!isFull) return this.#finishRead(result);
			if (this.#isPaused) return;
			this.#feedHeld();
		}
	}

	/** Before anybody else is called: the shared input and output are left empty. */
	#settle(hasMore: boolean): void {
		const { openSsl, output } = this.#shared;
		// A key update is answered.
		output.flush(this.#inner);
		if (this.#readsWithTickets > 0) this.#lookForTicket();
		if (!hasMore) return;
		this.#held = openSsl.takeInput();
		this.#hasMore = true;
	}

	#lookForTicket(): void {
		this.#readsWithTickets--;
		const ticket = this.#session.ticket();
		if (ticket === undefined) return;
		this.#readsWithTickets = 0;
		this.#onTicket?.(ticket);
	}

	#finishRead(result: number): void {
		if (result === readResults.failed) return this.destroy(this.#shared.openSsl.takeError("SSL_read"));
		if (result === readResults.ended) this.#hasEnded = true;
		if (this.#hasEnded) this.#tellEnd();
	}

	onEnd(): void {
		this.#hasEnded = true;
		if (!this.#hasMore) this.#tellEnd();
		else if (!this.#isPaused) this.#continue();
	}

	#tellEnd(): void {
		if (this.#isEndTold || this.isClosed || this.#hasMore) return;
		this.#isEndTold = true;
		this.#inner.pause();
		this.handler.onEnd();
	}

	/** Of the plain connection: `Output` tells the handler itself. */
	onBlocked(): void {}

	onDrain(): void {
		this.handler.onDrain();
	}

	pause(): void {
		this.#isPaused = true;
		this.#inner.pause();
	}

	resume(): void {
		if (this.isClosed) return;
		this.#isPaused = false;
		if (!this.#isEndTold) this.#inner.resume();
		if (this.#hasMore) this.#continueLater();
	}

	/** Callers of `resume` do not expect `onData` from inside it. */
	#continueLater(): void {
		if (this.#isContinuing) return;
		this.#isContinuing = true;
		setImmediate(() => {
			this.#isContinuing = false;
			if (this.isClosed || this.#isPaused || !this.#hasMore) return;
			try {
				this.#continue();
			} catch (thrown) {
				this.#fail(thrown);
			}
			this.#shared.hooks.afterEvent();
		});
	}

	/** A handler threw: this connection cannot be trusted any more, the others can. */
	#fail(thrown: unknown): void {
		const error = thrown instanceof Error ? thrown : new Error(String(thrown));
		this.#shared.hooks.onHandlerError(error);
		this.destroy(error);
	}

	end(): void {
		if (this.isClosed || this.#isEnding) return;
		this.#shared.hooks.beforeClose();
		this.#isEnding = true;
		this.#session.shutdown();
		this.#shared.output.flush(this.#inner);
		this.#inner.end();
	}

	destroy(error?: Error): void {
		this.#inner.destroy(error);
	}

	reset(): void {
		this.#inner.reset();
	}

	/** Of the plain connection, whoever closed it. */
	onClose(error: Error | undefined): void {
		if (this.isClosed) return;
		this.isClosed = true;
		this.#held = undefined;
		this.#hasMore = false;
		this.#session.free();
		const handler = this.handler;
		this.handler = silentHandler;
		handler.onClose(error);
	}
}
