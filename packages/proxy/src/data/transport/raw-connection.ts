import type { TLSSocket } from "node:tls";
import { type Connection, type ConnectionHandler, silentHandler, type TransportHooks, type WriteStatus } from "./connection.ts";
import { endOfFile, type RawBindings, type RawHandle, type RawTcp, type RawWrite, type SocketName } from "./raw-bindings.ts";

/** More than this behind a blocked write means that somebody ignores back-pressure. */
const queuedBytesMax = 64 * 1024 * 1024;
/** TLS completes each write later in the same turn: only beyond this is the peer slow. */
const tlsQueuedBytesSoft = 64 * 1024;

/** What all raw connections of one worker share. */
export interface RawShared {
	readonly bindings: RawBindings;
	readonly hooks: TransportHooks;
	/** All handles read into this one buffer, one event at a time. */
	readonly readBuffer: Buffer;
	/** For plain writes: libuv leaves it alone when it could write at once. */
	spareWrite: RawWrite;
	nextId: number;
	/** Of a socket that is connected. */
	readonly createConnection: (handle: RawHandle) => RawConnection;
}

export function systemError(bindings: RawBindings, call: string, code: number): Error {
	const name = code === endOfFile ? "EOF" : bindings.errorName(code);
	return Object.assign(new Error(`${call} ${name}`), { code: name, errno: code, syscall: call });
}

/** `this` is the handle: one function for all connections. */
export function onRawRead(this: RawHandle): void {
	const connection = this.owner as RawConnection;
	connection.handleRead();
}

function ignoreRead(): void {}

function onRawWritten(this: RawWrite, status: number): void {
	const connection = this.owner as RawConnection;
	this.buffer = undefined;
	connection.handleWritten(status);
}

export class RawConnection implements Connection {
	handler: ConnectionHandler = silentHandler;
	readonly id: number;
	readonly isTls: boolean;
	isClosed = false;
	queuedBytes = 0;
	readonly handle: RawHandle;
	protected readonly shared: RawShared;
	/** Somebody wants what comes. */
	protected isReading = false;
	/** A write is under way: TLS would abort the process on a second one (src/crypto/crypto_tls.cc, `CHECK(!current_write_)`). */
	protected isBusy = false;
	readonly #socket: TLSSocket | undefined;
	#readBuffer: Buffer;
	#needsDrain = false;
	#isEnding = false;
	#unpin: (() => void) | undefined;
	#queue: Buffer[] = [];
	/** Two requests in turn: the one that completes is released by C++ only after its callback. */
	#writes: [RawWrite, RawWrite] | undefined;
	#names: { local: SocketName; remote: SocketName } | undefined;

	constructor(shared: RawShared, handle: RawHandle, socket: TLSSocket | undefined) {
		this.shared = shared;
		this.handle = handle;
		this.#socket = socket;
		this.isTls = socket !== undefined;
		this.id = shared.nextId++;
		this.#readBuffer = shared.readBuffer;
		handle.owner = this;
		handle.onread = onRawRead;
		handle.useUserBuffer(shared.readBuffer);
	}

	get isBlocked(): boolean {
		return this.isTls ? this.queuedBytes > tlsQueuedBytesSoft : this.isBusy;
	}

	get fd(): number {
		return this.#socket === undefined ? this.handle.fd : -1;
	}

	get #socketNames(): { local: SocketName; remote: SocketName } {
		if (this.#names !== undefined) return this.#names;
		const names = { local: {} as SocketName, remote: {} as SocketName };
		const socket = this.#socket;
		if (socket !== undefined) {
			names.local = { address: socket.localAddress ?? "", port: socket.localPort ?? 0 };
			names.remote = { address: socket.remoteAddress ?? "", port: socket.remotePort ?? 0 };
		} else if ("getsockname" in this.handle && !this.isClosed) {
			(this.handle as RawTcp).getsockname(names.local);
			(this.handle as RawTcp).getpeername(names.remote);
		}
		this.#names = names;
		return names;
	}

