import type { Clock } from "@weft/runtime";

/** How often the workers are looked at. */
const lookMs = 500;
/** From here on, on average, there is more to do than those that are awake should have. */
const busyMin = 0.5;
/** In a row: one may see no more than a large configuration being compiled, or the first requests, for which the code is. */
const busyLooks = 2;

/** Workers of which not all are awake. */
export interface SleepingWorkers {
	/** False: all are awake, or the process ends. */
	readonly mayWake: boolean;
	/** Of each that is awake: the share of time that it was busy since this was asked last, 0 to 1. */
	busyShares(): readonly number[];
	/** Resolves once as many more serve as did, or all there are. */
	wake(): Promise<void>;
}

/**
 * Wakes workers as the work asks for them, until all are awake; none goes to sleep again. To be begun once what is served
 * is in force: what a worker does to get there is no demand.
 */
export async function followDemand(workers: SleepingWorkers, clock: Clock, signal: AbortSignal): Promise<void> {
	let busy = 0;
	workers.busyShares();
	while (true) {
		await clock.sleep(lookMs, signal);
		if (signal.aborted || !workers.mayWake) return;
		busy = mean(workers.busyShares()) >= busyMin ? busy + 1 : 0;
		if (busy < busyLooks) continue;
		await workers.wake();
		// Nor is what the new ones did until now.
		workers.busyShares();
		busy = 0;
	}
}

/** 0 of none: the only worker has died, and another is about to take its place. */
function mean(shares: readonly number[]): number {
	return shares.reduce((sum, share) => sum + share, 0) / Math.max(shares.length, 1);
}
