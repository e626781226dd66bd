import { isGrpcServerError } from "../headers/grpc-status.ts";
import { envoyHeaderBit } from "../codec/header-block.ts";
import type { ResponseHead } from "../codec/response-head.ts";
import type { ResetReason as RetryReason } from "../filters/retry-policy.ts";
import type { RetryState } from "../filters/retry-state.ts";
import { type ChooseContext, createChooseContext, type HostEntry } from "../lb/host-entry.ts";
import { responseFlags } from "../log/response-flags.ts";
import type { ClusterChoice, CompiledForward } from "../match/route-table.ts";
import { upstreamTlsInfo } from "../tls/upstream-tls.ts";
import { Timer } from "../transport/timers.ts";
import type { ClusterRuntime } from "../upstream/cluster-runtime.ts";
import { clusterStat } from "../upstream/cluster-stats.ts";
import type { PoolClient, PoolFailure, ResetReason, UpstreamClient, UpstreamExchange } from "../upstream/exchange.ts";
import { Attempt } from "./attempt.ts";
import { AttemptTimers } from "./attempt-timers.ts";
import { pauseReasons } from "./downstream.ts";
import { prepareChoice, prepareRequest, prepareResponse } from "./forwarding.ts";
import { nothingAsked, takeTimeoutHeaders } from "./asked-timeouts.ts";
import { resolveTimeoutMs } from "./grpc-timeout.ts";
import { httpStat } from "./http-stats.ts";
import { sendLocalReply } from "./local-reply.ts";
import { type Mirror, startMirrors } from "./mirror.ts";
import { RequestReplay } from "./request-replay.ts";
import type { HttpStream } from "./stream.ts";
import { StreamRetries } from "./stream-retries.ts";
import { type Failure, poolFailures, resetFailures, resetReply } from "./upstream-failures.ts";

/** Without a retry policy, bodies are only kept for a pooled connection that turns out to be dead. */
const replayBytesMaxDefault = 64 * 1024;

const none: readonly never[] = [];
/** What a reset of a stream is counted as; a refused one is as good as none. */
const resetStats: Readonly<Partial<Record<ResetReason, number>>> = {
	remoteReset: clusterStat.upstream_rq_rx_reset,
	protocolError: clusterStat.upstream_rq_tx_reset,
	localReset: clusterStat.upstream_rq_pending_failure_eject,
	connectionTermination: clusterStat.upstream_rq_pending_failure_eject,
};

const isIdempotent = (method: string): boolean => method !== "POST" && method !== "PATCH" && method !== "CONNECT";

/** The forwarding of one stream: its attempts one after another, their timeouts, and what comes of them. */
export class RouterState implements UpstreamClient, PoolClient {
	readonly stream: HttpStream;
	readonly response: ResponseHead;
	isTunnel = false;
	readonly #attempt = new Attempt();
	readonly #replay = new RequestReplay();
	readonly #retries: StreamRetries;
	readonly #chooseContext: ChooseContext = createChooseContext();
	#forward: CompiledForward | undefined;
	#mirrors: readonly Mirror[] = none;
	#setCookies: readonly string[] = none;
	/** An answer of gRPC whose status has not come. */
	#isOutcomeOpen = false;
	#hasReplayed = false;
	/** The route's timeout has run out. */
	#hasTimedOut = false;
	/** When the request was complete; only kept where its cluster tracks that. */
	#deliveredAt = 0;
	#isHeadSent = false;
	#isResponseStarted = false;
	#isFinished = true;
	/** 0: none. */
	#timeoutMs = 0;
	#startedAt = 0;
	/** What the caller asked for; undefined: the policy's. */
	#perTryTimeoutMs: number | undefined;
	/** Of an attempt; 0: none. */
	#durationMaxMs = 0;
	#timeoutStatus: 204 | 504 = 504;
	readonly #routeTimer: Timer;
	readonly #tryTimers: AttemptTimers;
	readonly #delayTimer: Timer;
	#delayed: (() => void) | undefined;
	#onDelayCancelled: (() => void) | undefined;