	get localAddress(): string {
		return unmapAddress(this.#socketNames.local.address ?? "");
	}
	get localPort(): number {
		return this.#socketNames.local.port ?? 0;
	}
	get remoteAddress(): string {
		return unmapAddress(this.#socketNames.remote.address ?? "");
	}
	get remotePort(): number {
		return this.#socketNames.remote.port ?? 0;
	}

	useReadBuffer(buffer: Buffer | undefined): void {
		this.#readBuffer = buffer ?? this.shared.readBuffer;
		if (!this.isClosed) this.handle.useUserBuffer(this.#readBuffer);
	}

	expectLargeReads(): void {}

	handleRead(): void {
		const { bindings } = this.shared;
		const count = bindings.state[bindings.readBytesOrError] ?? 0;
		if (count !== 0 && !this.isClosed) this.handOn(this.#readBuffer, 0, count);
	}

	/** `count`: of bytes from `start` on; negative: an error, the end of the file among them. */
	protected handOn(bytes: Buffer, start: number, count: number): void {
		const { bindings, hooks } = this.shared;
		try {
			if (count > 0) this.handler.onData(bytes, start, start + count);
			else if (count === endOfFile) this.#handleEnd();
			else this.destroy(systemError(bindings, "read", count));
		} catch (error) {
			this.fail(error);
		}
		hooks.afterEvent();
	}

	#handleEnd(): void {
		this.pause();
		this.handler.onEnd();
	}

	/** A handler threw: this connection cannot be trusted any more, the others can. */
	fail(thrown: unknown): void {
		const error = thrown instanceof Error ? thrown : new Error(String(thrown));
		this.shared.hooks.onHandlerError(error);
		this.destroy(error);
	}

	write(bytes: Uint8Array, unpin?: () => void): WriteStatus {
		if (this.isClosed || this.#isEnding) return "written";
		if (this.isBusy) return this.#enqueue(bytes);
		return this.isTls ? this.#writeTls(bytes) : this.writePlain(bytes, unpin);
	}

	#enqueue(bytes: Uint8Array): WriteStatus {
		this.#queue.push(Buffer.from(bytes));
		this.queuedBytes += bytes.length;
		if (this.queuedBytes > queuedBytesMax) {
			this.destroy(new Error("write queue overflow"));
			return "written";
		}
		if (!this.isBlocked) return "written";
		this.#needsDrain = true;
		return "queued";
	}

	protected writePlain(bytes: Uint8Array, unpin: (() => void) | undefined): WriteStatus {
		const shared = this.shared;
		const request = shared.spareWrite;
		const status = this.handle.writeBuffer(request, bytes);
		if (status !== 0) {
			this.#destroyLater(systemError(shared.bindings, "write", status));
			return "written";
		}
		if (shared.bindings.state[shared.bindings.lastWriteWasAsync] === 0) return "written";
		shared.spareWrite = new shared.bindings.WriteWrap();
		request.owner = this;
		request.buffer = bytes;
		request.oncomplete = onRawWritten;
		this.isBusy = true;
		this.#needsDrain = true;
		this.#unpin = unpin;
		return "pinned";
	}

	/** OpenSSL has taken the clear text when this returns, so the memory is free at once; only the request is under way. */
	#writeTls(bytes: Uint8Array): WriteStatus {
		const { bindings } = this.shared;
		this.#writes ??= [this.#createWrite(), this.#createWrite()];
		const writes = this.#writes;
		const request = writes[0];
		writes[0] = writes[1];
		writes[1] = request;
		const status = this.handle.writeBuffer(request, bytes);
		if (status !== 0) {
			this.#destroyLater(systemError(bindings, "write", status));
			return "written";
		}
		this.isBusy = bindings.state[bindings.lastWriteWasAsync] !== 0;
		return "written";
	}

	#createWrite(): RawWrite {
		const request = new this.shared.bindings.WriteWrap();
		request.owner = this;
		request.oncomplete = onRawWritten;
		return request;
	}

	/** Callers of `write` do not expect `onClose` from inside it. */
	#destroyLater(error: Error): void {
		setImmediate(() => {
			this.destroy(error);
			this.shared.hooks.afterEvent();
		});
	}

