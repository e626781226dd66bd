import { pauseReasons } from "./downstream.ts";
import type { FilterChain } from "./filter-chain.ts";
import { httpStat } from "./http-stats.ts";
import { sendLocalReply } from "./local-reply.ts";
import type { HttpStream } from "./stream.ts";
import type { StreamFilter } from "./stream-filter.ts";

const noBytes = Buffer.alloc(0);

/** One stream's way through the filters. */
export class StreamFilters {
	/** Of each filter by its index, for what it must remember of this stream. */
	readonly states: unknown[] = [];
	/** A filter wants the bytes of this stream's request or response to pass it; most streams' pass none. */
	seesRequestBody = false;
	seesResponseBody = false;
	/** The answer is wanted whole before its head is sent. */
	holdsResponse = false;
	readonly #stream: HttpStream;
	#chain: FilterChain | undefined;
	/** The filter whose turn it is. */
	#at = 0;
	/** Every use of the stream has its own number, so that an answer that comes too late finds nobody. */
	#turn = 0;
	#isSuspended = false;
	#buffering: StreamFilter | undefined;
	#onCancelled: (() => void) | undefined;
	#pieces: Buffer[] = [];
	#bytes = 0;
	/** The request's end came while its body was held. */
	#hasEnd = false;

	constructor(stream: HttpStream) {
		this.#stream = stream;
	}

	/** Whether the request has to wait here. */
	get isHolding(): boolean {
		return this.#isSuspended || this.#buffering !== undefined;
	}

	/** What of the body is held. */
	get body(): Buffer {
		return this.#pieces.length === 1 ? (this.#pieces[0] as Buffer) : Buffer.concat(this.#pieces);
	}

	get bodyBytes(): number {
		return this.#bytes;
	}

	/** The filters for the route; when the route becomes another one, those that are still to come are that one's. */
	useChain(chain: FilterChain): void {
		this.#chain = chain;
	}

