import type { OverloadState } from "../overload/overload-state.ts";
import type { CompiledManager } from "./connection-manager.ts";
import { httpStat } from "./http-stats.ts";
import { Timer } from "../transport/timers.ts";

/** How long a connection of a replaced listener may stay silent. */
const drainIdleMs = 60_000;

/**
 * The clocks of one HTTP/1 client connection: how long it may be silent, a head may take, its end may take; and how old it
 * may become. But for the last there is one at a time.
 */
export class Http1Timers {
	readonly #manager: CompiledManager;
	readonly #timer: Timer;
	readonly #ageTimer: Timer;
	/** Responses say so from now on. */
	isTooOld = false;
	/** Only kept where there is an overload manager. */
	#idleSince = 0;
	/** A head has begun, and its timeout runs. */
	#isAwaitingHead = false;

	/** `onOld`: the connection is too old, and has had time to be told. */
	constructor(manager: CompiledManager, onDue: () => void, onOld: () => void) {
		this.#manager = manager;
		const { wheel } = manager.context;
		this.#timer = new Timer(wheel, onDue);
		this.#ageTimer = new Timer(wheel, () => (this.isTooOld ? onOld() : this.#growOld()));
		this.armIdle();
		const { maxConnectionDurationMs } = manager.config;
		if (maxConnectionDurationMs > 0) this.#ageTimer.arm(maxConnectionDurationMs);
	}

	/** As Envoy does it: after the drain timeout a connection that has stayed quiet goes. */
	#growOld(): void {
		const manager = this.#manager;
		this.isTooOld = true;
		manager.count(httpStat.downstream_cx_max_duration_reached);
		this.#ageTimer.arm(Math.max(manager.config.drainTimeoutMs, 1));
	}

	armIdle(): void {
		const { bypassesOverload, config, context } = this.#manager;
		const { idleTimeoutMs } = config;
		const { overload } = context;
		if (overload === undefined) return this.#timer.arm(idleTimeoutMs);
		this.#idleSince = context.nowMs();
		this.#timer.arm(bypassesOverload ? idleTimeoutMs : overload.scale("connectionIdle", idleTimeoutMs));
	}

	/** Of a silent connection: its timeout may have become shorter, or longer again. */
	rescaleIdle(overload: OverloadState): void {
		const { config, context } = this.#manager;
		if (config.idleTimeoutMs === 0) return;
		this.#timer.arm(Math.max(1, this.#idleSince + overload.scale("connectionIdle", config.idleTimeoutMs) - context.nowMs()));
	}

	/** From the first byte of a head on both of these run, and no later byte puts them off; as in Envoy, where the stream begins there. */
	awaitHead(): void {
		if (this.#isAwaitingHead) return;
		this.#isAwaitingHead = true;
		const { requestHeadersTimeoutMs, requestTimeoutMs, streamIdleTimeoutMs } = this.#manager.config;
		const timeoutMs = Math.min(...[requestHeadersTimeoutMs, requestTimeoutMs, streamIdleTimeoutMs].map((ms) => ms || Number.POSITIVE_INFINITY));
		if (timeoutMs < Number.POSITIVE_INFINITY) this.#timer.arm(timeoutMs);
	}

	/** The head is there. */
	onHead(): void {
		this.#timer.cancel();
		this.#isAwaitingHead = false;
	}

	/** There is none that can be used. */
	onMalformed(): void {
		this.#timer.disarm();
	}

	/** The client has that long to read the last of it. */
	armClose(): void {
		const { delayedCloseTimeoutMs } = this.#manager.config;
		this.#timer.arm(delayedCloseTimeoutMs > 0 ? delayedCloseTimeoutMs : 1);
	}

	/** The listener goes away: whoever says nothing for so long is not about to. */
	armDrain(): void {
		this.#timer.arm(Math.min(this.#manager.config.idleTimeoutMs || drainIdleMs, drainIdleMs));
	}

	dispose(): void {
		this.#timer.disarm();
		this.#ageTimer.disarm();
	}
}
