import { Timer, type TimerWheel } from "../transport/timers.ts";

/** How long one attempt may take to be answered, how long it may be silent, and how long it may last. */
export class AttemptTimers {
	readonly #wheel: TimerWheel;
	readonly #whole: Timer;
	readonly #onIdle: () => void;
	readonly #onDuration: () => void;
	/** Few policies have these. */
	#idle: Timer | undefined;
	#duration: Timer | undefined;
	/** 0: none. */
	#idleMs = 0;

	constructor(wheel: TimerWheel, onTimeout: () => void, onIdle: () => void, onDuration: () => void) {
		this.#wheel = wheel;
		this.#whole = new Timer(wheel, onTimeout);
		this.#onIdle = onIdle;
		this.#onDuration = onDuration;
	}

	/** For another attempt. 0: none. */
	start(idleMs: number, durationMs: number): void {
		this.#idleMs = idleMs;
		if (idleMs > 0) this.#idle ??= new Timer(this.#wheel, this.#onIdle);
		if (durationMs > 0) (this.#duration ??= new Timer(this.#wheel, this.#onDuration)).arm(durationMs);
	}

	/** 0: none. */
	startWhole(wholeMs: number): void {
		if (wholeMs > 0) this.#whole.arm(wholeMs);
	}

	/** Something went to the host or came from it. */
	touch(): void {
		if (this.#idleMs > 0) this.#idle?.arm(this.#idleMs);
	}

	/** The answer has begun: how long all of it takes is the route's affair. */
	answered(): void {
		this.#whole.cancel();
		this.touch();
	}

	cancel(): void {
		this.#whole.cancel();
		this.#idle?.cancel();
		this.#duration?.cancel();
		this.#idleMs = 0;
	}

	disarm(): void {
		this.#whole.disarm();
		this.#idle?.disarm();
		this.#duration?.disarm();
		this.#idleMs = 0;
	}
}
