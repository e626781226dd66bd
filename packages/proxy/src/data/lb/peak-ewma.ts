import type { HostEntry } from "./host-entry.ts";
import type { PickHost } from "./host-source.ts";

/** An average that nothing was added to is worth half after this: a host that was slow once is tried again. */
const halfLifeMs = 10_000;
/** A host that has requests but never answered one is as good as none. */
const unansweredCost = 1e12;

/** α of a moving average over the last `requests`: 2 ÷ (N + 1). */
export function ewmaAlpha(requests: number): number {
	return 2 / (requests + 1);
}

/** `previousMs` below 0: there is none yet. */
export function addToEwma(previousMs: number, sampleMs: number, alpha: number): number {
	return previousMs < 0 ? sampleMs : alpha * sampleMs + (1 - alpha) * previousMs;
}

/** Of two hosts taken at random, the one with less to wait for: average answer time × (requests under way + 1) ÷ weight. */
export function createPeakEwma(random: () => number, nowMs: () => number): PickHost {
	return ({ hosts }) => {
		const count = hosts.length;
		if (count < 2) return hosts[0];
		const i = Math.floor(random() * count);
		const step = 1 + Math.floor(random() * (count - 1));
		const a = hosts[i] as HostEntry;
		const b = hosts[(i + step) % count] as HostEntry;
		const now = nowMs();
		return ewmaCost(b, now) < ewmaCost(a, now) ? b : a;
	};
}

export function ewmaCost({ latencyMs, latencyAtMs, active, host }: HostEntry, nowMs: number): number {
	// New hosts are tried first, but not by all at once.
	if (latencyMs < 0) return active === 0 ? 0 : unansweredCost + active;
	const idleMs = Math.max(0, nowMs - latencyAtMs);
	return (latencyMs * 2 ** (-idleMs / halfLifeMs) * (active + 1)) / host.weight;
}
