import type { RetryPolicy } from "../../config/retry-policy.ts";
import { envoyHeaderBit } from "../codec/header-block.ts";
import type { ResponseHead } from "../codec/response-head.ts";
import { applyRetryHeaders, type CompiledRetryPolicy, type ResetReason } from "../filters/retry-policy.ts";
import { createRetryState, type RetryState, type RetryVerdict } from "../filters/retry-state.ts";
import type { HostEntry } from "../lb/host-entry.ts";
import { responseFlags } from "../log/response-flags.ts";
import { clusterStat } from "../upstream/cluster-stats.ts";
import type { ClusterRuntime } from "../upstream/cluster-runtime.ts";
import { compiledRetryPolicy } from "./compiled-policies.ts";
import type { HttpStream } from "./stream.ts";

/** Whether one stream's attempts may be followed by another. Most streams never make the state. */
export class StreamRetries {
	readonly #stream: HttpStream;
	#policy: CompiledRetryPolicy | undefined;
	#state: RetryState | undefined;

	constructor(stream: HttpStream) {
		this.#stream = stream;
	}

	get policy(): CompiledRetryPolicy | undefined {
		return this.#policy;
	}

	prepare(config: RetryPolicy | undefined): void {
		const policy = config === undefined ? undefined : compiledRetryPolicy(config);
		const { request } = this.#stream;
		const asked = (request.present & envoyHeaderBit) === 0 ? policy : applyRetryHeaders(policy, request);
		this.#policy = asked?.takesRequest(request) === true ? asked : undefined;
	}

	/** The state by which to go on when this answer is a case for another attempt. */
	afterResponse(response: ResponseHead, host: HostEntry | undefined): RetryState | undefined {
		const { status } = response;
		if (this.#policy === undefined) return undefined;
		// Most answers are no case for a retry: do not even make the state.
		if (this.#state === undefined && !this.#policy.retriesResponse(status, response)) return undefined;
		return this.#judge((state) => state.afterResponse(status, response, host));
	}

	afterReset(reason: ResetReason, isHeadSent: boolean, host: HostEntry | undefined): RetryState | undefined {
		if (this.#policy === undefined) return undefined;
		return this.#judge((state) => state.afterReset(reason, isHeadSent, host));
	}

	/** Beside an attempt that takes too long another may be begun, whatever the policy says of failures. */
	afterSlowAttempt(host: HostEntry | undefined): RetryState | undefined {
		return this.#policy?.hasConditions === true ? this.#judge((state) => state.afterSlowAttempt(host)) : undefined;
	}

	#use(): RetryState {
		const { router, context } = this.#stream;
		const cluster = router.cluster as ClusterRuntime;
		const { priority } = router;
		this.#state ??= createRetryState(
			this.#policy as CompiledRetryPolicy,
			{ words: cluster.words, breakerSlot: cluster.breakerSlot, priority, limits: cluster.limits(priority) },
			context,
		);
		return this.#state;
	}

	#judge(decide: (state: RetryState) => RetryVerdict): RetryState | undefined {
		const { info } = this.#stream;
		const state = this.#use();
		const { retried } = state;
		const verdict = decide(state);
		if (verdict === "retry") return state;
		// As Envoy counts: an end that is no case for another attempt, whatever it is.
		if (verdict === "no" && retried) this.#count("upstream_rq_retry_success");
		if (verdict === "limitExceeded") {
			info.responseFlags |= responseFlags.URX;
			this.#count("upstream_rq_retry_limit_exceeded");
		} else if (verdict === "overflow") {
			info.responseFlags |= responseFlags.UO;
			this.#count("upstream_rq_retry_overflow");
		}
		return undefined;
	}

	#count(stat: "upstream_rq_retry_success" | "upstream_rq_retry_limit_exceeded" | "upstream_rq_retry_overflow"): void {
		const { router } = this.#stream;
		router.cluster?.count(clusterStat[stat]);
		router.countApart(stat);
	}

	end(): void {
		this.#state?.end();
	}

	reset(): void {
		this.#policy = this.#state = undefined;
	}
}
