import type { Clock } from "./clock.ts";

/** Turns at the event loop for work of many pieces, so that what is short (a health check, a new connection) goes on in between. */
export interface Turns {
	/** Called before a piece of work: undefined when it may go on, else resolves when it may. Who waits comes before who asks later. */
	next(): Promise<void> | undefined;
}

/** So long pieces of work may follow each other. A piece that is longer is not cut. */
const turnMs = 10;

/** Of all who share it, as many go on in one turn of the event loop as fit into a few milliseconds; no more wait than share it. */
export function createTurns(clock: Pick<Clock, "monotonicMs">): Turns {
	const waiting: (() => void)[] = [];
	/** Undefined: nothing has been done since the last turn of the event loop. */
	let sinceMs: number | undefined;
	const hasTime = (): boolean => sinceMs !== undefined && clock.monotonicMs() - sinceMs < turnMs;
	const begin = (): void => {
		sinceMs = clock.monotonicMs();
		setImmediate(() => void turn());
	};
	const turn = async (): Promise<void> => {
		sinceMs = undefined;
		if (waiting.length === 0) return;
		begin();
		while (waiting.length > 0 && hasTime()) {
			waiting.shift()?.();
			// Who was woken works now.
			await Promise.resolve();
		}
	};
	return {
		next() {
			if (sinceMs === undefined) begin();
			return hasTime() ? undefined : new Promise((resolve) => waiting.push(resolve));
		},
	};
}
