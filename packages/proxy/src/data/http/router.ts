import { envoyHeaderBit } from "../codec/header-block.ts";
import type { ResponseHead } from "../codec/response-head.ts";
import { Attempts } from "./attempts.ts";
import { pauseReasons } from "./downstream.ts";
import { prepareChoice, prepareRequest, prepareResponse, rewriteAuthority } from "./forwarding.ts";
import { limitStream } from "./grpc-timeout.ts";
import { httpStat } from "./http-stats.ts";
import { takeRedirect } from "./internal-redirect.ts";
import { sendLocalReply } from "./local-reply.ts";
import { type Mirror, startMirrors } from "./mirror.ts";
import { RequestReplay } from "./request-replay.ts";
import { RequestTimeouts } from "./request-timeouts.ts";
import { StreamDelay } from "./stream-delay.ts";
import type { HttpStream } from "./stream.ts";
import { type Failure, poolFailures, resetReply } from "./upstream-failures.ts";
import type { UpstreamRequest } from "./upstream-request.ts";
import type { HostEntry } from "../lb/host-entry.ts";
import { wantedMetadata } from "../lb/wanted-metadata.ts";
import { responseFlags } from "../log/response-flags.ts";
import type { ClusterChoice, CompiledForward } from "../match/route-table.ts";
import { type VirtualClusterStats, virtualClusterStat } from "../stats/virtual-clusters.ts";
import { Timer } from "../transport/timers.ts";
import type { ClusterRuntime } from "../upstream/cluster-runtime.ts";
import { clusterStat } from "../upstream/cluster-stats.ts";

/** Without a retry policy, bodies are only kept for a pooled connection that turns out to be dead. */
const replayBytesMaxDefault = 64 * 1024;

const none: readonly never[] = [];

/** The forwarding of one stream: how long it may take, its request's body, and the answer that its attempts bring, or lack. */
export class RouterState {
	readonly stream: HttpStream;
	/** Where the route leads; undefined before it does. */
	cluster: ClusterRuntime | undefined;
	/** Of the virtual cluster, and of the route, that have statistics of their own. */
	#countedApart: readonly VirtualClusterStats[] = none;
	readonly timeouts = new RequestTimeouts();
	/** The route's timeout has run out. */
	hasTimedOut = false;
	readonly replay = new RequestReplay();
	isTunnel = false;
	isResponseStarted = false;
	/** Nothing is to come of any attempt. */
	isFinished = true;
	readonly attempts: Attempts;
	/** For a filter, or for the next attempt. */
	readonly waiting: StreamDelay;
	#forward: CompiledForward | undefined;
	#mirrors: readonly Mirror[] = none;
	#setCookies: readonly string[] = none;
	/** When the request was complete; only kept where its cluster tracks that. */
	#deliveredAt = 0;
	readonly #timer: Timer;

	constructor(stream: HttpStream) {
		this.stream = stream;
		this.attempts = new Attempts(this);
		const { wheel } = stream.context;
		this.#timer = new Timer(wheel, () => this.#onTimeout());
		this.waiting = new StreamDelay(wheel);
	}

	get host(): HostEntry | undefined {
		return this.attempts.current.host;
	}
	/** The host's own name stands for the request's, where the route says so. */
	takeHostName(name: string): void {
		const forward = this.#forward;
		if (forward?.config.hostRewrite?.kind === "auto" && name !== "") rewriteAuthority(this.stream, forward, name);
	}
	/** What comes inside a CONNECT request goes on without it. */
	get terminatesConnect(): boolean {
		return this.#forward?.config.terminatesConnect === true;
	}
	get priority(): "default" | "high" {
		return this.#forward?.config.priority ?? "default";
	}

	// ---- start

	/** Waits, then goes on unless the stream ended meanwhile. Used for faults and back-off. */
	delay(ms: number, run: () => void, onCancelled?: () => void): void {
		this.isFinished = false;
		this.waiting.start(ms, run, onCancelled);
	}

