/**
 * Timeouts for requests and connections: arming one is two pointer writes, not a system timer. Delays from
 * `wheelDelayMsMin` on fire up to one slot late; shorter ones use a real timer and are exact.
 */
const slotMs = 250;
const slots = 512;
const wheelDelayMsMin = 2000;

export interface TimerWheel {
	readonly nowMs: () => number;
	/** Stops everything; timers armed later do nothing. */
	close(): void;
	/** For Timer only. */
	insert(timer: Timer): void;
	readonly run: (timer: Timer) => void;
}

/**
 * Make it once per owner and arm it again and again. One that is armed for later, or cancelled, stays in its slot until
 * that comes round: most are never due.
 */
export class Timer {
	prev: Timer | undefined;
	next: Timer | undefined;
	slot = -1;
	/** When the slot it is in is emptied. */
	slotMs = 0;
	/** Infinity: not armed. */
	deadlineMs = Number.POSITIVE_INFINITY;
	readonly fire: () => void;
	readonly #wheel: TimerWheel;
	#real: NodeJS.Timeout | undefined;

	constructor(wheel: TimerWheel, fire: () => void) {
		this.#wheel = wheel;
		this.fire = fire;
	}

	get isArmed(): boolean {
		return this.deadlineMs !== Number.POSITIVE_INFINITY || this.#real !== undefined;
	}

	/** Replaces an earlier deadline. 0: none. */
	arm(delayMs: number): void {
		if (delayMs < wheelDelayMsMin) return this.#armExactly(delayMs);
		if (this.#real !== undefined) this.#clearReal();
		const deadlineMs = this.#wheel.nowMs() + delayMs;
		this.deadlineMs = deadlineMs;
		if (this.slot !== -1) {
			if (deadlineMs > this.slotMs - slotMs) return;
			this.unlink();
		}
		this.#wheel.insert(this);
	}

	#armExactly(delayMs: number): void {
		this.disarm();
		if (delayMs <= 0) return;
		this.#real = setTimeout(() => {
			this.#real = undefined;
			this.#wheel.run(this);
		}, delayMs);
	}

	#clearReal(): void {
		clearTimeout(this.#real);
		this.#real = undefined;
	}

	/** Not to fire; the wheel may hold on to it, and to its owner, for a while. For timers that are armed again soon. */
	cancel(): void {
		this.deadlineMs = Number.POSITIVE_INFINITY;
		if (this.#real !== undefined) this.#clearReal();
	}

	/** Not to fire, and forgotten. */
	disarm(): void {
		this.cancel();
		if (this.slot !== -1) this.unlink();
	}

	/** For the wheel only. */
	unlink(): void {
		(this.prev as Timer).next = this.next;
		if (this.next !== undefined) this.next.prev = this.prev;
		this.prev = this.next = undefined;
		this.slot = -1;
	}
}

/** `run` wraps each firing (error guard, flush of output). `nowMs`: a cheaper clock for arming. */
export function createTimerWheel(clockMs: () => number, run: (fire: () => void) => void, nowMs: () => number = clockMs): TimerWheel {
	const heads: Timer[] = [];
	let tick = Math.floor(clockMs() / slotMs);
	let interval: NodeJS.Timeout | undefined;
	let isClosed = false;
	const wheel: TimerWheel = {
		nowMs,
		close() {
			isClosed = true;
			if (interval !== undefined) clearInterval(interval);
		},
		insert(timer) {
			if (isClosed) return;
			// Never into the slot that is being emptied, and at most once around: `expire` sends early ones around again.
			const due = Math.max(Math.ceil(timer.deadlineMs / slotMs), tick + 1);
			const at = Math.min(due, tick + slots - 1);
			const slot = at % slots;
			timer.slotMs = at * slotMs;
			const head = heads[slot] as Timer;
			timer.slot = slot;
			timer.prev = head;
			timer.next = head.next;
			if (head.next !== undefined) head.next.prev = timer;
			head.next = timer;
		},
		run: (timer) => run(timer.fire),
	};
	// Firing may disarm or arm others, this slot's included; what is armed now never lands in this slot.
	const expire = (head: Timer, now: number) => {
		for (let timer = head.next; timer !== undefined; timer = head.next) {
			timer.unlink();
			if (timer.deadlineMs <= now) {
				timer.deadlineMs = Number.POSITIVE_INFINITY;
				run(timer.fire);
			} else if (timer.deadlineMs !== Number.POSITIVE_INFINITY) wheel.insert(timer);
		}
	};
	for (let i = 0; i < slots; i++) heads.push(new Timer(wheel, () => {}));
	interval = setInterval(() => {
		const now = clockMs();
		const last = Math.floor(now / slotMs);
		while (tick < last) {
			tick++;
			expire(heads[tick % slots] as Timer, now);
		}
	}, slotMs);
	interval.unref();
	return wheel;
}
