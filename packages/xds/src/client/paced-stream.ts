import type { Clock } from "@weft/runtime";
import type { OpenStream, XdsStream } from "./stream.ts";

/** `envoy.config.core.v3.RateLimitSettings`: a token bucket, which is full at first. */
export interface RequestRate {
	readonly tokensMax: number;
	readonly tokensPerSecond: number;
}

/** Requests that may wait before nothing is read any more: each response makes one. */
const waitingMax = 16;
/** With more the stream ends: the next one says in one request what all of these would. */
const requestsMax = 1_000;
/** Timers do not take a year. */
const sleepMsMax = 3_600_000;

/** Streams whose requests leave no faster than that, in their order; one bucket for a stream and those that come after it. */
export function paceRequests(open: OpenStream, rate: RequestRate, clock: Clock): OpenStream {
	const takeToken = createBucket(rate, clock);
	return (events) => {
		const end = new AbortController();
		const waiting: Parameters<XdsStream["send"]>[0][] = [];
		let isDraining = false;
		let isPaused = false;
		const stream = open({
			onResponse: events.onResponse,
			onEnd(reason) {
				end.abort();
				events.onEnd(reason);
			},
		});
		const drain = async () => {
			if (isDraining) return;
			isDraining = true;
			for (let next = waiting[0]; next !== undefined && !end.signal.aborted; next = waiting[0]) {
				const waitMs = takeToken();
				if (waitMs > 0) {
					await clock.sleep(Math.min(waitMs, sleepMsMax), end.signal);
					continue;
				}
				waiting.shift();
				stream.send(next);
				if (waiting.length === waitingMax - 1 && !isPaused) stream.resume();
			}
			isDraining = false;
		};
		return {
			send(request) {
				if (waiting.push(request) === waitingMax) stream.pause();
				if (waiting.length > requestsMax) stream.close();
				else void drain();
			},
			pause() {
				isPaused = true;
				stream.pause();
			},
			resume() {
				isPaused = false;
				if (waiting.length < waitingMax) stream.resume();
			},
			close: () => stream.close(),
		};
	};
}

/** Takes a token and gives 0, or gives the milliseconds until there is one. */
function createBucket({ tokensMax, tokensPerSecond }: RequestRate, clock: Clock): () => number {
	let tokens = tokensMax;
	let filledMs = clock.monotonicMs();
	return () => {
		const nowMs = clock.monotonicMs();
		tokens = Math.min(tokensMax, tokens + ((nowMs - filledMs) / 1000) * tokensPerSecond);
		filledMs = nowMs;
		if (tokens < 1) return Math.max(1, ((1 - tokens) / tokensPerSecond) * 1000);
		tokens--;
		return 0;
	};
}