	start(forward: CompiledForward, choice: ClusterChoice): void {
		const { attempts, stream, timeouts } = this;
		const { chooseContext, retries } = attempts;
		const { config } = forward;
		this.isFinished = false;
		this.#forward = forward;
		const { cluster } = stream;
		if (cluster === undefined) {
			stream.manager.count(httpStat.no_cluster);
			sendLocalReply(stream, { status: config.clusterNotFoundStatus, body: "", flags: responseFlags.NC, details: "cluster_not_found" });
			return;
		}
		this.cluster = cluster;
		this.#openOwnStats();
		if (cluster.isInMaintenance) return this.#endInMaintenance(cluster);
		const dropped = cluster.drop();
		if (dropped !== undefined) return this.#endDropped(dropped);
		limitStream(stream, config);
		timeouts.take(stream, config, cluster);
		this.#setCookies = prepareChoice(stream, cluster, forward, chooseContext);
		chooseContext.override = stream.hostOverride;
		chooseContext.metadata = wantedMetadata(stream.info, choice.metadata);
		prepareRequest(stream, cluster, forward, choice);
		this.#prepareRetries(forward);
		timeouts.begin(stream.context.nowMs(), retries.policy?.config.perTryTimeoutMs);
		if (config.idleTimeoutMs !== undefined) stream.timers.setIdle(config.idleTimeoutMs);
		// What upgrades does not end before it is answered.
		if (stream.isRequestDelivered || stream.upgrade !== "") this.#armTimer();
		timeouts.tell(stream);
		this.#mirrors = startMirrors(stream, forward);
		attempts.start();
	}

