import type { Clock } from "@weft/runtime";

/** So long a row of work may go on before others have their turn: new streams, acknowledgements, health checks. */
const turnMs = 5;

export interface Turns {
	/** Called between two pieces of work: waits for the others' turn when this one has lasted long enough. */
	next(): Promise<void> | undefined;
}

export function createTurns(clock: Clock): Turns {
	let sinceMs = clock.monotonicMs();
	return {
		next() {
			if (clock.monotonicMs() - sinceMs < turnMs) return undefined;
			return new Promise((resolve) =>
				setImmediate(() => {
					sinceMs = clock.monotonicMs();
					resolve();
				}),
			);
		},
	};
}
