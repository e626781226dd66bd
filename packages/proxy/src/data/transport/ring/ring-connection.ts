import type { WriteStatus } from "../connection.ts";
import { endOfFile, type RawHandle } from "../raw-bindings.ts";
import { RawConnection, type RawShared } from "../raw-connection.ts";
import { receiveBufferBytes } from "./receive-buffers.ts";
import type { RingLoop, RingUser } from "./ring-loop.ts";

/** Larger writes are cheaper from where they are. */
const sendBytesMax = 16 * 1024;
/** More than this behind a write of the same turn means that the peer is slow. */
const queuedBytesSoft = 64 * 1024;
/** So many reads in a row that would have fitted into the ring's buffers end a bulk transfer; twice as many the next time, up to the last. */
const smallReadsMin = 16;
const smallReadsMax = 4096;
const errors = { tryAgain: -11, noBuffers: -105, cancelled: -125 } as const;

/**
 * A raw connection whose small reads and writes go by the worker's ring. Everything else is libuv's: bulk transfers, which
 * want large reads and memory that is not copied; writes that the peer does not take at once; connecting and closing.
 */
export class RingConnection extends RawConnection implements RingUser {
	readonly descriptor: number;
	readonly #loop: RingLoop;
	readonly #slot: number;
	/** The ring reads. */
	#isReceiving = false;
	#isCancelling = false;
	#isSending = false;
	/** How much of what is being sent there is. */
	#sendingBytes = 0;
	/** libuv reads and writes. */
	#isBulk = false;
	#staysBulk = false;
	#hasOwnBuffer = false;
	#smallReads = 0;
	#smallReadsMax = smallReadsMin;
	/** What came after `pause`, and what followed it. */
	#held: Buffer | undefined;
	#heldEnd = 0;

	constructor(shared: RawShared, handle: RawHandle, loop: RingLoop) {
		super(shared, handle, undefined);
		this.descriptor = handle.fd;
		this.#loop = loop;
		this.#slot = loop.add(this);
	}

	override get isBlocked(): boolean {
		return this.#isSending ? this.queuedBytes > queuedBytesSoft : this.isBusy;
	}

	override useReadBuffer(buffer: Buffer | undefined): void {
		super.useReadBuffer(buffer);
		this.#hasOwnBuffer = buffer !== undefined;
		if (this.#hasOwnBuffer) this.#becomeBulk();
	}

	override expectLargeReads(): void {
		this.#staysBulk = true;
		this.#becomeBulk();
	}

	protected override startReading(): void {
		if (this.#held !== undefined || this.#heldEnd !== 0) this.#loop.callInTurn(this);
		else if (this.#isBulk && !this.#isReceiving) super.startReading();
		else this.#receive();
	}

	#receive(): void {
		// What is being cancelled begins anew when that is done.
		if (this.#isReceiving) return;
		this.#isReceiving = true;
		this.#loop.receive(this.#slot);
	}

	protected override stopReading(): void {
		if (this.#isReceiving) this.#cancel();
		else super.stopReading();
	}

	#cancel(): void {
		if (this.#isCancelling) return;
		this.#isCancelling = true;
		this.#loop.cancel(this.#slot);
	}

	onReceived(bytes: Buffer, start: number, count: number, hasMore: boolean): void {
		if (!hasMore) this.#isReceiving = this.#isCancelling = false;
		if (this.isClosed) return this.#leave();
		if (count > 0) this.#take(bytes, start, count);
		else if (count === errors.noBuffers) return this.#loop.callInTurn(this);
		else if (count !== errors.cancelled) this.#takeEnd(count === 0 ? endOfFile : count);
		if (!this.#isReceiving && this.isReading && !this.isClosed) this.startReading();
	}

	#take(bytes: Buffer, start: number, count: number): void {
		if (!this.isReading || this.#held !== undefined) return this.#hold(bytes.subarray(start, start + count));
		// Whoever reads into memory of its own may go on sending from there.
		if (this.#hasOwnBuffer) this.handOn(Buffer.from(bytes.subarray(start, start + count)), 0, count);
		else this.handOn(bytes, start, count);
		if (count === receiveBufferBytes) this.#becomeBulk();
	}

	#hold(bytes: Buffer): void {
		this.#held = this.#held === undefined ? Buffer.from(bytes) : Buffer.concat([this.#held, bytes]);
	}

	#takeEnd(code: number): void {
		if (this.isReading && this.#held === undefined) this.handOn(this.shared.readBuffer, 0, code);
		else this.#heldEnd = code;
	}

	onTurn(): void {
		if (!this.isReading || this.isClosed) return;
		const held = this.#held;
		this.#held = undefined;
		if (held !== undefined) this.handOn(held, 0, held.length);
		if (!this.isReading || this.isClosed) return;
		const end = this.#heldEnd;
		this.#heldEnd = 0;
		if (end !== 0) this.handOn(this.shared.readBuffer, 0, end);
		else this.startReading();
	}

	#becomeBulk(): void {
		if (this.#isBulk || this.isClosed) return;
		this.#isBulk = true;
		this.#smallReads = 0;
		if (this.#isReceiving) this.#cancel();
	}

	protected override handOn(bytes: Buffer, start: number, count: number): void {
		if (this.#isBulk && !this.#staysBulk && !this.#isReceiving && count > 0) this.#lookForEndOfBulk(count);
		super.handOn(bytes, start, count);
	}

	#lookForEndOfBulk(count: number): void {
		if (count >= receiveBufferBytes) this.#smallReads = 0;
		else if (++this.#smallReads >= this.#smallReadsMax && !this.#hasOwnBuffer) {
			this.#isBulk = false;
			this.#smallReadsMax = Math.min(2 * this.#smallReadsMax, smallReadsMax);
			super.stopReading();
			this.#receive();
		}
	}

	protected override writePlain(bytes: Uint8Array, unpin: (() => void) | undefined): WriteStatus {
		if (this.#isBulk || bytes.length > sendBytesMax || !this.#loop.send(this.#slot, bytes)) return super.writePlain(bytes, unpin);
		this.isBusy = this.#isSending = true;
		this.#sendingBytes = bytes.length;
		return "written";
	}

	onSent(bytes: Buffer, start: number, count: number): void {
		this.#isSending = false;
		if (this.isClosed) return this.#leave();
		if (count === this.#sendingBytes) return this.handleWritten(0);
		if (count < 0 && count !== errors.tryAgain) return this.handleWritten(count);
		const rest = Buffer.from(bytes.subarray(start + Math.max(count, 0), start + this.#sendingBytes));
		if (super.writePlain(rest, undefined) === "written") this.handleWritten(0);
	}

	protected override releaseHandle(): void {
		this.#held = undefined;
		if (this.#isReceiving) this.#cancel();
		if (this.#isReceiving || this.#isSending) this.#loop.submit();
		this.#leave();
	}

	/** With what came and nobody took. */
	override detach(): { readonly handle: RawHandle; readonly held: Buffer | undefined } {
		this.shared.hooks.beforeClose();
		this.pause();
		if (this.#isReceiving || this.#isSending) this.#loop.settle(this.#slot);
		this.#loop.remove(this.#slot);
		return { handle: super.detach().handle, held: this.#held };
	}

	#leave(): void {
		if (!this.#isReceiving && !this.#isSending) this.#loop.remove(this.#slot);
	}
}
