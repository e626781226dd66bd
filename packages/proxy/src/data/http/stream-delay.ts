import { Timer, type TimerWheel } from "../transport/timers.ts";

/** Something that one stream does later, one at a time. */
export class StreamDelay {
	readonly #timer: Timer;
	#run: (() => void) | undefined;
	#onCancelled: (() => void) | undefined;

	constructor(wheel: TimerWheel) {
		this.#timer = new Timer(wheel, () => {
			const run = this.#run;
			this.#run = this.#onCancelled = undefined;
			run?.();
		});
	}

	get isWaiting(): boolean {
		return this.#run !== undefined;
	}

	start(ms: number, run: () => void, onCancelled?: () => void): void {
		this.#run = run;
		this.#onCancelled = onCancelled;
		this.#timer.arm(Math.max(ms, 1));
	}

	cancel(): void {
		this.#timer.cancel();
		const onCancelled = this.#onCancelled;
		this.#run = this.#onCancelled = undefined;
		onCancelled?.();
	}

	dispose(): void {
		this.#timer.disarm();
	}
}
