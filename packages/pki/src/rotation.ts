export interface RotationParams {
	/** Wall clock and monotonic clock at the receipt of the certificate. */
	readonly nowMs: number;
	readonly monotonicMs: number;
	readonly notAfterMs: number;
	/** Share of the remaining life after which to renew; 0.5 as Istio and SPIRE do. */
	readonly ratio?: number;
	/** Spread around the ratio, so that a fleet started together does not renew together; 0.01 is Istio's. */
	readonly jitter?: number;
	/** Uniform in [0, 1). */
	readonly random: () => number;
}

/** When to renew, on both clocks: whichever comes first, so that a wall clock set back delays nothing. */
export interface RenewalPlan {
	readonly dueMs: number;
	readonly dueMonotonicMs: number;
}

// A certificate of a few seconds, or one already dead on arrival, must not make a busy loop.
const delayMsMin = 1_000;
// One timer at most this long: a wall clock set ahead is noticed, and setTimeout overflows at 24.8 days.
const waitMsMax = 60_000;

/**
 * Plans the renewal of a certificate just received. Counted from its receipt, not from notBefore: that is back-dated by two
 * minutes, which would put half of a short life into the past.
 */
export function planRenewal({ nowMs, monotonicMs, notAfterMs, ratio = 0.5, jitter = 0.01, random }: RotationParams): RenewalPlan {
	const spread = ratio + (random() * 2 - 1) * jitter;
	const delayMs = Math.max(delayMsMin, Math.round((notAfterMs - nowMs) * spread));
	return { dueMs: nowMs + delayMs, dueMonotonicMs: monotonicMs + delayMs };
}

/** How long to sleep before looking at the plan again, in ms; 0 when the renewal is due. */
export function renewalWaitMs(plan: RenewalPlan, nowMs: number, monotonicMs: number): number {
	return Math.max(0, Math.min(waitMsMax, plan.dueMs - nowMs, plan.dueMonotonicMs - monotonicMs));
}
