import { ResponseHead } from "../codec/response-head.ts";
import type { ResetReason as RetryReason } from "../filters/retry-policy.ts";
import type { RetryState } from "../filters/retry-state.ts";
import { type ChooseContext, createChooseContext } from "../lb/host-entry.ts";
import type { ClusterRuntime } from "../upstream/cluster-runtime.ts";
import { clusterStat } from "../upstream/cluster-stats.ts";
import type { PoolFailure, ResetReason } from "../upstream/exchange.ts";
import type { RouterState } from "./router.ts";
import type { HttpStream } from "./stream.ts";
import { StreamRetries } from "./stream-retries.ts";
import { type Failure, poolFailures, resetFailures } from "./upstream-failures.ts";
import { UpstreamRequest } from "./upstream-request.ts";

const none: readonly never[] = [];

const isIdempotent = (method: string): boolean => method !== "POST" && method !== "PATCH" && method !== "CONNECT";

/** The attempts of one request, one after another or beside each other, and which of them the client hears. */
export class Attempts {
	/** The newest, or that which answered. */
	current: UpstreamRequest;
	readonly retries: StreamRetries;
	readonly chooseContext: ChooseContext = createChooseContext();
	readonly #router: RouterState;
	readonly #stream: HttpStream;
	/** Those that took too long and may answer all the same (`hedge_on_per_try_timeout`); oldest first. */
	#slow: readonly UpstreamRequest[] = none;
	/** There has been one of those. */
	#hasHedged = false;
	#hasReplayed = false;

	constructor(router: RouterState) {
		const { stream } = router;
		this.#router = router;
		this.#stream = stream;
		this.retries = new StreamRetries(stream);
		this.current = new UpstreamRequest(router, this, stream.response);
	}

	start(): void {
		if (this.current.isUnderWay) this.#stepAside();
		const router = this.#router;
		const stream = this.#stream;
		const { info, request } = stream;
		const { timeouts } = router;
		const attempt = this.current;
		info.attemptCount++;
		const host = attempt.begin(router.cluster as ClusterRuntime, router.priority, this.chooseContext);
		if (host === "noHost") return router.endWithoutHost();
		if (host === "overflow") return this.#fail(attempt, poolFailures.overflow, "");
		info.upstreamHost = host.address;
		info.upstreamHostName = host.host.hostname;
		router.takeHostName(host.host.hostname);
		if (stream.route?.virtualHost.config.includeRequestAttemptCount === true) request.set("x-envoy-attempt-count", String(info.attemptCount));
		stream.trace?.beginAttempt(stream, attempt);
		if (info.attemptCount > 1) timeouts.tell(stream);
		attempt.connect(this.retries.policy?.config.perTryIdleTimeoutMs ?? 0, timeouts.durationMaxMs);
	}

	// ---- answers

