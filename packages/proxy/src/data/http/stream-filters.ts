import { pauseReasons } from "./downstream.ts";
import type { FilterChain } from "./filter-chain.ts";
import { httpStat } from "./http-stats.ts";
import { sendLocalReply } from "./local-reply.ts";
import { type HttpStream, responsePauses } from "./stream.ts";
import type { StreamFilter } from "./stream-filter.ts";

const none: readonly StreamFilter[] = [];

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
	readonly #whenOver: (() => void)[] = [];
	/** Filters that keep as much of a body as they may. */
	#fullRequests = 0;
	#fullResponses = 0;

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

	/**
	 * The request waits until the function that this gives is called; calls that come when the stream is over do nothing.
	 * `again`: the filter is asked anew, as it is for the present route, instead of the next one.
	 */
	suspend(onCancelled?: () => void): (again?: boolean) => void {
		const turn = this.#turn;
		this.#isSuspended = true;
		this.#onCancelled = onCancelled;
		return (again = false) => {
			if (turn !== this.#turn || !this.#isSuspended) return;
			this.#isSuspended = false;
			this.#onCancelled = undefined;
			if (!again) this.#at++;
			this.run();
		};
	}

	/** Runs once the stream is over, whatever becomes of it, and of its route. */
	whenOver(run: () => void): void {
		this.#whenOver.push(run);
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
			if (this.seesRequestBody) this.#passRequest(Buffer.from(bytes.subarray(start, end)), 0);
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
				if (this.seesRequestBody) this.#passRequest(piece, 0);
				else stream.router.onRequestBody(piece, 0, piece.length);
			}
		}
		if (turn !== this.#turn) return;
		stream.downstream.resume(pauseReasons.filterBuffer);
		if (this.#hasEnd) this.#passEnd();
	}

	/** Bytes that the filter of this index kept go on. */
	passRequest(index: number, bytes: Buffer): void {
		this.#passRequest(bytes, this.#behind(index, this.#chain?.bodyFilters ?? none));
	}

	/** A route that was chosen later may have another filter at the index. */
	#behind(index: number, filters: readonly StreamFilter[]): number {
		return filters.indexOf(this.#chain?.filters[index] as StreamFilter) + 1;
	}

	/** From the filter at `from` on. */
	#passRequest(bytes: Buffer, from: number): void {
		const filters = this.#chain?.bodyFilters ?? none;
		let passed = bytes;
		for (let i = from; i < filters.length && passed.length > 0; i++) passed = filters[i]?.onRequestBody?.(this.#stream, passed) ?? passed;
		if (passed.length > 0) this.#stream.router.onRequestBody(passed, 0, passed.length);
	}

	#passEnd(): void {
		if (!this.#stream.isRequestDelivered) this.#passRequestEnd(0);
	}

	/** The client said all that the tunnel is to carry. */
	onTunnelEnd(): void {
		this.#passRequestEnd(0);
	}

	#passRequestEnd(from: number): void {
		const stream = this.#stream;
		const filters = this.seesRequestBody ? (this.#chain?.bodyFilters ?? none) : none;
		for (let i = from; i < filters.length; i++) {
			if (filters[i]?.holdsRequestEnd?.(stream, () => this.#passRequestEnd(i)) === true) return;
			filters[i]?.onRequestEnd?.(stream);
		}
		if (stream.isTunnel) return stream.router.onTunnelEnd();
		stream.isRequestDelivered = true;
		stream.router.onRequestEnd();
	}

	/** A filter keeps as much of the request as it may, or less again. */
	onRequestFull(isFull: boolean): void {
		const { downstream } = this.#stream;
		this.#fullRequests += isFull ? 1 : -1;
		if (this.#fullRequests === 0) downstream.resume(pauseReasons.throttled);
		else downstream.pause(pauseReasons.throttled);
	}

	// ---- the response

	/** A filter keeps as much of the response as it may, or less again. */
	onResponseFull(isFull: boolean): void {
		this.#fullResponses += isFull ? 1 : -1;
		if (this.#fullResponses === 0) this.#stream.resumeResponse(responsePauses.throttled);
		else this.#stream.pauseResponse(responsePauses.throttled);
	}

	onResponseHeld(trailers: readonly string[]): void {
		for (const filter of this.#chain?.responseFilters ?? []) filter.onResponseHeld?.(this.#stream, trailers);
	}

	onResponseHead(hasBody: boolean): void {
		const filters = this.#chain?.responseFilters;
		if (filters === undefined) return;
		for (let i = 0; i < filters.length; i++) filters[i]?.onResponseHead?.(this.#stream, hasBody);
	}

	onResponseBody(bytes: Buffer): void {
		this.#passResponse(bytes, 0);
	}

	/** As `passRequest`. */
	passResponse(index: number, bytes: Buffer): void {
		this.#passResponse(bytes, this.#behind(index, this.#chain?.responseFilters ?? none));
	}

	#passResponse(bytes: Buffer, from: number): void {
		const filters = this.#chain?.responseFilters ?? none;
		let passed = bytes;
		for (let i = from; i < filters.length && passed.length > 0; i++) passed = filters[i]?.onResponseBody?.(this.#stream, passed) ?? passed;
		if (passed.length > 0) this.#stream.sendPassedBody(passed, 0, passed.length);
	}

	/** False: a filter keeps bytes that go before it, and the end follows them later. */
	onResponseEnd(trailers: string[]): boolean {
		return this.#passResponseEnd(trailers, 0);
	}

	#passResponseEnd(trailers: string[], from: number): boolean {
		const stream = this.#stream;
		const filters = this.#chain?.responseFilters ?? none;
		for (let i = from; i < filters.length; i++) {
			if (filters[i]?.holdsResponseEnd?.(stream, () => void this.#passResponseEnd(trailers, i)) === true) return false;
			const last = filters[i]?.onResponseEnd?.(stream, trailers);
			if (last !== undefined && last.length > 0) this.#passResponse(last, i + 1);
		}
		stream.completeResponse();
		return true;
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
		if (this.#whenOver.length > 0) for (const run of this.#whenOver.splice(0)) run();
		this.#stream.downstream.resume(pauseReasons.filterBuffer | pauseReasons.throttled);
	}

	reset(): void {
		this.cancel();
		this.#chain = undefined;
		this.#at = 0;
		this.#hasEnd = this.seesRequestBody = this.seesResponseBody = this.holdsResponse = false;
		this.#fullRequests = this.#fullResponses = 0;
		if (this.states.length > 0) this.states.length = 0;
	}
}
