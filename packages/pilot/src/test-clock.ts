import type { Clock } from "@weft/runtime";

/** A clock that moves only when told, and wakes sleepers on its way. */
export function manualClock(startMs = 0): Clock & { advance(ms: number): Promise<void> } {
	let now = startMs;
	const sleepers: { at: number; wake: () => void }[] = [];
	const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
	return {
		nowMs: () => now,
		monotonicMs: () => now,
		sleep: (ms, signal) =>
			new Promise((wake) => {
				sleepers.push({ at: now + ms, wake });
				signal?.addEventListener("abort", () => wake(), { once: true });
			}),
		async advance(ms) {
			const until = now + ms;
			for (;;) {
				await settle();
				const next = sleepers.sort((a, b) => a.at - b.at)[0];
				if (!next || next.at > until) break;
				sleepers.shift();
				now = Math.max(now, next.at);
				next.wake();
			}
			now = until;
			await settle();
		},
	};
}