	handleWritten(status: number): void {
		this.isBusy = false;
		this.#releasePin();
		if (this.isClosed) return;
		try {
			if (status < 0) this.destroy(systemError(this.shared.bindings, "write", status));
			else this.#continueWriting();
		} catch (error) {
			this.fail(error);
		}
		this.shared.hooks.afterEvent();
	}

	#continueWriting(): void {
		if (this.queuedBytes > 0) {
			const bytes = this.#queue.length === 1 ? (this.#queue[0] as Buffer) : Buffer.concat(this.#queue);
			this.#queue = [];
			this.queuedBytes = 0;
			if (this.isTls) this.#writeTls(bytes);
			else this.writePlain(bytes, undefined);
		}
		if (this.#isEnding) {
			if (!this.isBusy) this.#shutdown();
			return;
		}
		if (this.#needsDrain && !this.isBlocked) {
			this.#needsDrain = false;
			this.handler.onDrain();
		}
	}

	#releasePin(): void {
		const unpin = this.#unpin;
		this.#unpin = undefined;
		unpin?.();
	}

	pause(): void {
		if (!this.isReading || this.isClosed) return;
		this.isReading = false;
		this.stopReading();
	}

	protected stopReading(): void {
		this.handle.readStop();
	}

	resume(): void {
		if (this.isReading || this.isClosed) return;
		this.isReading = true;
		this.startReading();
	}

	protected startReading(): void {
		this.handle.readStart();
	}

	end(): void {
		if (this.isClosed || this.#isEnding) return;
		this.shared.hooks.beforeClose();
		this.#isEnding = true;
		if (!this.isBusy) this.#shutdown();
	}

	#shutdown(): void {
		const request = new this.shared.bindings.ShutdownWrap();
		request.handle = this.handle;
		request.oncomplete = () => {};
		const status = this.handle.shutdown(request);
		if (status !== 0) this.#destroyLater(systemError(this.shared.bindings, "shutdown", status));
	}

	destroy(error?: Error): void {
		this.#close(error, false);
	}

	reset(): void {
		this.#close(undefined, true);
	}

	#close(error: Error | undefined, isReset: boolean): void {
		if (this.isClosed) return;
		this.shared.hooks.beforeClose();
		void this.#socketNames;
		this.isClosed = true;
		this.isReading = false;
		this.#queue = [];
		this.queuedBytes = 0;
		this.releaseHandle();
		if (this.#socket !== undefined) this.#socket.destroy();
		// What is being shut down cannot be reset any more.
		else if (!isReset || this.handle.reset === undefined || this.handle.reset() !== 0) this.handle.close();
		const handler = this.handler;
		this.handler = silentHandler;
		try {
			handler.onClose(error);
		} catch (thrown) {
			this.shared.hooks.onHandlerError(thrown instanceof Error ? thrown : new Error(String(thrown)));
		}
	}

	/** The handle is closed next. */
	protected releaseHandle(): void {}

	/** Lets go of the handle: somebody else reads it from now on. */
	detach(): { readonly handle: RawHandle; readonly held: Buffer | undefined } {
		this.shared.hooks.beforeClose();
		this.pause();
		this.isClosed = true;
		this.handler = silentHandler;
		// Assigning anything but a function aborts the process.
		this.handle.onread = ignoreRead;
		this.handle.owner = undefined;
		return { handle: this.handle, held: undefined };
	}
}

/** `::ffff:10.0.0.1` is how a dual-stack socket shows IPv4. */
export function unmapAddress(address: string): string {
	return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}
