import { envoyHeaderBit } from "../codec/header-block.ts";
import type { ResetReason as RetryReason } from "../filters/retry-policy.ts";
import type { RetryState } from "../filters/retry-state.ts";
import { type ChooseContext, createChooseContext, type HostEntry } from "../lb/host-entry.ts";
import { responseFlags } from "../log/response-flags.ts";
import type { ClusterChoice, CompiledForward } from "../match/route-table.ts";
import { Timer } from "../transport/timers.ts";
import type { ClusterRuntime } from "../upstream/cluster-runtime.ts";
import { clusterStat } from "../upstream/cluster-stats.ts";
import type { PoolFailure, ResetReason } from "../upstream/exchange.ts";
import { pauseReasons } from "./downstream.ts";
import { prepareChoice, prepareRequest, prepareResponse } from "./forwarding.ts";
import { httpStat } from "./http-stats.ts";
import { sendLocalReply } from "./local-reply.ts";
import { type Mirror, startMirrors } from "./mirror.ts";
import { RequestReplay } from "./request-replay.ts";
import { RequestTimeouts } from "./request-timeouts.ts";
import type { HttpStream } from "./stream.ts";
import { StreamDelay } from "./stream-delay.ts";
import { StreamRetries } from "./stream-retries.ts";
import { type Failure, poolFailures, resetFailures, resetReply } from "./upstream-failures.ts";
import { UpstreamRequest } from "./upstream-request.ts";

/** Without a retry policy, bodies are only kept for a pooled connection that turns out to be dead. */
const replayBytesMaxDefault = 64 * 1024;

const none: readonly never[] = [];

const isIdempotent = (method: string): boolean => method !== "POST" && method !== "PATCH" && method !== "CONNECT";

/** The forwarding of one stream: its attempts one after another, and what comes of them. */
export class RouterState {
	readonly stream: HttpStream;
	/** Where the route leads; undefined before it does. */
	cluster: ClusterRuntime | undefined;
	readonly timeouts = new RequestTimeouts();
	/** The route's timeout has run out. */
	hasTimedOut = false;
	readonly replay = new RequestReplay();
	isTunnel = false;
	isResponseStarted = false;
	readonly #attempt: UpstreamRequest;
	readonly #retries: StreamRetries;
	readonly #chooseContext: ChooseContext = createChooseContext();
	#forward: CompiledForward | undefined;
	#mirrors: readonly Mirror[] = none;
	#setCookies: readonly string[] = none;
	#hasReplayed = false;
	/** When the request was complete; only kept where its cluster tracks that. */
	#deliveredAt = 0;
	#isFinished = true;
	readonly #timer: Timer;
	readonly #delay: StreamDelay;

	constructor(stream: HttpStream) {
		this.stream = stream;
		this.#attempt = new UpstreamRequest(this, stream.response);
		this.#retries = new StreamRetries(stream);
		const { wheel } = stream.context;
		this.#timer = new Timer(wheel, () => this.#onTimeout());
		this.#delay = new StreamDelay(wheel);
	}

	get host(): HostEntry | undefined {
		return this.#attempt.host;
	}
	get priority(): "default" | "high" {
		return this.#forward?.config.priority ?? "default";
	}

	// ---- start

	/** Waits, then goes on unless the stream ended meanwhile. Used for faults and back-off. */
	delay(ms: number, run: () => void, onCancelled?: () => void): void {
		this.#isFinished = false;
		this.#delay.start(ms, run, onCancelled);
	}

	start(forward: CompiledForward, choice: ClusterChoice): void {
		const { stream, timeouts } = this;
		const { config } = forward;
		this.#isFinished = false;
		this.#forward = forward;
		const { cluster } = stream;
		if (cluster === undefined) {
			stream.manager.count(httpStat.no_cluster);
			sendLocalReply(stream, { status: config.clusterNotFoundStatus, body: "", flags: responseFlags.NC, details: "cluster_not_found" });
			return;
		}
		this.cluster = cluster;
		timeouts.take(stream, config, cluster);
		this.#setCookies = prepareChoice(stream, cluster, forward, this.#chooseContext);
		this.#chooseContext.override = stream.hostOverride;
		this.#chooseContext.metadata = choice.metadata;
		prepareRequest(stream, cluster, forward, choice);
		this.#prepareRetries(forward);
		timeouts.begin(stream.context.nowMs(), this.#retries.policy?.config.perTryTimeoutMs);
		if (config.idleTimeoutMs !== undefined) stream.setIdleTimeout(config.idleTimeoutMs);
		if (config.maxStreamDurationMs !== undefined) stream.setMaxDuration(config.maxStreamDurationMs);
		// What upgrades does not end before it is answered.
		if (stream.isRequestDelivered || stream.upgrade !== "") this.#armTimer();
		timeouts.tell(stream);
		this.#mirrors = startMirrors(stream, forward);
		this.#startAttempt();
	}

	#prepareRetries(forward: CompiledForward): void {
		const { stream, replay } = this;
		this.#retries.prepare(forward.config.retry ?? stream.route?.virtualHost.config.retry);
		const { policy } = this.#retries;
		replay.bytesMax = policy === undefined ? replayBytesMaxDefault : stream.manager.bufferBytesMax;
		replay.isKept = !stream.isRequestDelivered && stream.upgrade === "";
		this.#chooseContext.attemptsMax = policy?.config.hostSelectionAttemptsMax ?? 0;
	}