	onResponseHead(attempt: UpstreamRequest, isTunnel: boolean, hasBody: boolean): void {
		if (!isTunnel && (this.#retriesResponse(attempt) || this.#followsRedirect(attempt) || this.#passesOver(attempt))) return;
		this.settle(attempt);
		this.#router.acceptResponse(attempt, isTunnel, hasBody);
	}

	/** What has come of this one counts, and of no other. */
	settle(attempt: UpstreamRequest): void {
		if (!this.#hasHedged) return;
		const stream = this.#stream;
		this.#router.waiting.cancel();
		this.retries.end();
		for (const other of [...this.#slow, this.current]) if (other !== attempt) this.#giveUp(other);
		this.#slow = none;
		this.current = attempt;
		attempt.describe();
		stream.answerWith(attempt.response);
	}

	#retriesResponse(attempt: UpstreamRequest): boolean {
		const { response } = attempt;
		const state = this.canReplay && !attempt.isHedged ? this.retries.afterResponse(response, attempt.host) : undefined;
		if (state === undefined) return false;
		this.#router.cluster?.retriedCodes.increment(response.status);
		this.#giveUp(attempt, response.status);
		this.#retryLater(state);
		return true;
	}

	#followsRedirect(attempt: UpstreamRequest): boolean {
		if (!this.#router.followsRedirect(attempt.response, this.canReplay)) return false;
		this.settle(attempt);
		this.#giveUp(attempt, attempt.response.status);
		return true;
	}

	/** An answer that would be tried again, if that could be, is none while another attempt may bring a better one. */
	#passesOver(attempt: UpstreamRequest): boolean {
		const { response } = attempt;
		if (!this.#isHedged(attempt) || this.retries.policy?.retriesResponse(response.status, response) !== true) return false;
		this.#giveUp(attempt, response.status);
		this.#drop(attempt);
		return true;
	}

	// ---- retries

	/** Of the newest, before it is given up. */
	get canReplay(): boolean {
		const { isResponseStarted, replay } = this.#router;
		if (isResponseStarted) return false;
		return replay.isKept || (this.#stream.isRequestDelivered && this.#stream.info.bytesReceived === 0) || !this.current.isHeadSent;
	}

	#retriesReset(attempt: UpstreamRequest, reason: RetryReason): boolean {
		const state = this.canReplay && !attempt.isHedged ? this.retries.afterReset(reason, attempt.isHeadSent, attempt.host) : undefined;
		if (state === undefined) return false;
		attempt.isHeadSent = false;
		attempt.stopTimers();
		this.#stream.info.responseFlags = 0;
		this.#retryLater(state);
		return true;
	}

	#retryLater(state: RetryState): void {
		const { cluster } = this.#router;
		this.chooseContext.avoided = state;
		this.chooseContext.excludedPriorities = state.triedPriorities;
		this.#router.delay(state.backOffMs, () => {
			cluster?.count(clusterStat.upstream_rq_retry);
			this.#router.countApart("upstream_rq_retry");
			cluster?.count(state.isBackOffAsked ? clusterStat.upstream_rq_retry_backoff_ratelimited : clusterStat.upstream_rq_retry_backoff_exponential);
			this.start();
		});
	}

	// ---- attempts that fail

	onPoolFailure(attempt: UpstreamRequest, failure: PoolFailure, transportFailure: string): void {
		// Never from inside `acquire`: the attempt is not set up yet.
		this.#router.delay(0, () => this.#fail(attempt, poolFailures[failure], transportFailure));
	}

	/** `kind`: whether the host has looked at it; a stale connection's may not have. */
	onReset(attempt: UpstreamRequest, reason: ResetReason, kind: "failed" | "stale" | "unread"): void {
		const router = this.#router;
		const stream = this.#stream;
		if (router.isTunnel) {
			attempt.release();
			return router.endTunnel();
		}
		const isNoFailure = kind === "unread" || (kind === "stale" && isIdempotent(stream.request.method));
		if (isNoFailure && !this.#hasReplayed && this.canReplay && !this.#isHedged(attempt)) {
			this.#hasReplayed = true;
			attempt.release();
			stream.info.attemptCount--;
			attempt.isHeadSent = false;
			return router.delay(0, () => this.start());
		}
		if (!router.isResponseStarted) attempt.noteFailure("reset");
		this.#fail(attempt, resetFailures[reason], "");
	}

	#fail(attempt: UpstreamRequest, failure: Failure, transportFailure: string): void {
		const router = this.#router;
		const stream = this.#stream;
		const { info } = stream;
		info.responseFlags |= failure.flag;
		stream.trace?.endAttempt(stream, attempt, 0, failure.words);
		if (router.isResponseStarted) {
			attempt.release();
			return router.breakOff(failure);
		}
		const isRetried = this.#retriesReset(attempt, failure.retry);
		// Only now: a retry budget is a share of what is under way, this attempt included.
		attempt.release();
		if (isRetried) return;
		if (!this.#isHedged(attempt)) return router.endWithFailure(failure, transportFailure);
		info.responseFlags &= ~failure.flag;
		router.countStatus(failure.status);
		attempt.stopTimers();
		this.#drop(attempt);
	}

	// ---- attempts that take too long

	/** `stat`: one of `clusterStat`. */
	onTryTimeout(attempt: UpstreamRequest, stat: number, details: string): void {
		const router = this.#router;
		if (router.isFinished) return;
		if (router.timeouts.hedges) return this.#hedge(attempt);
		router.cluster?.count(stat);
		if (attempt.host !== undefined) attempt.noteFailure("timeout");
		const { canReplay } = this;
		this.#giveUp(attempt);
		if (canReplay && this.#retriesReset(attempt, "perTryTimeout")) return;
		if (!router.isResponseStarted) router.countStatus(router.timeouts.status);
		router.endWithTimeout(details);
	}

	onDurationReached(attempt: UpstreamRequest): void {
		const router = this.#router;
		if (router.isFinished) return;
		router.cluster?.count(clusterStat.upstream_rq_max_duration_reached);
		const { canReplay } = this;
		this.#giveUp(attempt);
		if (canReplay && this.#retriesReset(attempt, "localReset")) return;
		router.endWithDuration();
	}

	/** The request has no time left. */
	timeOut(): void {
		const router = this.#router;
		for (const attempt of [...this.#slow, this.current]) {
			if (!attempt.isUnderWay) continue;
			router.cluster?.count(clusterStat.upstream_rq_timeout);
			if (!router.isResponseStarted && !attempt.hasInterim) {
				attempt.noteFailure("timeout");
				router.countStatus(router.timeouts.status);
			}
			this.#giveUp(attempt);
		}
		this.#slow = none;
	}

	/** A try timeout that costs the attempt nothing: the next begins beside it, and who answers first, answers. */
	#hedge(attempt: UpstreamRequest): void {
		attempt.noteSlow();
		if (attempt.isHedged || !this.canReplay) return;
		const state = this.retries.afterSlowAttempt(attempt.host);
		if (state === undefined) return;
		attempt.isHedged = this.#hasHedged = true;
		this.#retryLater(state);
	}

	#stepAside(): void {
		this.#slow = [...this.#slow, this.current];
		this.current = new UpstreamRequest(this.#router, this, new ResponseHead());
	}

	/** Whether there are attempts beside this one, or will be. */
	#isHedged(attempt: UpstreamRequest): boolean {
		return attempt !== this.current || this.#slow.length > 0 || (attempt.isHedged && this.#router.waiting.isWaiting);
	}

	#drop(attempt: UpstreamRequest): void {
		if (attempt !== this.current) this.#slow = this.#slow.filter((one) => one !== attempt);
		// While a retry waits, the newest is where it goes.
		else if (!this.#router.waiting.isWaiting) {
			this.current = this.#slow.at(-1) as UpstreamRequest;
			this.#slow = this.#slow.slice(0, -1);
		}
	}

	/** `status`: of its answer; 0: none came. */
	#giveUp(attempt: UpstreamRequest, status = 0): void {
		this.#stream.trace?.endAttempt(this.#stream, attempt, status, "");
		attempt.abandon();
		attempt.stopTimers();
	}

	// ---- ends

	/** None is needed any more. */
	cancel(): void {
		for (const slow of this.#slow) this.#giveUp(slow);
		this.#slow = none;
		this.current.abandon();
	}

	finish(): void {
		this.current.cancelTimers();
		this.retries.end();
	}

	dispose(): void {
		this.current.stopTimers();
	}

	reset(): void {
		this.current.reset();
		if (this.current.response !== this.#stream.response) this.current = new UpstreamRequest(this.#router, this, this.#stream.response);
		this.retries.reset();
		this.#hasHedged = this.#hasReplayed = false;
		const context = this.chooseContext;
		context.hash = undefined;
		context.avoided = undefined;
		context.excludedPriorities = none;
		context.destination = "";
		context.override = context.metadata = undefined;
	}
}