	constructor(stream: HttpStream) {
		this.stream = stream;
		this.response = stream.response;
		this.#retries = new StreamRetries(stream);
		const { wheel } = stream.context;
		this.#routeTimer = new Timer(wheel, () => this.#onRouteTimeout());
		this.#tryTimers = new AttemptTimers(
			wheel,
			() => this.#onTryTimeout(clusterStat.upstream_rq_per_try_timeout, "upstream_per_try_timeout"),
			() => this.#onTryTimeout(clusterStat.upstream_rq_per_try_idle_timeout, "upstream_per_try_idle_timeout"),
			() => this.#onDurationReached(),
		);
		this.#delayTimer = new Timer(wheel, () => {
			const run = this.#delayed;
			this.#delayed = this.#onDelayCancelled = undefined;
			run?.();
		});
	}

	get isHead(): boolean {
		return this.stream.isHead;
	}
	get cluster(): ClusterRuntime | undefined {
		return this.#attempt.cluster;
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
		this.#delayed = run;
		this.#onDelayCancelled = onCancelled;
		this.#delayTimer.arm(Math.max(ms, 1));
	}

	start(forward: CompiledForward, choice: ClusterChoice): void {
		const { stream } = this;
		const { config } = forward;
		this.#isFinished = false;
		this.#forward = forward;
		const { cluster } = stream;
		if (cluster === undefined) {
			stream.manager.count(httpStat.no_cluster);
			sendLocalReply(stream, { status: config.clusterNotFoundStatus, body: "", flags: responseFlags.NC, details: "cluster_not_found" });
			return;
		}
		this.#attempt.cluster = cluster;
		const asked = (stream.request.present & envoyHeaderBit) === 0 ? nothingAsked : takeTimeoutHeaders(stream.request);
		this.#timeoutMs = asked.timeoutMs ?? resolveTimeoutMs(config, stream.request);
		this.#perTryTimeoutMs = asked.perTryTimeoutMs;
		this.#durationMaxMs = asked.streamDurationMs ?? cluster.config.maxStreamDurationMs;
		this.#timeoutStatus = asked.isAnsweredEmpty ? 204 : 504;
		this.#setCookies = prepareChoice(stream, cluster, forward, this.#chooseContext);
		this.#chooseContext.override = stream.hostOverride;
		this.#chooseContext.metadata = choice.metadata;
		prepareRequest(stream, cluster, forward, choice);
		this.#startedAt = stream.context.nowMs();
		this.#prepareRetries(forward);
		if (config.idleTimeoutMs !== undefined) stream.setIdleTimeout(config.idleTimeoutMs);
		if (config.maxStreamDurationMs !== undefined) stream.setMaxDuration(config.maxStreamDurationMs);
		// What upgrades does not end before it is answered.
		if (stream.isRequestDelivered || stream.upgrade !== "") this.#armRouteTimer();
		this.#tellTimeout();
		this.#mirrors = startMirrors(stream, forward);
		this.#startAttempt();
	}

	#prepareRetries(forward: CompiledForward): void {
		const { stream } = this;
		this.#retries.prepare(forward.config.retry ?? stream.route?.virtualHost.config.retry);
		const { policy } = this.#retries;
		this.#replay.bytesMax = policy === undefined ? replayBytesMaxDefault : stream.manager.bufferBytesMax;
		this.#replay.isKept = !stream.isRequestDelivered && stream.upgrade === "";
		this.#chooseContext.attemptsMax = policy?.config.hostSelectionAttemptsMax ?? 0;
	}

	// ---- attempts

	#startAttempt(): void {
		const { stream } = this;
		const { info, request } = stream;
		info.attemptCount++;
		const host = this.#attempt.begin(this.cluster as ClusterRuntime, this.priority, this.#chooseContext);
		if (host === "noHost") return this.#endWithReply(503, "no healthy upstream", responseFlags.UH, "no_healthy_upstream");
		if (host === "overflow") return this.#fail(poolFailures.overflow, "");
		if (this.cluster?.tracking !== undefined) {
			this.#attempt.begunAt = stream.context.nowMs();
			this.#attempt.hasAnswered = false;
			this.cluster.tracking.attemptBegins(request);
		}
		info.upstreamHost = host.address;
		info.upstreamHostName = host.host.hostname;
		if (this.#forward?.config.hostRewrite?.kind === "auto" && host.host.hostname !== "") request.authority = host.host.hostname;
		if (stream.route?.virtualHost.config.includeRequestAttemptCount === true) request.set("x-envoy-attempt-count", String(info.attemptCount));
		stream.trace?.beginAttempt(stream);
		this.#armTryTimer();
		if (info.attemptCount > 1) this.#tellTimeout();
		this.#attempt.connect(this, request, stream.manager.upstreamAlpn, info.connection);
	}

	onPoolReady(upstream: UpstreamExchange): void {
		const { stream } = this;
		const { info, context } = stream;
		this.#attempt.leavePool();
		this.#attempt.upstream = upstream;
		upstream.begin(this);
		this.cluster?.count(clusterStat.upstream_rq_total);
		(this.host as HostEntry).counts.rq_total++;
		// An earlier attempt may have stopped the client and ended before it could let it go on.
		stream.downstream.resume(pauseReasons.upstreamBlocked);
		info.upstreamProtocol = upstream.protocol;
		info.upstreamLocalAddress = upstream.localAddress;
		info.upstreamFirstSentAt = this.#attempt.startedAt = context.nowMs();
		info.upstreamTls = upstream.connection.isTls ? upstreamTlsInfo(upstream.connection) : undefined;
		this.cluster?.outlier.connected(this.host as HostEntry, false);
		const isEnd = stream.isRequestDelivered && !stream.request.hasBody && stream.upgrade === "" && this.#replay.trailers.length === 0;
		upstream.sendHead(stream.request, stream.upgrade, isEnd);
		this.#isHeadSent = true;
		info.upstreamWireBytesSent += stream.request.length;
		this.#tryTimers.touch();
		for (const bytes of this.#replay.pieces) this.#sendBody(bytes, 0, bytes.length);
		if (!this.#replay.isKept) this.#replay.drop();
		stream.downstream.resume(pauseReasons.waitingForHost);
		if (isEnd) info.upstreamLastSentAt = context.nowMs();
		else if (stream.isRequestDelivered) this.#endUpstreamRequest();
	}

	/** After an upgrade request nothing else may be said but what belongs to the tunnel. */
	#endUpstreamRequest(): void {
		const { stream } = this;
		if (this.isTunnel) return;
		stream.info.upstreamLastSentAt = stream.context.nowMs();
		if (stream.upgrade === "") this.#attempt.upstream?.sendEnd(this.#replay.trailers);
	}

	onPoolFailure(failure: PoolFailure, transportFailure: string): void {
		this.#attempt.leavePool();
		const { info } = this.stream;
		if (failure !== "overflow") {
			info.upstreamTransportFailureReason = transportFailure.slice(0, 512);
			this.#onLocalFailure(failure === "connectionTimeout" ? "timeout" : "connectFailure");
		}
		// Never from inside `acquire`: the attempt is not set up yet.
		this.delay(0, () => this.#fail(poolFailures[failure], transportFailure));
	}

	// ---- the request's body

	onRequestBody(bytes: Buffer, start: number, end: number): void {
		if (this.#isFinished && !this.isTunnel) return;
		for (const mirror of this.#mirrors) mirror.onRequestBody(bytes, start, end);
		if (this.isTunnel) return this.#attempt.upstream?.sendBody(bytes, start, end);
		const isSendable = this.#isHeadSent && this.#attempt.upstream !== undefined;
		if (this.#replay.isKept || !isSendable) this.#keep(bytes, start, end);
		if (isSendable) this.#sendBody(bytes, start, end);
		else if (this.#replay.isFull) this.stream.downstream.pause(pauseReasons.waitingForHost);
	}

	#keep(bytes: Buffer, start: number, end: number): void {
		const wasKept = this.#replay.isKept;
		this.#replay.keep(bytes, start, end, this.#isHeadSent);
		if (wasKept && !this.#replay.isKept && this.#retries.policy !== undefined) this.cluster?.count(clusterStat.retry_or_shadow_abandoned);
	}

	#sendBody(bytes: Buffer, start: number, end: number): void {
		const { upstream } = this.#attempt;
		if (upstream === undefined) return;
		upstream.sendBody(bytes, start, end);
		this.#tryTimers.touch();
		this.stream.info.upstreamWireBytesSent += end - start;
	}

	onRequestTrailer(name: string, value: string): void {
		this.#replay.trailers.push(name, value);
	}

	onRequestEnd(): void {
		for (const mirror of this.#mirrors) mirror.onRequestEnd();
		if (this.#isFinished) return;
		if (this.#forward !== undefined) this.#armRouteTimer();
		if (this.#isHeadSent) this.#endUpstreamRequest();
	}

	/** The client half-closed its side of the tunnel. */
	onTunnelEnd(): void {
		this.#attempt.upstream?.sendEnd(none);
	}

	// ---- the response

	onResponseHead(hasBody: boolean): "body" | "tunnel" | "interim" {
		const { stream, response } = this;
		const { status } = response;
		if (status < 200 && status !== 101) {
			this.#countStatus(status);
			if (stream.manager.config.proxy100Continue) stream.sendInterim();
			return "interim";
		}
		const isTunnel = stream.upgrade === "connect" ? status >= 200 && status < 300 : status === 101 && stream.upgrade !== "";
		if (status === 101 && !isTunnel) {
			this.#onReset("protocolError", "unexpected 101");
			return "tunnel";
		}
		this.cluster?.outlier.response(this.host as HostEntry, status);
		this.#countAnswer(status, hasBody);
		if (this.cluster?.tracking !== undefined) {
			this.#attempt.hasAnswered = true;
			this.cluster.tracking.responseBegins(response);
		}
		if (this.cluster?.checksHealth === true && response.has("x-envoy-immediate-health-check-fail")) this.cluster.failImmediately(this.host as HostEntry);
		if (!isTunnel && this.#retriesResponse(status)) return "body";
		this.#acceptResponse(isTunnel, hasBody);
		return isTunnel ? "tunnel" : "body";
	}

	/** A gRPC service says at the end how it went. */
	#countAnswer(status: number, hasBody: boolean): void {
		const { counts } = this.host as HostEntry;
		if (status >= 500) counts.rq_error++;
		else if (!this.stream.isGrpcRequest) counts.rq_success++;
		else if (hasBody) this.#isOutcomeOpen = true;
		else this.#countGrpcOutcome(this.response.get("grpc-status"));
	}

	#countGrpcOutcome(status: string | undefined): void {
		const { counts } = this.host as HostEntry;
		this.#isOutcomeOpen = false;
		if (status === undefined || isGrpcServerError(Number(status))) counts.rq_error++;
		else counts.rq_success++;
	}

	#acceptResponse(isTunnel: boolean, hasBody: boolean): void {
		const { stream, response, cluster } = this;
		const { info, context } = stream;
		this.#isResponseStarted = true;
		this.#replay.isKept = false;
		if (isTunnel) this.#tryTimers.cancel();
		else this.#tryTimers.answered();
		info.upstreamFirstReceivedAt = context.nowMs();
		cluster?.observeLatency(this.host as HostEntry, info.upstreamFirstReceivedAt - this.#attempt.startedAt);
		info.upstreamWireBytesReceived += response.length;
		this.#countStatus(response.status);
		if (!isTunnel) return stream.startUpstreamResponse(hasBody);
		this.isTunnel = true;
		this.#routeTimer.disarm();
		stream.startTunnel();
	}

	/** Headers of the route's and the router's own, on every response, local ones included. */
	finishResponseHead(): void {
		// As in Envoy: what is still being sent is not the host's time.
		const isTimed = this.#isResponseStarted && this.stream.isRequestComplete && this.stream.upgrade === "";
		const serviceTimeMs = isTimed ? Math.max(0, this.stream.info.upstreamFirstReceivedAt - this.#attempt.startedAt) : -1;
		prepareResponse(this.stream, this.#setCookies, serviceTimeMs);
	}

	onResponseBody(bytes: Buffer, start: number, end: number): void {
		if (!this.#isResponseStarted) return;
		this.#tryTimers.touch();
		this.stream.sendResponseBody(bytes, start, end);
	}

	onResponseTrailer(name: string, value: string): void {
		if (this.#isOutcomeOpen && name === "grpc-status") this.#countGrpcOutcome(value);
		if (this.#isResponseStarted) this.stream.onResponseTrailer(name, value);
	}

	onResponseEnd(): void {
		const { stream } = this;
		if (this.#isOutcomeOpen) this.#countGrpcOutcome(undefined);
		if (!this.#isResponseStarted) return;
		stream.info.upstreamLastReceivedAt = stream.context.nowMs();
		this.#attempt.upstream = undefined;
		this.#isFinished = true;
		stream.trace?.endAttempt(stream, this.response.status, "");
		const requestMs = stream.info.upstreamLastReceivedAt - this.#attempt.startedAt;
		this.cluster?.requestMs.record(requestMs);
		this.cluster?.origin(this.#isInternal).requestMs.record(requestMs);
		if (this.cluster?.tracking !== undefined) this.#trackEnd();
		this.#releaseAttempt();
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
		if (this.#isResponseStarted) return false;
		return this.#replay.isKept || (this.stream.isRequestDelivered && this.stream.info.bytesReceived === 0) || !this.#isHeadSent;
	}

	#retriesResponse(status: number): boolean {
		const state = this.#canReplay ? this.#retries.afterResponse(status, this.host) : undefined;
		if (state === undefined) return false;
		this.cluster?.retriedCodes.increment(status);
		this.stream.trace?.endAttempt(this.stream, status, "");
		this.#abandonUpstream();
		this.#retryLater(state);
		return true;
	}

	#retriesReset(reason: RetryReason): boolean {
		const state = this.#canReplay ? this.#retries.afterReset(reason, this.#isHeadSent, this.host) : undefined;
		if (state === undefined) return false;
		this.#isHeadSent = false;
		this.stream.info.responseFlags = 0;
		this.#retryLater(state);
		return true;
	}

	#retryLater(state: RetryState): void {
		this.#chooseContext.avoided = state;
		this.#chooseContext.excludedPriorities = state.triedPriorities;
		this.#tryTimers.disarm();
		this.delay(state.backOffMs, () => {
			this.cluster?.count(clusterStat.upstream_rq_retry);
			this.cluster?.count(state.isBackOffAsked ? clusterStat.upstream_rq_retry_backoff_ratelimited : clusterStat.upstream_rq_retry_backoff_exponential);
			this.#startAttempt();
		});
	}

	// ---- failures

	onUpstreamReset(reason: ResetReason, detail: string): void {
		this.#onReset(reason, detail);
	}

	#onReset(reason: ResetReason, detail: string): void {
		const { upstream } = this.#attempt;
		const isUnread = reason === "unprocessed";
		const isStale = isUnread || (upstream !== undefined && upstream.isReused && !upstream.hasAnswered && reason === "connectionTermination");
		this.#attempt.upstream = undefined;
		if (this.#isOutcomeOpen) this.#countGrpcOutcome(undefined);
		if (upstream !== undefined && reason === "protocolError") upstream.abandon();
		if (upstream?.protocol === "HTTP/2") this.#countReset(reason);
		if (detail !== "") this.stream.context.log("debug", `upstream reset: ${detail}`, { cluster: this.cluster?.config.name, host: this.host?.address });
		if (this.isTunnel) {
			this.#releaseAttempt();
			this.#isFinished = true;
			this.stream.endResponse();
			return;
		}
		// The peer closed an idle connection while our request was on its way: that is no failure of the request.
		if (isStale && !this.#hasReplayed && this.#canReplay && (isUnread || isIdempotent(this.stream.request.method))) {
			this.#hasReplayed = true;
			this.#releaseAttempt();
			this.stream.info.attemptCount--;
			this.#isHeadSent = false;
			this.delay(0, () => this.#startAttempt());
			return;
		}
		if (!this.#isResponseStarted) this.#onLocalFailure("reset");
		this.#fail(resetFailures[reason], "");
	}

	/** Of streams alone: an exchange of HTTP/1 has nothing to reset but its connection. */
	#countReset(reason: ResetReason): void {
		const stat = resetStats[reason];
		if (stat !== undefined) this.cluster?.count(stat);
	}

	#fail(failure: Failure, transportFailure: string): void {
		const { stream } = this;
		stream.info.responseFlags |= failure.flag;
		stream.trace?.endAttempt(stream, 0, failure.words);
		if (this.#isResponseStarted) {
			this.#releaseAttempt();
			if (stream.isGrpcRequest) stream.manager.count(httpStat.rq_reset_after_downstream_response_started);
			stream.info.responseCodeDetails = `upstream_reset_after_response_started{${failure.words.replaceAll(" ", "_")}}`;
			stream.breakOff();
			return;
		}
		const isRetried = this.#retriesReset(failure.retry);
		// Only now: a retry budget is a share of what is under way, this attempt included.
		this.#releaseAttempt();
		if (isRetried) return;
		this.#isFinished = true;
		this.#countStatus(failure.status);
		sendLocalReply(stream, resetReply(failure, transportFailure, stream.info.attemptCount > 1));
	}

	#endWithReply(status: number, body: string, flags: number, details: string): void {
		this.#isFinished = true;
		if (!this.#isResponseStarted) this.#countStatus(status);
		sendLocalReply(this.stream, { status, body, flags, details });
	}

	#onLocalFailure(kind: "connectFailure" | "timeout" | "reset"): void {
		const { cluster } = this;
		const host = this.host as HostEntry;
		cluster?.outlier.localFailure(host, kind);
		host.counts.rq_error++;
		if (kind === "timeout") host.counts.rq_timeout++;
		// A host that fails fast must not look fast.
		cluster?.observeLatency(host, cluster.config.connectTimeoutMs);
	}

	// ---- timeouts

	#armRouteTimer(): void {
		if (this.cluster?.tracking !== undefined) this.#deliveredAt = this.stream.context.nowMs();
		const timeoutMs = this.#timeoutMs;
		if (timeoutMs > 0) this.#routeTimer.arm(timeoutMs);
	}

	/** 0: none. */
	get #perTryMs(): number {
		return this.#perTryTimeoutMs ?? this.#retries.policy?.config.perTryTimeoutMs ?? 0;
	}

	#armTryTimer(): void {
		const perTry = this.#perTryMs;
		const timeoutMs = this.#timeoutMs;
		const isShorter = perTry > 0 && (timeoutMs === 0 || perTry < timeoutMs);
		this.#tryTimers.start(isShorter ? perTry : 0, this.#retries.policy?.config.perTryIdleTimeoutMs ?? 0, this.#durationMaxMs);
	}

	/** What is left for this attempt; callees may give up as well then. */
	#tellTimeout(): void {
		const { stream } = this;
		const perTry = this.#perTryMs;
		const timeoutMs = this.#timeoutMs;
		const isFirst = stream.info.attemptCount <= 1;
		const left = timeoutMs === 0 || isFirst ? timeoutMs : Math.max(1, Math.round(timeoutMs - (stream.context.nowMs() - this.#startedAt)));
		const expected = perTry > 0 && (left === 0 || perTry < left) ? perTry : left;
		if (expected === 0) return;
		const { request } = stream;
		if (!stream.manager.suppressEnvoyHeaders) {
			if (isFirst) request.appendOwn("x-envoy-expected-rq-timeout-ms", String(expected));
			else request.set("x-envoy-expected-rq-timeout-ms", String(expected));
		}
		if (this.#forward?.config.grpcTimeoutMaxMs !== undefined && stream.isGrpcRequest) request.set("grpc-timeout", `${expected}m`);
	}

	#onRouteTimeout(): void {
		if (this.#isFinished) return;
		this.#hasTimedOut = true;
		this.cluster?.count(clusterStat.upstream_rq_timeout);
		if (this.host !== undefined && !this.#isResponseStarted) this.#onLocalFailure("timeout");
		this.stream.trace?.endAttempt(this.stream, 0, "");
		this.#abandonUpstream();
		this.#endWithTimeout("response_timeout");
	}

	/** `stat`: one of `clusterStat`. */
	#onTryTimeout(stat: number, details: string): void {
		if (this.#isFinished) return;
		this.cluster?.count(stat);
		if (this.host !== undefined) this.#onLocalFailure("timeout");
		this.stream.trace?.endAttempt(this.stream, 0, "");
		this.#abandonUpstream();
		if (this.#retriesReset("perTryTimeout")) return;
		this.#endWithTimeout(details);
	}

	#onDurationReached(): void {
		if (this.#isFinished) return;
		this.cluster?.count(clusterStat.upstream_rq_max_duration_reached);
		this.stream.trace?.endAttempt(this.stream, 0, "");
		this.#abandonUpstream();
		if (this.#retriesReset("localReset")) return;
		this.#isFinished = true;
		const details = "upstream_max_stream_duration_reached";
		sendLocalReply(this.stream, { status: 504, body: "upstream max stream duration reached", flags: responseFlags.UMSDR, details });
	}

	#endWithTimeout(details: string): void {
		if (this.cluster?.tracking !== undefined) this.#trackEnd();
		this.#endWithReply(this.#timeoutStatus, this.#timeoutStatus === 204 ? "" : "upstream request timeout", responseFlags.UT, details);
	}

	/** One attempt is over, whatever came of it. */
	#releaseAttempt(): void {
		const tracking = this.cluster?.tracking;
		if (tracking !== undefined && this.#attempt.isUnderWay) {
			const { info, context } = this.stream;
			const elapsedMs = this.#hasTimedOut ? undefined : context.nowMs() - this.#attempt.begunAt;
			tracking.attemptEnds(elapsedMs, this.#perTryMs, info.bytesReceived, this.#attempt.hasAnswered ? info.bytesSent : undefined);
		}
		this.#attempt.release();
	}

	/** The request has its answer, or will have none in time. */
	#trackEnd(): void {
		this.cluster?.tracking?.requestEnds(this.stream.context.nowMs() - this.#deliveredAt, this.#timeoutMs);
	}

	// ---- flow control

	pauseUpstream(): void {
		this.#attempt.upstream?.pause();
	}
	resumeUpstream(): void {
		this.#attempt.upstream?.resume();
	}
	onUpstreamBlocked(): void {
		this.cluster?.count(clusterStat.upstream_flow_control_backed_up_total);
		this.stream.downstream.pause(pauseReasons.upstreamBlocked);
	}
	onUpstreamDrain(): void {
		this.cluster?.count(clusterStat.upstream_flow_control_drained_total);
		this.stream.downstream.resume(pauseReasons.upstreamBlocked);
	}

	// ---- ends

	#abandonUpstream(): void {
		this.#isOutcomeOpen = false;
		this.#attempt.abandon(this);
		this.#isHeadSent = false;
		this.#releaseAttempt();
	}

	/** The stream needs no upstream any more. */
	cancel(): void {
		this.#abandonUpstream();
		this.#isFinished = true;
		this.#delayTimer.cancel();
		const onCancelled = this.#onDelayCancelled;
		this.#delayed = this.#onDelayCancelled = undefined;
		onCancelled?.();
	}

	finish(): void {
		this.cancel();
		this.#routeTimer.cancel();
		this.#tryTimers.cancel();
		this.#retries.end();
		this.cluster?.count(clusterStat.upstream_cx_tx_bytes_total, this.stream.info.upstreamWireBytesSent);
		// A request that broke off is no request: its copy is not sent.
		if (!this.stream.isRequestDelivered) for (const mirror of this.#mirrors) mirror.cancel();
		this.stream.downstream.resume(pauseReasons.upstreamBlocked | pauseReasons.waitingForHost);
	}

	dispose(): void {
		this.#routeTimer.disarm();
		this.#tryTimers.disarm();
		this.#delayTimer.disarm();
	}

	reset(): void {
		this.#attempt.reset();
		this.#replay.reset();
		this.#retries.reset();
		this.#forward = undefined;
		this.isTunnel = this.#hasTimedOut = this.#isOutcomeOpen = this.#hasReplayed = this.#isHeadSent = this.#isResponseStarted = false;
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
