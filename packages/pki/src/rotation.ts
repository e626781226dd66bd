export interface RotationParams {
	readonly nowMs: number;
	readonly notAfterMs: number;
	/** Share of the remaining life after which to renew; 0.5 as Istio and SPIRE do. */
	readonly ratio?: number;
	/** Spread around the ratio, so that a fleet started together does not renew together; 0.01 is Istio's. */
	readonly jitter?: number;
	/** Uniform in [0, 1). */
	readonly random: () => number;
}

// A certificate of a few seconds, or one already dead on arrival, must not make a busy loop.
const delayMsMin = 1_000;

/**
 * How long to wait before renewing a certificate just received, in ms. Counted from its receipt, not from notBefore: that is
 * back-dated by two minutes, which would put half of a short life into the past.
 */
export function renewalDelayMs({ nowMs, notAfterMs, ratio = 0.5, jitter = 0.01, random }: RotationParams): number {
	const spread = ratio + (random() * 2 - 1) * jitter;
	return Math.max(delayMsMin, Math.round((notAfterMs - nowMs) * spread));
}
