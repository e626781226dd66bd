/** Exponential back-off with full jitter, as gRPC and Envoy use it: a random delay in [min, current], current doubling up to max. */
export interface Backoff {
	nextMs(): number;
	reset(): void;
}

export interface BackoffOptions {
	readonly minMs: number;
	readonly maxMs: number;
	/** Uniform in [0, 1). */
	readonly random?: () => number;
}

export function createBackoff({ minMs, maxMs, random = Math.random }: BackoffOptions): Backoff {
	let ceilingMs = minMs;
	return {
		nextMs() {
			const delay = minMs + random() * (ceilingMs - minMs);
			ceilingMs = Math.min(maxMs, ceilingMs * 2);
			return delay;
		},
		reset() {
			ceilingMs = minMs;
		},
	};
}
