import { BodyDecoder, type BodyKind } from "./body-decoder.ts";
import { CR, LF } from "./bytes.ts";
import { type HeadError, type HeadLimits, headError, incomplete } from "./head-parser.ts";

/** What a connection learns from its bytes, in order: head, body and trailers, end; then `release` allows the next one. */
export interface MessageEvents {
	/** A head is complete. Returns the body that follows; for a 1xx answer, `interim`. */
	onHead(): { readonly kind: BodyKind; readonly length: number } | "interim" | "stop";
	onBody(bytes: Buffer, start: number, end: number): void;
	/** Gives why the trailer is refused. */
	onTrailer(name: string, value: string): HeadError | undefined;
	onMessageEnd(): void;
	/** Nothing more is decoded. */
	onMalformed(error: HeadError): void;
}

/** Parses into the head that `events` has at hand; see head-parser.ts for the result. */
export type ParseHead = (bytes: Buffer, start: number, end: number) => number;

const carryBytesMin = 1024;
/** A pipelining peer is not read from while this much waits behind the message that is held. */
export const pipelinedBytesMax = 64 * 1024;

/**
 * The messages of one direction of a connection, from pieces of any size. While a message is held (ended but not
 * released) later bytes are kept, not parsed.
 */
export class MessageDecoder {
	readonly body: BodyDecoder;
	readonly #events: MessageEvents;
	readonly #parseHead: ParseHead;
	readonly #limits: HeadLimits;
	#carry: Buffer | undefined;
	#carryLength = 0;
	/** How far the kept bytes have been searched for the end of a head. */
	#scanned = 0;
	#isLineSeen = false;
	#isInBody = false;
	#isHeld = false;
	#isRunning = false;
	isStopped = false;
	/** Stopped by the owner, who wants what follows; not by malformed bytes. */
	#isTaken = false;

	constructor(events: MessageEvents, parseHead: ParseHead, limits: HeadLimits) {
		this.#events = events;
		this.#parseHead = parseHead;
		this.#limits = limits;
		this.body = new BodyDecoder(limits);
	}

	/** Bytes kept for later. */
	get carried(): number {
		return this.#carryLength;
	}

	/** Whether a head has begun or a body is under way. */
	get isInMessage(): boolean {
		return this.#isInBody || this.#carryLength > 0;
	}

	get isRunning(): boolean {
		return this.#isRunning;
	}

	/** A head has begun and is not complete. */
	get isInHead(): boolean {
		return !this.#isInBody && !this.#isHeld && this.#carryLength > 0;
	}

	get isHeld(): boolean {
		return this.#isHeld;
	}

