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
