import type { BreakerLimits } from "../../config/clusters.ts";
import type { RuntimeValues } from "../../config/runtime-values.ts";
import { breakerWord, release, retryBudgetLimit, type SharedWords, tryAcquire } from "../../config/shared-state.ts";
import type { HeadersView } from "../headers/headers-view.ts";
import type { HostEntry } from "../lb/host-entry.ts";
import { isAvoided } from "./avoided-hosts.ts";
import { askedBackOffMs } from "./rate-limited-back-off.ts";
import type { CompiledRetryPolicy, ResetReason } from "./retry-policy.ts";

/**
 * - `no`: not a case for this policy;
 * - `retry`: after `backOffMs`, once;
 * - `limitExceeded`: all attempts used (flag URX, `upstream_rq_retry_limit_exceeded`);
 * - `overflow`: the breaker for retries is open (flag UO, `upstream_rq_retry_overflow`).
 */
export type RetryVerdict = "no" | "retry" | "limitExceeded" | "overflow";

/** Where retries under way are counted; over all workers. */
export interface RetryBreaker {
	readonly words: SharedWords;
	readonly breakerSlot: number;
	readonly priority: "default" | "high";
	readonly limits: BreakerLimits;
}

/**
 * One request's retries. Make it only when the first attempt failed (a request that succeeds at once needs none), ask
 * it after each failed attempt, and `end` it with the request.
 */
export interface RetryState {
	/** Delay before the retry that was just granted. */
	readonly backOffMs: number;
	/** Whether the upstream asked for that delay. */
	readonly isBackOffAsked: boolean;
	/** Whether a retry is to go to another host, if there is one. */
	avoids(entry: HostEntry): boolean;
	/** Priorities to avoid (`previous_priorities`). */
	readonly triedPriorities: readonly number[];
	afterResponse(status: number, head: HeadersView, host: HostEntry | undefined): RetryVerdict;
	afterReset(reason: ResetReason, requestStarted: boolean, host: HostEntry | undefined): RetryVerdict;
	/** The attempt goes on, with another beside it. */
	afterSlowAttempt(host: HostEntry | undefined): RetryVerdict;
	/** True once a retry was granted: a success now counts as `upstream_rq_retry_success`. */
	readonly retried: boolean;
	end(): void;
}

/** Where time and luck come from. `wallMs`: since 1970. */
export interface RetryInputs {
	readonly random: () => number;
	readonly wallMs: () => number;
	readonly runtime: RuntimeValues;
}

export function createRetryState(policy: CompiledRetryPolicy, breaker: RetryBreaker, inputs: RetryInputs): RetryState {
	return new Retries(policy, breaker, inputs);
}

class Retries implements RetryState {
	backOffMs = 0;
	isBackOffAsked = false;
	retried = false;
	readonly #triedHosts: HostEntry[] = [];
	triedPriorities: readonly number[] = [];
	readonly #policy: CompiledRetryPolicy;
	readonly #breaker: RetryBreaker;
	readonly #inputs: RetryInputs;
	#left: number;
	#intervalMs: number;
	readonly #intervalMsMax: number;
	#holdsBreaker = false;
	readonly #attemptedPriorities: number[] = [];

	constructor(policy: CompiledRetryPolicy, breaker: RetryBreaker, inputs: RetryInputs) {
		this.#policy = policy;
		this.#breaker = breaker;
		this.#inputs = inputs;
		this.#left = policy.config.numRetries;
		const { baseMs, isDefault, maxMs } = policy.config.backOff;
		this.#intervalMs = isDefault === true ? inputs.runtime.integer("upstream.base_retry_backoff_ms", baseMs) : baseMs;
		// Ten times the base, where nobody said otherwise.
		this.#intervalMsMax = isDefault === true ? this.#intervalMs * 10 : maxMs;
	}

	afterResponse(status: number, head: HeadersView, host: HostEntry | undefined): RetryVerdict {
		const { config } = this.#policy;
		const verdict = this.#decide(this.#policy.retriesResponse(status, head), host);
		const askedMs = verdict === "retry" && config.rateLimited ? askedBackOffMs(config.rateLimited, head, this.#inputs.wallMs()) : undefined;
		if (askedMs === undefined) return verdict;
		this.isBackOffAsked = true;
		// All who were told the same time are not to come back at once.
		this.backOffMs = askedMs + (this.#inputs.random() * askedMs) / 2;
		return verdict;
	}

	afterReset(reason: ResetReason, requestStarted: boolean, host: HostEntry | undefined): RetryVerdict {
		return this.#decide(this.#policy.retriesReset(reason, requestStarted), host);
	}

	afterSlowAttempt(host: HostEntry | undefined): RetryVerdict {
		return this.#decide(true, host);
	}

	#decide(wanted: boolean, host: HostEntry | undefined): RetryVerdict {
		this.#releaseBreaker();
		if (!wanted) return "no";
		if (this.#left <= 0) return "limitExceeded";
		const { words, breakerSlot, priority, limits } = this.#breaker;
		const { retryBudget, retriesMax } = limits;
		const limit = retryBudget ? retryBudgetLimit(words, breakerSlot, priority, retryBudget.percent, retryBudget.concurrencyMin) : retriesMax;
		if (!tryAcquire(words, breakerWord(breakerSlot, priority, "retries"), limit)) return "overflow";
		this.#holdsBreaker = true;
		if (!this.#isRetryEnabled()) {
			this.#releaseBreaker();
			return "no";
		}
		this.#left--;
		this.retried = true;
		this.#noteHost(host);
		this.isBackOffAsked = false;
		this.backOffMs = this.#inputs.random() * this.#intervalMs;
		this.#intervalMs = Math.min(this.#intervalMs * 2, this.#intervalMsMax);
		return "retry";
	}

	#isRetryEnabled(): boolean {
		const { random, runtime } = this.#inputs;
		return runtime.isEmpty || random() * 100 < runtime.percent("upstream.use_retry", 100);
	}

	#noteHost(host: HostEntry | undefined): void {
		if (!host) return;
		const { avoids, previousPriorities } = this.#policy.config;
		if (avoids.previous) this.#triedHosts.push(host);
		if (!previousPriorities) return;
		this.#attemptedPriorities.push(host.priority);
		if (this.#attemptedPriorities.length % Math.max(previousPriorities.updateFrequency, 1) === 0)
			this.triedPriorities = [...new Set(this.#attemptedPriorities)];
	}

	avoids(entry: HostEntry): boolean {
		return isAvoided(this.#policy.config.avoids, entry, this.#triedHosts);
	}

	#releaseBreaker(): void {
		if (!this.#holdsBreaker) return;
		this.#holdsBreaker = false;
		release(this.#breaker.words, breakerWord(this.#breaker.breakerSlot, this.#breaker.priority, "retries"));
	}

	end(): void {
		this.#releaseBreaker();
	}
}
