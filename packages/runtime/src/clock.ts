/** Time as an argument: tests inject their own. Times are epoch milliseconds, `monotonicMs` only differs. */
export interface Clock {
	nowMs(): number;
	monotonicMs(): number;
	/** Resolves after `ms`, or at once when `signal` aborts (it never rejects). */
	sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
	nowMs: () => Date.now(),
	monotonicMs: () => performance.now(),
	sleep: (ms, signal) =>
		new Promise((resolve) => {
			if (signal?.aborted) return resolve();
			const done = () => {
				clearTimeout(timer);
				signal?.removeEventListener("abort", done);
				resolve();
			};
			const timer = setTimeout(done, ms);
			signal?.addEventListener("abort", done, { once: true });
		}),
};
