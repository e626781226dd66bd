import type { Clock } from "@weft/runtime";

export interface RateLimit {
	/** Takes one token if there is one. */
	take(): boolean;
}

export interface RateLimitOptions {
	readonly perSecond: number;
	readonly burst: number;
	readonly clock: Clock;
}

/** Callers that are told apart; the one that has been quiet for longest is forgotten, and begins anew. */
const callersMax = 10_000;

/** A bucket for each caller: one that never stops asking uses up its own share, not everybody's. */
export function createCallerRateLimit(options: RateLimitOptions): { take(caller: string): boolean } {
	const buckets = new Map<string, RateLimit>();
	return {
		take(caller) {
			const bucket = buckets.get(caller) ?? createRateLimit(options);
			// Last again in the map's order.
			buckets.delete(caller);
			buckets.set(caller, bucket);
			if (buckets.size > callersMax) buckets.delete(buckets.keys().next().value ?? "");
			return bucket.take();
		},
	};
}

/** A token bucket over monotonic time. */
export function createRateLimit({ perSecond, burst, clock }: RateLimitOptions): RateLimit {
	let tokens = burst;
	let lastMs = clock.monotonicMs();
	return {
		take() {
			const nowMs = clock.monotonicMs();
			tokens = Math.min(burst, tokens + ((nowMs - lastMs) * perSecond) / 1000);
			lastMs = nowMs;
			if (tokens < 1) return false;
			tokens -= 1;
			return true;
		},
	};
}
