import type { Clock } from "@weft/runtime";

export interface DebounceOptions<T> {
	/** Quiet time after the last event before a batch is run. Istio's PILOT_DEBOUNCE_AFTER. */
	readonly quietMs: number;
	/** The longest that an event waits, however many follow. Istio's PILOT_DEBOUNCE_MAX. */
	readonly capMs: number;
	readonly clock: Clock;
	readonly merge: (earlier: T, later: T) => T;
	readonly run: (batch: T, firstAtMs: number) => Promise<void>;
	readonly signal: AbortSignal;
}

/**
 * Merges bursts of events into batches; batches never overlap, and what comes during one waits for the next.
 *
 *   idle → (event) → waiting → (quiet, or cap reached) → running → idle or waiting
 */
export function createDebounce<T>({ quietMs, capMs, clock, merge, run, signal }: DebounceOptions<T>): (event: T) => void {
	let batch: { value: T; firstAtMs: number; lastAtMs: number } | undefined;
	let active = false;

	async function loop(): Promise<void> {
		while (batch && !signal.aborted) {
			const now = clock.monotonicMs();
			const due = Math.min(batch.lastAtMs + quietMs, batch.firstAtMs + capMs);
			if (now < due) {
				await clock.sleep(due - now, signal);
				continue;
			}
			const { value, firstAtMs } = batch;
			batch = undefined;
			await run(value, firstAtMs);
		}
		active = false;
	}

	return (event) => {
		const now = clock.monotonicMs();
		batch = batch ? { ...batch, value: merge(batch.value, event), lastAtMs: now } : { value: event, firstAtMs: now, lastAtMs: now };
		if (active) return;
		active = true;
		void loop();
	};
}
