import type { StatsRegistry, StatsScope } from "./registry.ts";

/** Counts responses as `<stem>_<code>`, `<stem>_<n>xx` and `<stem>_completed`, taking counters for codes as they first occur. */
export interface ResponseCodes {
	increment(code: number): void;
}

/** `stem`: `upstream_rq`, `external.upstream_rq`, … in the given scope. */
export function createResponseCodes(registry: StatsRegistry, scope: StatsScope, stem: string): ResponseCodes {
	const completed = scope.counter(`${stem}_completed`);
	const classes = new Map<number, number>();
	const codes = new Map<number, number>();
	let [lastCode, lastHandle, lastClass, isKnown] = [0, 0, 0, false];
	const counterOf = (known: Map<number, number>, key: number, name: string) => {
		const handle = known.get(key) ?? scope.counter(name);
		known.set(key, handle);
		return handle;
	};
	return {
		increment(code) {
			if (code !== lastCode) {
				// Anything out of range is one bucket, so that an upstream cannot make names without end.
				isKnown = code >= 100 && code <= 599;
				lastHandle = isKnown ? counterOf(codes, code, `${stem}_${code}`) : counterOf(codes, 0, `${stem}_unknown`);
				const hundreds = Math.floor(code / 100);
				if (isKnown) lastClass = counterOf(classes, hundreds, `${stem}_${hundreds}xx`);
				lastCode = code;
			}
			const { counters } = registry;
			counters[completed] = (counters[completed] as number) + 1;
			counters[lastHandle] = (counters[lastHandle] as number) + 1;
			if (isKnown) counters[lastClass] = (counters[lastClass] as number) + 1;
		},
	};
}
