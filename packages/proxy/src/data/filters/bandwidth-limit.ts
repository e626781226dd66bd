import type { BandwidthLimit, BandwidthTrailers } from "../../config/http-filters.ts";
import { openBucket } from "../../config/shared-buckets.ts";
import type { HttpStream } from "../http/stream.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import type { Histogram } from "../stats/histogram.ts";
import { BodyThrottle } from "../throttle/body-throttle.ts";
import { bytesPerKib, type ByteBucket } from "../throttle/byte-bucket.ts";
import type { WorkerContext } from "../worker/context.ts";
import type { Counter, FilterInputs, Gauge } from "./filter-inputs.ts";

/** `<stat prefix>.http_bandwidth_limit.<direction>_…` */
interface DirectionStats {
	readonly enabled: Counter;
	/** Each time that bytes had to wait. */
	readonly enforced: Counter;
	readonly incomingTotal: Counter;
	readonly allowedTotal: Counter;
	/** Bodies that are on their way. */
	readonly pending: Gauge;
	/** Of the last piece. */
	readonly incoming: Gauge;
	readonly allowed: Gauge;
	readonly duration: Histogram;
}

/** One body on its way. */
interface Transfer {
	readonly throttle: BodyThrottle;
	readonly beganAt: number;
	/** How long it was kept. */
	waitedMs: number;
	/** How long it took; -1: it still does. */
	durationMs: number;
}

interface StreamTransfers {
	request: Transfer | undefined;
	response: Transfer | undefined;
	/** Whether the filter was on when the head passed. */
	readonly isOn: { request: boolean; response: boolean };
}

/** One direction of all streams. */
interface Direction {
	readonly key: "request" | "response";
	readonly stats: DirectionStats;
	/** Bytes that were kept go on. */
	send(stream: HttpStream, bytes: Buffer): void;
	onFull(stream: HttpStream, isFull: boolean): void;
}

export function compileBandwidthLimit(limit: BandwidthLimit, inputs: FilterInputs): StreamFilter {
	const { index, context } = inputs;
	const requests: Direction = {
		key: "request",
		stats: openStats("request", limit, inputs),
		send: ({ filters }, bytes) => filters.passRequest(index, bytes),
		onFull: ({ filters }, isFull) => filters.onRequestFull(isFull),
	};
	const responses: Direction = {
		key: "response",
		stats: openStats("response", limit, inputs),
		send: ({ filters }, bytes) => filters.passResponse(index, bytes),
		onFull: ({ filters }, isFull) => filters.onResponseFull(isFull),
	};
	if (!limit.limitsRequests && !limit.limitsResponses) return {};
	const transfersOf = ({ filters }: HttpStream) =>
		(filters.states[index] ??= { request: undefined, response: undefined, isOn: { request: false, response: false } }) as StreamTransfers;
	const limiter = new Limiter(limit, context);
	const begins = (stream: HttpStream, { key, stats }: Direction): boolean => {
		if (!context.runtime.isOn(limit.enabled)) return false;
		stats.enabled();
		transfersOf(stream).isOn[key] = true;
		return true;
	};
	const filter: StreamFilter = {};
	if (limit.limitsRequests) {
		filter.onRequestHead = (stream) => {
			if (!begins(stream, requests)) return "continue";
			stream.filters.seesRequestBody = true;
			return "continue";
		};
		filter.onRequestBody = (stream, bytes) => (transfersOf(stream).isOn.request ? limiter.pass(stream, transfersOf(stream), requests, bytes) : bytes);
		filter.holdsRequestEnd = (stream, goOn) => transfersOf(stream).request?.throttle.holdsEnd(goOn) === true;
		filter.onRequestEnd = (stream) => limiter.end(transfersOf(stream), requests);
	}
	if (limit.limitsResponses) {
		filter.onResponseHead = (stream) => {
			if (begins(stream, responses)) stream.filters.seesResponseBody = true;
		};
		filter.onResponseBody = (stream, bytes) => (transfersOf(stream).isOn.response ? limiter.pass(stream, transfersOf(stream), responses, bytes) : bytes);
		filter.holdsResponseEnd = (stream, goOn) => transfersOf(stream).response?.throttle.holdsEnd(goOn) === true;
		filter.onResponseEnd = (stream) => {
			const transfers = transfersOf(stream);
			limiter.end(transfers, responses);
			if (limit.trailers !== undefined && transfers.isOn.response) tell(stream, transfers, limit.trailers);
			return undefined;
		};
	}
	return filter;
}