	run(): void {
		const stream = this.#stream;
		const turn = this.#turn;
		for (let filters = (this.#chain as FilterChain).filters; this.#at < filters.length; filters = (this.#chain as FilterChain).filters) {
			const filter = filters[this.#at];
			const verdict = filter?.onRequestHead?.(stream) ?? "continue";
			if (verdict === "stop" || turn !== this.#turn) return;
			if (verdict === "buffer" && !this.#isBuffered(filter as StreamFilter)) return;
			this.#at++;
		}
		this.#deliver();
	}

	// ---- waiting

	/** The request waits until the function that this gives is called; calls that come when the stream is over do nothing. */
	suspend(onCancelled?: () => void): () => void {
		const turn = this.#turn;
		this.#isSuspended = true;
		this.#onCancelled = onCancelled;
		return () => {
			if (turn !== this.#turn || !this.#isSuspended) return;
			this.#isSuspended = false;
			this.#onCancelled = undefined;
			this.#at++;
			this.run();
		};
	}

	/** Runs an answer for a stream that is still the one that asked. */
	guard<T>(run: (value: T) => void): (value: T) => void {
		const turn = this.#turn;
		return (value) => {
			if (turn === this.#turn) run(value);
		};
	}

	/** False: the body is still to come, or the stream was answered. */
	#isBuffered(filter: StreamFilter): boolean {
		const stream = this.#stream;
		if (stream.isRequestComplete) return (filter.onRequestBuffered?.(stream) ?? "continue") === "continue";
		this.#buffering = filter;
		return false;
	}

	#bufferingEnds(): void {
		const filter = this.#buffering;
		this.#buffering = undefined;
		const stream = this.#stream;
		if ((filter?.onRequestBuffered?.(stream) ?? "continue") !== "continue") return;
		this.#at++;
		this.run();
	}

	// ---- the request's body

	onRequestBody(bytes: Buffer, start: number, end: number): void {
		const stream = this.#stream;
		if (!this.isHolding) {
			if (this.seesRequestBody && !stream.isTunnel) this.#pass(Buffer.from(bytes.subarray(start, end)), false);
			else stream.router.onRequestBody(bytes, start, end);
			return;
		}
		this.#pieces.push(Buffer.from(bytes.subarray(start, end)));
		this.#bytes += end - start;
		this.#checkBuffer();
	}

	#checkBuffer(): void {
		const stream = this.#stream;
		const filter = this.#buffering;
		if (this.#bytes <= (filter?.bufferBytesMax ?? stream.manager.bufferBytesMax)) return;
		if (filter === undefined) return stream.downstream.pause(pauseReasons.filterBuffer);
		if (filter.allowsPartialBody === true) return this.#bufferingEnds();
		stream.manager.count(httpStat.downstream_rq_too_large);
		sendLocalReply(stream, { status: 413, body: "Payload Too Large", flags: 0, details: "request_payload_too_large" });
	}

	onRequestEnd(): void {
		if (!this.isHolding) return this.#passEnd();
		this.#hasEnd = true;
		if (this.#buffering !== undefined) this.#bufferingEnds();
	}

	/** All filters have had the head: the request goes on, with what was held of its body. */
	#deliver(): void {
		const stream = this.#stream;
		const pieces = this.#pieces;
		const turn = this.#turn;
		if (this.#bytes === 0 && stream.isRequestComplete) stream.isRequestDelivered = true;
		stream.onFiltered();
		if (pieces.length > 0) {
			this.#pieces = [];
			this.#bytes = 0;
			for (const piece of pieces) {
				if (turn !== this.#turn) return;
				if (this.seesRequestBody) this.#pass(piece, false);
				else stream.router.onRequestBody(piece, 0, piece.length);
			}
		}
		if (turn !== this.#turn) return;
		stream.downstream.resume(pauseReasons.filterBuffer);
		if (this.#hasEnd) this.#passEnd();
	}

	#pass(bytes: Buffer, isEnd: boolean): void {
		let passed = bytes;
		for (const filter of this.#chain?.bodyFilters ?? []) passed = filter.onRequestBody?.(this.#stream, passed, isEnd) ?? passed;
		if (passed.length > 0) this.#stream.router.onRequestBody(passed, 0, passed.length);
	}

	#passEnd(): void {
		const stream = this.#stream;
		if (stream.isRequestDelivered) return;
		if (this.seesRequestBody) this.#pass(noBytes, true);
		stream.isRequestDelivered = true;
		stream.router.onRequestEnd();
	}

	// ---- the response

	onResponseHeld(trailers: readonly string[]): void {
		for (const filter of this.#chain?.responseFilters ?? []) filter.onResponseHeld?.(this.#stream, trailers);
	}

	onResponseHead(hasBody: boolean): void {
		const filters = this.#chain?.responseFilters;
		if (filters === undefined) return;
		for (let i = 0; i < filters.length; i++) filters[i]?.onResponseHead?.(this.#stream, hasBody);
	}

	onResponseBody(bytes: Buffer): Buffer {
		let passed = bytes;
		for (const filter of this.#chain?.responseFilters ?? []) passed = filter.onResponseBody?.(this.#stream, passed) ?? passed;
		return passed;
	}

	/** Gives bytes to be sent before the end. */
	onResponseEnd(trailers: string[]): Buffer {
		let last: Buffer = noBytes;
		for (const filter of this.#chain?.responseFilters ?? []) {
			if (last.length > 0) last = filter.onResponseBody?.(this.#stream, last) ?? last;
			const more = filter.onResponseEnd?.(this.#stream, trailers);
			if (more !== undefined) last = last.length === 0 ? more : Buffer.concat([last, more]);
		}
		return last;
	}

	// ---- ends

	/** Nobody waits for the request any more. */
	cancel(): void {
		this.#isSuspended = false;
		this.#buffering = undefined;
		const onCancelled = this.#onCancelled;
		this.#onCancelled = undefined;
		this.#turn++;
		onCancelled?.();
		if (this.#pieces.length > 0) this.#pieces = [];
		this.#bytes = 0;
	}

	finish(): void {
		const filters = this.#chain?.overFilters;
		if (filters !== undefined) for (let i = 0; i < filters.length; i++) filters[i]?.onOver?.(this.#stream);
		this.#stream.downstream.resume(pauseReasons.filterBuffer);
	}

	reset(): void {
		this.cancel();
		this.#chain = undefined;
		this.#at = 0;
		this.#hasEnd = this.seesRequestBody = this.seesResponseBody = this.holdsResponse = false;
		if (this.states.length > 0) this.states.length = 0;
	}
}