	#startAttempt(): void {
		const { stream, timeouts } = this;
		const { info, request } = stream;
		const attempt = this.#attempt;
		info.attemptCount++;
		const host = attempt.begin(this.cluster as ClusterRuntime, this.priority, this.#chooseContext);
		if (host === "noHost") return this.#endWithReply(503, "no healthy upstream", responseFlags.UH, "no_healthy_upstream");
		if (host === "overflow") return this.#fail(poolFailures.overflow, "");
		info.upstreamHost = host.address;
		info.upstreamHostName = host.host.hostname;
		if (this.#forward?.config.hostRewrite?.kind === "auto" && host.host.hostname !== "") request.authority = host.host.hostname;
		if (stream.route?.virtualHost.config.includeRequestAttemptCount === true) request.set("x-envoy-attempt-count", String(info.attemptCount));
		stream.trace?.beginAttempt(stream);
		if (info.attemptCount > 1) timeouts.tell(stream);
		attempt.connect(timeouts.attemptMs, this.#retries.policy?.config.perTryIdleTimeoutMs ?? 0, timeouts.durationMaxMs);
	}

	// ---- the request's body

	onRequestBody(bytes: Buffer, start: number, end: number): void {
		if (this.#isFinished && !this.isTunnel) return;
		for (const mirror of this.#mirrors) mirror.onRequestBody(bytes, start, end);
		const attempt = this.#attempt;
		if (this.isTunnel) return attempt.sendTunnelBytes(bytes, start, end);
		const { takesBody } = attempt;
		if (this.replay.isKept || !takesBody) this.#keep(bytes, start, end);
		if (takesBody) attempt.sendBody(bytes, start, end);
		else if (this.replay.isFull) this.stream.downstream.pause(pauseReasons.waitingForHost);
	}

	#keep(bytes: Buffer, start: number, end: number): void {
		const wasKept = this.replay.isKept;
		this.replay.keep(bytes, start, end, this.#attempt.isHeadSent);
		if (wasKept && !this.replay.isKept && this.#retries.policy !== undefined) this.cluster?.count(clusterStat.retry_or_shadow_abandoned);
	}

	onRequestTrailer(name: string, value: string): void {
		this.replay.trailers.push(name, value);
	}

	onRequestEnd(): void {
		for (const mirror of this.#mirrors) mirror.onRequestEnd();
		if (this.#isFinished) return;
		if (this.#forward !== undefined) this.#armTimer();
		if (this.#attempt.isHeadSent) this.#attempt.sendEnd(this.replay.trailers);
	}

	/** The client half-closed its side of the tunnel. */
	onTunnelEnd(): void {
		this.#attempt.endTunnel();
	}

	pauseUpstream(): void {
		this.#attempt.pause();
	}

	resumeUpstream(): void {
		this.#attempt.resume();
	}

	// ---- the response

	onInterim({ response }: UpstreamRequest): "interim" {
		const { stream } = this;
		this.#countStatus(response.status);
		if (stream.manager.config.proxy100Continue) stream.sendInterim();
		return "interim";
	}

	onResponseHead(attempt: UpstreamRequest, isTunnel: boolean, hasBody: boolean): void {
		const { stream } = this;
		const { status } = attempt.response;
		if (!isTunnel && this.#retriesResponse(attempt, status)) return;
		this.isResponseStarted = true;
		this.replay.isKept = false;
		attempt.accept(isTunnel);
		this.#countStatus(status);
		if (!isTunnel) return stream.startUpstreamResponse(hasBody);
		this.isTunnel = true;
		this.#timer.disarm();
		stream.startTunnel();
	}

	/** Headers of the route's and the router's own, on every response, local ones included. */
	finishResponseHead(): void {
		// As in Envoy: what is still being sent is not the host's time.
		const isTimed = this.isResponseStarted && this.stream.isRequestComplete && this.stream.upgrade === "";
		const serviceTimeMs = isTimed ? Math.max(0, this.stream.info.upstreamFirstReceivedAt - this.#attempt.startedAt) : -1;
		prepareResponse(this.stream, this.#setCookies, serviceTimeMs);
	}

	onResponseEnd(attempt: UpstreamRequest): void {
		const { cluster, stream } = this;
		const { context, info } = stream;
		info.upstreamLastReceivedAt = context.nowMs();
		this.#isFinished = true;
		stream.trace?.endAttempt(stream, attempt.response.status, "");
		const requestMs = info.upstreamLastReceivedAt - attempt.startedAt;
		cluster?.requestMs.record(requestMs);
		cluster?.origin(this.#isInternal).requestMs.record(requestMs);
		if (cluster?.tracking !== undefined) this.#trackEnd();
		attempt.release();
		stream.endResponse();
	}

	get #isInternal(): boolean {
		const { request } = this.stream;
		return (request.present & envoyHeaderBit) !== 0 && request.get("x-envoy-internal") === "true";
	}

	#countStatus(status: number): void {
		const { cluster } = this;
		if (cluster === undefined) return;
		cluster.responseCodes.increment(status);
		cluster.origin(this.#isInternal).codes.increment(status);
	}

	// ---- retries

	get #canReplay(): boolean {
		if (this.isResponseStarted) return false;
		return this.replay.isKept || (this.stream.isRequestDelivered && this.stream.info.bytesReceived === 0) || !this.#attempt.isHeadSent;
	}

	#retriesResponse(attempt: UpstreamRequest, status: number): boolean {
		const state = this.#canReplay ? this.#retries.afterResponse(status, attempt.host) : undefined;
		if (state === undefined) return false;
		this.cluster?.retriedCodes.increment(status);
		this.stream.trace?.endAttempt(this.stream, status, "");
		attempt.abandon();
		this.#retryLater(state);
		return true;
	}

	#retriesReset(reason: RetryReason): boolean {
		const attempt = this.#attempt;
		const state = this.#canReplay ? this.#retries.afterReset(reason, attempt.isHeadSent, attempt.host) : undefined;
		if (state === undefined) return false;
		attempt.isHeadSent = false;
		this.stream.info.responseFlags = 0;
		this.#retryLater(state);
		return true;
	}

	#retryLater(state: RetryState): void {
		this.#chooseContext.avoided = state;
		this.#chooseContext.excludedPriorities = state.triedPriorities;
		this.#attempt.stopTimers();
		this.delay(state.backOffMs, () => {
			this.cluster?.count(clusterStat.upstream_rq_retry);
			this.cluster?.count(state.isBackOffAsked ? clusterStat.upstream_rq_retry_backoff_ratelimited : clusterStat.upstream_rq_retry_backoff_exponential);
			this.#startAttempt();
		});
	}

	// ---- attempts that fail

	onPoolFailure(failure: PoolFailure, transportFailure: string): void {
		// Never from inside `acquire`: the attempt is not set up yet.
		this.delay(0, () => this.#fail(poolFailures[failure], transportFailure));
	}

	/** `kind`: whether the host has looked at it; a stale connection's may not have. */
	onReset(attempt: UpstreamRequest, reason: ResetReason, kind: "failed" | "stale" | "unread"): void {
		const { stream } = this;
		if (this.isTunnel) {
			attempt.release();
			this.#isFinished = true;
			stream.endResponse();
			return;
		}
		const isNoFailure = kind === "unread" || (kind === "stale" && isIdempotent(stream.request.method));
		if (isNoFailure && !this.#hasReplayed && this.#canReplay) {
			this.#hasReplayed = true;
			attempt.release();
			stream.info.attemptCount--;
			attempt.isHeadSent = false;
			this.delay(0, () => this.#startAttempt());
			return;
		}
		if (!this.isResponseStarted) attempt.noteFailure("reset");
		this.#fail(resetFailures[reason], "");
	}

	#fail(failure: Failure, transportFailure: string): void {
		const { stream } = this;
		const attempt = this.#attempt;
		stream.info.responseFlags |= failure.flag;
		stream.trace?.endAttempt(stream, 0, failure.words);
		if (this.isResponseStarted) {
			attempt.release();
			if (stream.isGrpcRequest) stream.manager.count(httpStat.rq_reset_after_downstream_response_started);
			stream.info.responseCodeDetails = `upstream_reset_after_response_started{${failure.words.replaceAll(" ", "_")}}`;
			stream.breakOff();
			return;
		}
		const isRetried = this.#retriesReset(failure.retry);
		// Only now: a retry budget is a share of what is under way, this attempt included.
		attempt.release();
		if (isRetried) return;
		this.#isFinished = true;
		this.#countStatus(failure.status);
		sendLocalReply(stream, resetReply(failure, transportFailure, stream.info.attemptCount > 1));
	}

	#endWithReply(status: number, body: string, flags: number, details: string): void {
		this.#isFinished = true;
		if (!this.isResponseStarted) this.#countStatus(status);
		sendLocalReply(this.stream, { status, body, flags, details });
	}

	// ---- timeouts

	#armTimer(): void {
		if (this.cluster?.tracking !== undefined) this.#deliveredAt = this.stream.context.nowMs();
		const { wholeMs } = this.timeouts;
		if (wholeMs > 0) this.#timer.arm(wholeMs);
	}

	#onTimeout(): void {
		if (this.#isFinished) return;
		const attempt = this.#attempt;
		this.hasTimedOut = true;
		this.cluster?.count(clusterStat.upstream_rq_timeout);
		if (attempt.host !== undefined && !this.isResponseStarted) attempt.noteFailure("timeout");
		this.stream.trace?.endAttempt(this.stream, 0, "");
		attempt.abandon();
		this.#endWithTimeout("response_timeout");
	}

	/** `stat`: one of `clusterStat`. */
	onTryTimeout(attempt: UpstreamRequest, stat: number, details: string): void {
		if (this.#isFinished) return;
		this.cluster?.count(stat);
		if (attempt.host !== undefined) attempt.noteFailure("timeout");
		this.stream.trace?.endAttempt(this.stream, 0, "");
		attempt.abandon();
		if (this.#retriesReset("perTryTimeout")) return;
		this.#endWithTimeout(details);
	}

	onDurationReached(attempt: UpstreamRequest): void {
		if (this.#isFinished) return;
		this.cluster?.count(clusterStat.upstream_rq_max_duration_reached);
		this.stream.trace?.endAttempt(this.stream, 0, "");
		attempt.abandon();
		if (this.#retriesReset("localReset")) return;
		this.#isFinished = true;
		const details = "upstream_max_stream_duration_reached";
		sendLocalReply(this.stream, { status: 504, body: "upstream max stream duration reached", flags: responseFlags.UMSDR, details });
	}

	#endWithTimeout(details: string): void {
		if (this.cluster?.tracking !== undefined) this.#trackEnd();
		const { status } = this.timeouts;
		this.#endWithReply(status, status === 204 ? "" : "upstream request timeout", responseFlags.UT, details);
	}

	/** The request has its answer, or will have none in time. */
	#trackEnd(): void {
		this.cluster?.tracking?.requestEnds(this.stream.context.nowMs() - this.#deliveredAt, this.timeouts.wholeMs);
	}

	// ---- ends

	/** The stream needs no upstream any more. */
	cancel(): void {
		this.#attempt.abandon();
		this.#isFinished = true;
		this.#delay.cancel();
	}

	finish(): void {
		this.cancel();
		this.#timer.cancel();
		this.#attempt.cancelTimers();
		this.#retries.end();
		this.cluster?.count(clusterStat.upstream_cx_tx_bytes_total, this.stream.info.upstreamWireBytesSent);
		// A request that broke off is no request: its copy is not sent.
		if (!this.stream.isRequestDelivered) for (const mirror of this.#mirrors) mirror.cancel();
		this.stream.downstream.resume(pauseReasons.upstreamBlocked | pauseReasons.waitingForHost);
	}

	dispose(): void {
		this.#timer.disarm();
		this.#attempt.stopTimers();
		this.#delay.dispose();
	}

	reset(): void {
		this.#attempt.reset();
		this.replay.reset();
		this.#retries.reset();
		this.#forward = this.cluster = undefined;
		this.isTunnel = this.hasTimedOut = this.isResponseStarted = this.#hasReplayed = false;
		this.#isFinished = true;
		this.#mirrors = none;
		this.#setCookies = none;
		const context = this.#chooseContext;
		context.hash = undefined;
		context.avoided = undefined;
		context.excludedPriorities = none;
		context.destination = "";
		context.override = context.metadata = undefined;
	}
}