	feed(bytes: Buffer, start: number, end: number): void {
		if (this.isStopped) return;
		if (this.#carryLength === 0 && !this.#isHeld) {
			const rest = this.#run(bytes, start, end);
			if (rest < end && (!this.isStopped || this.#isTaken)) this.#keep(bytes, rest, end);
			return;
		}
		this.#keep(bytes, start, end);
		if (!this.#isHeld && !this.#isRunning) this.#runCarry();
	}

	/** The held message has been dealt with: go on with the next. */
	release(): void {
		if (!this.#isHeld) return;
		this.#isHeld = false;
		if (!this.#isRunning && this.#carryLength > 0) this.#runCarry();
	}

	/** The connection's end: a body that lasts until then is complete. False: the message was cut. */
	finish(): boolean {
		if (this.isStopped || this.#isHeld) return this.#carryLength === 0;
		if (!this.#isInBody) return this.#carryLength === 0;
		if (this.body.kind !== "untilClose") return false;
		this.#endMessage();
		return true;
	}

	/** Keeps bytes without looking at them; the next `feed` goes on behind them. */
	keepRaw(bytes: Buffer, start: number, end: number): void {
		this.#keep(bytes, start, end);
	}

	/** What was received and not decoded; the decoder keeps nothing. */
	takeCarried(): Buffer | undefined {
		const kept = this.#carryLength === 0 ? undefined : this.#carry?.subarray(0, this.#carryLength);
		this.#carry = undefined;
		this.#carryLength = 0;
		return kept;
	}

	#keep(bytes: Buffer, start: number, end: number): void {
		const length = this.#carryLength + end - start;
		if (this.#carry === undefined || this.#carry.length < length) {
			const larger = Buffer.allocUnsafeSlow(Math.max(carryBytesMin, length, 2 * (this.#carry?.length ?? 0)));
			this.#carry?.copy(larger, 0, 0, this.#carryLength);
			this.#carry = larger;
		}
		bytes.copy(this.#carry, this.#carryLength, start, end);
		this.#carryLength = length;
	}

	#runCarry(): void {
		if (!this.#isInBody && !this.#hasHeadEnd() && this.#carryLength <= this.#limits.headBytesMax) return;
		const bytes = this.#carry as Buffer;
		const length = this.#carryLength;
		// Bytes that arrive from within a callback are appended behind `length`.
		const rest = this.#run(bytes, 0, length);
		const kept = this.#carry === undefined ? 0 : this.#carryLength - rest;
		const isWanted = !this.isStopped || this.#isTaken;
		if (kept > 0 && isWanted) (this.#carry as Buffer).copyWithin(0, rest, this.#carryLength);
		this.#carryLength = isWanted ? Math.max(kept, 0) : 0;
		if (rest > 0) this.#scanned = 0;
		if (rest > 0) this.#isLineSeen = false;
		if (this.#carryLength === 0) this.#carry = undefined;
	}

	/**
	 * Each kept byte is looked at once, so a head that trickles in costs no more than one that comes whole. The first line
	 * is worth a try of its own: what is no HTTP/1.1 may never send an empty line.
	 */
	#hasHeadEnd(): boolean {
		const bytes = this.#carry as Buffer;
		for (let at = this.#scanned; at < this.#carryLength; at++) {
			if (bytes[at] !== LF) continue;
			this.#scanned = at + 1;
			if (!this.#isLineSeen) return (this.#isLineSeen = true);
			const previous = bytes[at - 1] === CR ? bytes[at - 2] : bytes[at - 1];
			if (at === 0 || previous === LF || (at === 1 && bytes[0] === CR)) return true;
		}
		this.#scanned = this.#carryLength;
		return false;
	}

	/** Decodes as much as there is; gives the position of what is left over. */
	#run(bytes: Buffer, start: number, end: number): number {
		this.#isRunning = true;
		let at = start;
		while (at < end && !this.isStopped && !this.#isHeld) {
			const next = this.#isInBody ? this.#runBody(bytes, at, end) : this.#runHead(bytes, at, end);
			if (next < 0) {
				this.isStopped = true;
				break;
			}
			if (next === at) break;
			at = next;
		}
		this.#isRunning = false;
		return at;
	}

	#runHead(bytes: Buffer, start: number, end: number): number {
		// RFC 9112 §2.2: an empty line before a request line is skipped.
		if (bytes[start] === CR && end - start >= 2 && bytes[start + 1] === LF) return start + 2;
		if (bytes[start] === CR && end - start === 1) return start;
		const length = this.#parseHead(bytes, start, end);
		if (length === incomplete) return start;
		if (length < 0) {
			this.#events.onMalformed(headError());
			return -1;
		}
		const next = this.#events.onHead();
		if (next === "interim") return start + length;
		if (next === "stop") {
			this.isStopped = this.#isTaken = true;
			return start + length;
		}
		this.#isInBody = true;
		this.body.start(next.kind, next.length);
		if (this.body.isDone) this.#endMessage();
		return start + length;
	}

	#runBody(bytes: Buffer, start: number, end: number): number {
		const next = this.body.decode(bytes, start, end, this.#events);
		if (next < 0) {
			this.#events.onMalformed(this.body.error);
			return -1;
		}
		if (this.body.isDone) this.#endMessage();
		return next;
	}

	#endMessage(): void {
		this.#isInBody = false;
		this.#isHeld = true;
		this.#events.onMessageEnd();
	}
}