	#openOwnStats(): void {
		const { context, info, request, route } = this.stream;
		if (route === undefined) return;
		const { config, virtualClusterOf } = route.virtualHost;
		const name = virtualClusterOf?.(request);
		const { statPrefix } = route.config;
		if (name !== undefined) {
			info.virtualClusterName = name;
			this.#countedApart = [context.virtualClusters.of(config.name, name || "other")];
		}
		if (statPrefix !== undefined) this.#countedApart = [...this.#countedApart, context.virtualClusters.ofRoute(config.name, statPrefix)];
	}

	/** For the virtual cluster and the route. */
	countApart(stat: keyof typeof virtualClusterStat): void {
		for (const stats of this.#countedApart) stats.count(virtualClusterStat[stat]);
	}

	#endInMaintenance(cluster: ClusterRuntime): void {
		this.isFinished = true;
		cluster.count(clusterStat.upstream_rq_maintenance_mode);
		this.countStatus(503);
		sendLocalReply(this.stream, {
			status: 503,
			body: "maintenance mode",
			flags: responseFlags.UO,
			details: "maintenance_mode",
			headers: this.stream.manager.suppressEnvoyHeaders ? none : ["x-envoy-overloaded", "true"],
		});
	}

	/** The control plane wants less load. */
	#endDropped(share: "some" | "all"): void {
		this.isFinished = true;
		this.countStatus(503);
		const headers = [share === "all" ? "x-envoy-unconditional-drop-overload" : "x-envoy-drop-overload", "true"];
		sendLocalReply(this.stream, {
			status: 503,
			body: share === "all" ? "unconditional drop overload" : "drop overload",
			flags: share === "all" ? responseFlags.UDO : responseFlags.DO,
			details: share === "all" ? "unconditional_drop_overload" : "drop_overload",
			headers: this.stream.manager.suppressEnvoyHeaders ? none : headers,
		});
	}

	#prepareRetries(forward: CompiledForward): void {
		const { stream, replay } = this;
		const { chooseContext, retries } = this.attempts;
		retries.prepare(forward.config.retry ?? stream.route?.virtualHost.config.retry);
		const { policy } = retries;
		replay.bytesMax = policy === undefined && forward.config.internalRedirect === undefined ? replayBytesMaxDefault : stream.manager.bufferBytesMax;
		replay.isKept = stream.upgrade === "";
		chooseContext.attemptsMax = policy?.config.hostSelectionAttemptsMax ?? 0;
	}

	// ---- the request's body

	onRequestBody(bytes: Buffer, start: number, end: number): void {
		if (this.isFinished && !this.isTunnel) return;
		for (const mirror of this.#mirrors) mirror.onRequestBody(bytes, start, end);
		const attempt = this.attempts.current;
		if (this.isTunnel) return attempt.sendTunnelBytes(bytes, start, end);
		const { takesBody } = attempt;
		if (this.replay.isKept || !takesBody) this.#keep(bytes, start, end);
		if (takesBody) attempt.sendBody(bytes, start, end);
		else if (this.replay.isFull) this.stream.downstream.pause(pauseReasons.waitingForHost);
	}

	#keep(bytes: Buffer, start: number, end: number): void {
		const wasKept = this.replay.isKept;
		this.replay.keep(bytes, start, end, this.attempts.current.isHeadSent);
		const isMissed = this.attempts.retries.policy !== undefined || this.#forward?.config.internalRedirect !== undefined;
		if (wasKept && !this.replay.isKept && isMissed) this.cluster?.count(clusterStat.retry_or_shadow_abandoned);
	}

	onRequestTrailer(name: string, value: string): void {
		this.replay.trailers.push(name, value);
	}

	onRequestEnd(): void {
		for (const mirror of this.#mirrors) mirror.onRequestEnd();
		if (this.isFinished) return;
		if (this.#forward !== undefined) this.#armTimer();
		const { current } = this.attempts;
		if (!current.isHeadSent) return;
		current.sendEnd(this.replay.trailers);
		current.armTryTimer();
	}

	/** The client half-closed its side of the tunnel. */
	onTunnelEnd(): void {
		this.attempts.current.endTunnel();
	}

	pauseUpstream(): void {
		this.attempts.current.pause();
	}

	resumeUpstream(): void {
		this.attempts.current.resume();
	}

	// ---- the response

	onInterim(attempt: UpstreamRequest): "interim" {
		const { stream } = this;
		this.attempts.settle(attempt);
		this.countStatus(attempt.response.status);
		if (stream.manager.config.proxy100Continue) stream.sendInterim();
		return "interim";
	}

	/** Whether the answer is a redirect that is followed instead of being passed on. `isBodyKept`: all of the body so far is here. */
	followsRedirect(response: ResponseHead, isBodyKept: boolean): boolean {
		const policy = this.#forward?.config.internalRedirect;
		if (policy?.statuses.includes(response.status) !== true) return false;
		const { cluster, stream } = this;
		const isWhole = stream.isRequestDelivered && stream.upgrade === "" && isBodyKept;
		const isFollowed = isWhole && takeRedirect(stream, policy, response);
		cluster?.count(isFollowed ? clusterStat.upstream_internal_redirect_succeeded_total : clusterStat.upstream_internal_redirect_failed_total);
		// Not before the codec is done with the head: the new request may be sent at once, on another connection.
		if (isFollowed) this.delay(0, () => stream.restart());
		return isFollowed;
	}

	/** The client gets this one's answer. */
	acceptResponse(attempt: UpstreamRequest, isTunnel: boolean, hasBody: boolean): void {
		const { stream } = this;
		this.isResponseStarted = true;
		this.replay.isKept = false;
		attempt.accept(isTunnel);
		this.countStatus(attempt.response.status);
		if (!isTunnel) return stream.startUpstreamResponse(hasBody);
		this.isTunnel = true;
		this.#timer.disarm();
		stream.startTunnel();
	}

	/** Headers of the route's and the router's own, on every response, local ones included. */
	finishResponseHead(): void {
		// As in Envoy: what is still being sent is not the host's time.
		const isTimed = this.isResponseStarted && this.stream.isRequestComplete && this.stream.upgrade === "";
		const serviceTimeMs = isTimed ? Math.max(0, this.stream.info.upstreamFirstReceivedAt - this.attempts.current.startedAt) : -1;
		prepareResponse(this.stream, this.isResponseStarted ? this.#setCookies : none, serviceTimeMs);
	}

	onResponseEnd(attempt: UpstreamRequest): void {
		const { cluster, stream } = this;
		const { context, info } = stream;
		info.upstreamLastReceivedAt = context.nowMs();
		this.isFinished = true;
		stream.trace?.endAttempt(stream, attempt, attempt.response.status, "");
		const requestMs = info.upstreamLastReceivedAt - attempt.startedAt;
		cluster?.requestMs.record(requestMs);
		cluster?.origin(this.#isInternal).requestMs.record(requestMs);
		for (const stats of this.#countedApart) stats.requestMs.record(requestMs);
		if (cluster?.tracking !== undefined) this.#trackEnd();
		attempt.release();
		stream.endResponse();
	}

	get #isInternal(): boolean {
		const { request } = this.stream;
		return (request.present & envoyHeaderBit) !== 0 && request.get("x-envoy-internal") === "true";
	}

	countStatus(status: number): void {
		const { cluster } = this;
		if (cluster === undefined) return;
		cluster.responseCodes.increment(status);
		for (const stats of this.#countedApart) stats.responseCodes.increment(status);
		cluster.origin(this.#isInternal).codes.increment(status);
	}

	// ---- ends without an answer

	/** Of the last attempt that was left. */
	endWithFailure(failure: Failure, transportFailure: string): void {
		const { stream } = this;
		this.isFinished = true;
		this.countStatus(failure.status);
		if (failure === poolFailures.overflow && this.cluster !== undefined) this.cluster.drops.total++;
		sendLocalReply(stream, resetReply(failure, transportFailure, stream));
	}

	/** The answer has begun and cannot be completed. */
	breakOff(failure: Failure): void {
		const { stream } = this;
		if (stream.isGrpcRequest) stream.manager.count(httpStat.rq_reset_after_downstream_response_started);
		stream.info.responseCodeDetails = `upstream_reset_after_response_started{${failure.words.replaceAll(" ", "_")}}`;
		stream.breakOff();
	}

	endTunnel(): void {
		this.isFinished = true;
		this.stream.endResponse();
	}

	endWithoutHost(): void {
		this.isFinished = true;
		this.countStatus(503);
		sendLocalReply(this.stream, { status: 503, body: "no healthy upstream", flags: responseFlags.UH, details: "no_healthy_upstream" });
	}

	// ---- timeouts

	#armTimer(): void {
		if (this.cluster?.tracking !== undefined) this.#deliveredAt = this.stream.context.nowMs();
		const { wholeMs } = this.timeouts;
		if (wholeMs > 0) this.#timer.arm(wholeMs);
	}

	#onTimeout(): void {
		if (this.isFinished) return;
		this.hasTimedOut = true;
		this.countApart("upstream_rq_timeout");
		this.attempts.timeOut();
		this.endWithTimeout("response_timeout");
	}

	endWithDuration(): void {
		this.isFinished = true;
		const details = "upstream_max_stream_duration_reached";
		sendLocalReply(this.stream, { status: 504, body: "upstream max stream duration reached", flags: responseFlags.UMSDR, details });
	}

	endWithTimeout(details: string): void {
		if (this.cluster?.tracking !== undefined) this.#trackEnd();
		const { status } = this.timeouts;
		this.isFinished = true;
		sendLocalReply(this.stream, { status, body: status === 204 ? "" : "upstream request timeout", flags: responseFlags.UT, details });
	}

	/** The request has its answer, or will have none in time. */
	#trackEnd(): void {
		this.cluster?.tracking?.requestEnds(this.stream.context.nowMs() - this.#deliveredAt, this.timeouts.wholeMs);
	}

	// ---- ends

	/** The stream needs no upstream any more. */
	cancel(): void {
		this.attempts.cancel();
		this.isFinished = true;
		this.waiting.cancel();
	}

	finish(): void {
		this.cancel();
		this.#timer.cancel();
		this.attempts.finish();
		this.cluster?.count(clusterStat.upstream_cx_tx_bytes_total, this.stream.info.upstreamWireBytesSent);
		// A request that broke off is no request: its copy is not sent.
		if (!this.stream.isRequestDelivered) for (const mirror of this.#mirrors) mirror.cancel();
		this.stream.downstream.resume(pauseReasons.upstreamBlocked | pauseReasons.waitingForHost);
	}

	dispose(): void {
		this.#timer.disarm();
		this.attempts.dispose();
		this.waiting.dispose();
	}

	reset(): void {
		this.attempts.reset();
		this.replay.reset();
		this.#forward = this.cluster = undefined;
		this.#countedApart = none;
		this.isTunnel = this.hasTimedOut = this.isResponseStarted = false;
		this.isFinished = true;
		this.#mirrors = none;
		this.#setCookies = none;
	}
}
