import { Timer, type TimerWheel } from "../transport/timers.ts";
import type { ByteBucket } from "./byte-bucket.ts";
import { ByteQueue } from "./byte-queue.ts";

const noBytes = Buffer.alloc(0);

export interface BodyThrottleInputs {
	readonly bucket: ByteBucket;
	readonly wheel: TimerWheel;
	/** How long bytes wait that found no tokens; ms. */
	readonly intervalMs: number;
	/** With more than this waiting, the source is to be stopped until there is half of it. */
	readonly bytesMax: number;
	/** Bytes that waited go on. */
	send(bytes: Buffer): void;
	/** Whether the source is to be stopped. */
	onFull(isFull: boolean): void;
	/** Each time that tokens were asked for: what may go on, and whether some has to wait. */
	onTaken?(bytes: number, isShort: boolean): void;
}

/** One direction of one stream, as fast as its bucket allows: what finds no tokens waits, and is sent when there are. */
export class BodyThrottle {
	readonly #inputs: BodyThrottleInputs;
	readonly #timer: Timer;
	readonly #waiting = new ByteQueue();
	#isFull = false;
	#isClosed = false;
	#onEmpty: (() => void) | undefined;

	constructor(inputs: BodyThrottleInputs) {
		this.#inputs = inputs;
		this.#timer = new Timer(inputs.wheel, () => this.#sendWaiting());
	}

	get waitingBytes(): number {
		return this.#waiting.length;
	}

	/** Gives what may go on at once; the rest is copied. */
	pass(bytes: Buffer): Buffer {
		if (this.#waiting.length > 0) {
			this.#keep(bytes);
			return noBytes;
		}
		const taken = this.#take(bytes.length);
		if (taken === bytes.length) return bytes;
		this.#keep(bytes.subarray(taken));
		this.#timer.arm(this.#inputs.intervalMs);
		return bytes.subarray(0, taken);
	}

	/** True: bytes wait, and `run` is called when they have gone. */
	holdsEnd(run: () => void): boolean {
		if (this.#waiting.length === 0) return false;
		this.#onEmpty = run;
		return true;
	}

	/** What waits is dropped. */
	close(): void {
		this.#isClosed = true;
		this.#timer.disarm();
		this.#waiting.clear();
		this.#onEmpty = undefined;
	}

	#take(wanted: number): number {
		const taken = this.#inputs.bucket.take(wanted);
		this.#inputs.onTaken?.(taken, taken < wanted);
		return taken;
	}

	#keep(bytes: Buffer): void {
		this.#waiting.push(bytes);
		this.#checkFull();
	}

	#sendWaiting(): void {
		const bytes = this.#waiting.take(this.#take(this.#waiting.length));
		if (this.#waiting.length > 0) this.#timer.arm(this.#inputs.intervalMs);
		if (bytes.length > 0) this.#inputs.send(bytes);
		// Whoever got the bytes may have ended the stream, or had more come.
		if (this.#isClosed) return;
		this.#checkFull();
		if (this.#waiting.length > 0) return;
		const onEmpty = this.#onEmpty;
		this.#onEmpty = undefined;
		onEmpty?.();
	}

	#checkFull(): void {
		const { bytesMax, onFull } = this.#inputs;
		const isFull = this.#isFull ? this.#waiting.length > bytesMax / 2 : this.#waiting.length > bytesMax;
		if (isFull === this.#isFull) return;
		this.#isFull = isFull;
		onFull(isFull);
	}
}
