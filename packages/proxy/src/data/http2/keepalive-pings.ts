import type { Http2Keepalive } from "../../config/http2-options.ts";
import { Timer, type TimerWheel } from "../transport/timers.ts";
import type { Http2Session } from "./session.ts";

interface Surroundings {
	readonly wheel: TimerWheel;
	readonly nowMs: () => number;
	readonly random: () => number;
}

/** Says that the peer is gone before its silence does (`connection_keepalive`). */
export class KeepalivePings {
	readonly #config: Http2Keepalive;
	readonly #session: Http2Session;
	readonly #around: Surroundings;
	readonly #interval: Timer;
	readonly #timeout: Timer;
	readonly #payload = Buffer.alloc(8);
	#activeAt: number;
	#isAwaited = false;

	constructor(config: Http2Keepalive, session: Http2Session, around: Surroundings, onDead: () => void) {
		this.#config = config;
		this.#session = session;
		this.#around = around;
		this.#activeAt = around.nowMs();
		this.#interval = new Timer(around.wheel, () => this.#send());
		this.#timeout = new Timer(around.wheel, onDead);
		this.#armInterval();
	}

	#armInterval(): void {
		const { intervalMs, jitterPercent } = this.#config;
		if (intervalMs > 0) this.#interval.arm(intervalMs + this.#around.random() * intervalMs * (jitterPercent / 100));
	}

	#send(): void {
		if (this.#isAwaited || this.#session.isFailed) return;
		this.#isAwaited = true;
		this.#payload.writeUInt32BE((this.#payload.readUInt32BE(4) + 1) >>> 0, 4);
		this.#session.ping(this.#payload);
		this.#timeout.arm(this.#config.timeoutMs);
	}

	/** After a long silence the peer is asked whether it is there. */
	onRequest(): void {
		const { idleIntervalMs } = this.#config;
		const now = this.#around.nowMs();
		if (idleIntervalMs > 0 && now - this.#activeAt >= idleIntervalMs) this.#send();
		this.#activeAt = now;
	}

	onPong(): void {
		this.#isAwaited = false;
		this.#activeAt = this.#around.nowMs();
		this.#timeout.disarm();
		this.#armInterval();
	}

	stop(): void {
		this.#isAwaited = true;
		this.#interval.disarm();
		this.#timeout.disarm();
	}
}