function openStats(direction: string, { statPrefix }: BandwidthLimit, { rootCounter, rootGauge, rootHistogram }: FilterInputs): DirectionStats {
	const prefix = `${statPrefix}.http_bandwidth_limit.`;
	return {
		enabled: rootCounter(prefix, `${direction}_enabled`),
		enforced: rootCounter(prefix, `${direction}_enforced`),
		incomingTotal: rootCounter(prefix, `${direction}_incoming_total_size`),
		allowedTotal: rootCounter(prefix, `${direction}_allowed_total_size`),
		pending: rootGauge(prefix, `${direction}_pending`),
		incoming: rootGauge(prefix, `${direction}_incoming_size`),
		allowed: rootGauge(prefix, `${direction}_allowed_size`),
		duration: rootHistogram(prefix, `${direction}_transfer_duration`),
	};
}

/** Bodies under one limit; all workers draw from its bucket. */
class Limiter {
	readonly #limit: BandwidthLimit;
	readonly #context: WorkerContext;
	readonly #bucket: ByteBucket;

	constructor(limit: BandwidthLimit, context: WorkerContext) {
		this.#limit = limit;
		this.#context = context;
		const { key, kibPerSecond, statPrefix } = limit;
		const tokensMax = kibPerSecond * bytesPerKib;
		const hash = context.hash64(["bandwidth", statPrefix, key, kibPerSecond].join("\0"));
		const bucket = openBucket(context.buckets, hash, { tokensMax, tokensPerFill: tokensMax, fillIntervalMs: 1000 });
		this.#bucket = { take: (wanted) => bucket.takeUpTo(context.wallMs(), wanted) };
	}

	/** Gives what may go on at once. */
	pass(stream: HttpStream, transfers: StreamTransfers, direction: Direction, bytes: Buffer): Buffer {
		const transfer = (transfers[direction.key] ??= this.#begin(stream, direction));
		direction.stats.incoming.set(bytes.length);
		direction.stats.incomingTotal(bytes.length);
		return transfer.throttle.pass(bytes);
	}

	#begin(stream: HttpStream, { key, stats, send, onFull }: Direction): Transfer {
		const { fillIntervalMs } = this.#limit;
		const context = this.#context;
		const throttle = new BodyThrottle({
			bucket: this.#bucket,
			wheel: context.wheel,
			intervalMs: fillIntervalMs,
			bytesMax: stream.manager.bufferBytesMax,
			send: (bytes) => send(stream, bytes),
			onFull: (isFull) => onFull(stream, isFull),
			onTaken(bytes, isShort) {
				// A client that waits for others' bytes is not idle.
				if (key === "response") stream.timers.touch(context.nowMs());
				stats.allowed.set(bytes);
				stats.allowedTotal(bytes);
				if (!isShort) return;
				stats.enforced();
				transfer.waitedMs += fillIntervalMs;
			},
		});
		const transfer: Transfer = { throttle, beganAt: context.nowMs(), waitedMs: 0, durationMs: -1 };
		stats.pending.add(1);
		stream.filters.whenOver(() => {
			throttle.close();
			if (transfer.durationMs < 0) stats.pending.add(-1);
		});
		return transfer;
	}

	/** All of it has passed. */
	end(transfers: StreamTransfers, { key, stats }: Direction): void {
		const transfer = transfers[key];
		if (transfer === undefined || transfer.durationMs >= 0) return;
		transfer.durationMs = this.#context.nowMs() - transfer.beganAt;
		stats.duration.record(transfer.durationMs);
		stats.pending.add(-1);
	}
}

/** Trailers with the times that are not 0; of a request that is still on its way its time is not known. */
function tell(stream: HttpStream, { request, response }: StreamTransfers, names: BandwidthTrailers): void {
	if (response === undefined) return;
	const add = (name: string, ms: number) => {
		if (ms >= 1) stream.setResponseTrailer(name, String(Math.floor(ms)));
	};
	add(names.requestDelay, request?.durationMs ?? 0);
	add(names.requestFilterDelay, request?.waitedMs ?? 0);
	add(names.responseDelay, response.durationMs);
	add(names.responseFilterDelay, response.waitedMs);
}
