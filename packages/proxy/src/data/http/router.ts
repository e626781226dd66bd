import { tellPeer } from "../filters/peer-metadata.ts";
import type { RetryPolicy } from "../../config/runtime-config.ts";
import { envoyHeaderBit } from "../codec/header-block.ts";
import type { Http1ResponseHead } from "../codec/response-head.ts";
import { applyRetryHeaders, type CompiledRetryPolicy, type ResetReason as RetryReason } from "../filters/retry-policy.ts";
import { createRetryState, type RetryState } from "../filters/retry-state.ts";
import { beginRequest, type ChooseContext, createChooseContext, endRequest, type HostEntry } from "../lb/host-entry.ts";
import { responseFlags } from "../log/response-flags.ts";
import type { ClusterChoice, CompiledForward } from "../match/route-table.ts";
import { upstreamTlsInfo } from "../tls/upstream-tls.ts";
import { Timer } from "../transport/timers.ts";
import type { ClusterRuntime } from "../upstream/cluster-runtime.ts";
import type { Http1Pool, PoolClient, PoolFailure } from "../upstream/http1-pool.ts";
import type { Http1Upstream, ResetReason, UpstreamClient } from "../upstream/http1-upstream.ts";
import { compiledRetryPolicy } from "./compiled-policies.ts";
import { sendLocalReply } from "./local-reply.ts";
import { encodeChunk, encodeLastChunk, encodeRequestHead } from "./message-encoder.ts";
import { resolveTimeoutMs } from "./grpc-timeout.ts";
import { startMirrors, type Mirror } from "./mirror.ts";
import { selectRoute } from "./route-selection.ts";
import { pauseReasons } from "./server-connection.ts";
import type { HttpStream } from "./stream.ts";
import { type Failure, poolFailures, resetFailures, resetReply } from "./upstream-failures.ts";
import { clusterGauge, clusterStat } from "../upstream/cluster-stats.ts";
import { httpStat } from "./http-stats.ts";

/** Without a retry policy, bodies are only kept for a pooled connection that turns out to be dead. */
const replayBytesMaxDefault = 64 * 1024;

/** Finds the route, runs what comes before the router, and forwards. */
export function routeRequest(stream: HttpStream): void {
	const choice = selectRoute(stream);
	const action = stream.route?.action;
	if (choice !== undefined && action?.kind === "route") stream.router.start(action, choice);
}

const none: readonly never[] = [];

const isIdempotent = (method: string): boolean => method !== "POST" && method !== "PATCH" && method !== "CONNECT";

/** The forwarding of one stream: attempts, their timeouts, and the body kept for the next attempt. */
export class RouterState implements UpstreamClient, PoolClient {
	readonly stream: HttpStream;
	readonly response: Http1ResponseHead;
	cluster: ClusterRuntime | undefined;
	host: HostEntry | undefined;
	upstream: Http1Upstream | undefined;
	isTunnel = false;
	#forward: CompiledForward | undefined;
	#choice: ClusterChoice | undefined;
	#pool: Http1Pool | undefined;
	#policy: CompiledRetryPolicy | undefined;
	#retries: RetryState | undefined;
	#hasReplayed = false;
	#isHeadSent = false;
	#isResponseStarted = false;
	#holdsRequest = false;
	#isFinished = true;
	#attemptStartedAt = 0;
	readonly #body: Buffer[] = [];
	#bodyBytes = 0;
	#keepsBody = false;
	#replayBytesMax = 0;
	/** 0: none. */
	#timeoutMs = 0;
	readonly #trailers: string[] = [];
	#mirrors: readonly Mirror[] = none;
	readonly #chooseContext: ChooseContext = createChooseContext();
	readonly #routeTimer: Timer;
	readonly #tryTimer: Timer;
	readonly #delayTimer: Timer;
	#delayed: (() => void) | undefined;
	#onDelayCancelled: (() => void) | undefined;
	#setCookies: readonly string[] = none;

	constructor(stream: HttpStream) {
		this.stream = stream;
		this.response = stream.response;
		const { wheel } = stream.context;
		this.#routeTimer = new Timer(wheel, () => this.#onRouteTimeout());
		this.#tryTimer = new Timer(wheel, () => this.#onTryTimeout());
		this.#delayTimer = new Timer(wheel, () => {
			const run = this.#delayed;
			this.#delayed = this.#onDelayCancelled = undefined;
			run?.();
		});
	}

	get isHead(): boolean {
		return this.stream.isHead;
	}

	get #priority(): "default" | "high" {
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
		this.#isFinished = false;
		this.#forward = forward;
		this.#choice = choice;
		const name = choice.cluster === "" ? "" : choice.cluster;
		const cluster = stream.snapshot.clusters.get(name);
		stream.info.upstreamCluster = name;
		if (cluster === undefined) {
			stream.manager.count(httpStat.no_cluster);
			sendLocalReply(stream, { status: forward.config.clusterNotFoundStatus, body: "", flags: responseFlags.NC, details: "cluster_not_found" });
			return;
		}
		this.cluster = cluster;
		stream.manager.count(httpStat.rq_total);
		this.#timeoutMs = resolveTimeoutMs(forward.config, stream.request);
		this.#prepareRequest(forward, choice);
		this.#prepareRetries(forward);
		if (forward.config.idleTimeoutMs !== undefined) stream.setIdleTimeout(forward.config.idleTimeoutMs);
		if (forward.config.maxStreamDurationMs !== undefined) stream.setMaxDuration(forward.config.maxStreamDurationMs);
		if (stream.isRequestComplete) this.#armRouteTimer();
		this.#mirrors = startMirrors(stream, forward);
		this.#attempt();
	}

	#prepareRequest(forward: CompiledForward, choice: ClusterChoice): void {
		const { stream } = this;
		const { request, info, connection, manager } = stream;
		const { config } = forward;
		if (forward.hash !== undefined) {
			const { hash, setCookies } = forward.hash(request, { remoteAddress: connection.info.remoteAddress, localAddress: connection.info.localAddress });
			this.#chooseContext.hash = hash;
			this.#setCookies = setCookies;
		}
		if (this.cluster?.config.kind === "originalDst") this.#setDestination();
		const originalAuthority = request.authority;
		choice.mutateRequest?.(request, info);
		// Only to workloads of the mesh: others are told nothing.
		if (manager.peers !== undefined && manager.direction !== "inbound" && (this.cluster?.config.transportMatches.length ?? 0) > 0)
			tellPeer(manager.peers, request);
		if (this.#timeoutMs > 0 && !manager.suppressEnvoyHeaders) request.appendOwn("x-envoy-expected-rq-timeout-ms", String(this.#timeoutMs));
		if (forward.rewritePath !== undefined) {
			const original = request.path;
			request.path = forward.rewritePath(original);
			if (!manager.suppressEnvoyHeaders && request.path !== original) request.set("x-envoy-original-path", original);
		}
		const host = choice.hostRewrite ?? forward.rewriteHost?.(request);
		if (host !== undefined && host !== "") request.authority = host;
		if (config.appendXForwardedHost && request.authority !== originalAuthority) request.append("x-forwarded-host", originalAuthority);
	}

	#setDestination(): void {
		const { connection, request } = this.stream;
		const override = this.cluster?.config.originalDstUseHeader === true ? request.get("x-envoy-original-dst-host") : undefined;
		this.#chooseContext.destination = override ?? connection.info.localAddress;
	}

	#prepareRetries(forward: CompiledForward): void {
		const { stream } = this;
		const config: RetryPolicy | undefined = forward.config.retry ?? stream.route?.virtualHost.config.retry;
		const policy = config === undefined ? undefined : compiledRetryPolicy(config);
		this.#policy = (stream.request.present & envoyHeaderBit) === 0 ? policy : applyRetryHeaders(policy, stream.request);
		this.#replayBytesMax = this.#policy === undefined ? replayBytesMaxDefault : stream.manager.bufferBytesMax;
		this.#keepsBody = !stream.isRequestComplete && stream.upgrade === "";
		this.#chooseContext.attemptsMax = this.#policy?.config.hostSelectionAttemptsMax ?? 0;
	}

	#armRouteTimer(): void {
		const timeoutMs = this.#timeoutMs;
		// A tunnel or a long answer to an upgrade is bounded by its idle timeout only.
		if (timeoutMs > 0 && this.stream.upgrade === "") this.#routeTimer.arm(timeoutMs);
	}

	// ---- attempts

	#attempt(): void {
		const { stream } = this;
		const cluster = this.cluster as ClusterRuntime;
		const { info, request } = stream;
		info.attemptCount++;
		const context = this.#chooseContext;
		const host = cluster.hosts.choose(context);
		if (host === undefined) {
			cluster.count(clusterStat.upstream_cx_none_healthy);
			this.#endWithReply(503, "no healthy upstream", responseFlags.UH, "no_healthy_upstream");
			return;
		}
		if (!cluster.tryHold("requests", this.#priority)) {
			cluster.count(clusterStat.upstream_rq_pending_overflow);
			this.#fail(poolFailures.overflow, "");
			return;
		}
		this.#holdsRequest = true;
		this.host = host;
		info.upstreamHost = host.address;
		info.upstreamHostName = host.host.hostname;
		if (this.#forward?.config.hostRewrite?.kind === "auto" && host.host.hostname !== "") request.authority = host.host.hostname;
		if (stream.route?.virtualHost.config.includeRequestAttemptCount === true) request.set("x-envoy-attempt-count", String(info.attemptCount));
		cluster.count(clusterStat.upstream_rq_total);
		cluster.gauge(clusterGauge.upstream_rq_active, 1);
		beginRequest(host);
		this.#armTryTimer();
		const pool = cluster
			.poolsOf(host)
			.pool(cluster.transports.choose(host, request.authority, cluster.httpAlpn(host, stream.manager.upstreamAlpn)), this.#priority);
		this.#pool = pool;
		const upstream = pool.acquire(this);
		if (upstream !== undefined) this.onPoolReady(upstream);
	}

	#armTryTimer(): void {
		const perTry = this.#policy?.config.perTryTimeoutMs ?? 0;
		const timeoutMs = this.#timeoutMs;
		if (perTry > 0 && (timeoutMs === 0 || perTry < timeoutMs)) this.#tryTimer.arm(perTry);
	}

	onPoolReady(upstream: Http1Upstream): void {
		const { stream } = this;
		const { info, context } = stream;
		this.#pool = undefined;
		this.upstream = upstream;
		upstream.begin(this);
		info.upstreamProtocol = "HTTP/1.1";
		info.upstreamLocalAddress = upstream.localAddress;
		info.upstreamFirstSentAt = this.#attemptStartedAt = context.nowMs();
		info.upstreamTls = upstream.connection.isTls ? upstreamTlsInfo(upstream.connection) : undefined;
		this.cluster?.outlier.connected(this.host as HostEntry, false);
		const { config } = this.cluster as ClusterRuntime;
		encodeRequestHead(context.output, upstream.connection, stream.request, stream.upgrade === "connect" ? "" : stream.upgrade, config.http1.headerCase);
		this.#isHeadSent = true;
		info.upstreamWireBytesSent += stream.request.length;
		for (const bytes of this.#body) this.#encodeBody(bytes, 0, bytes.length);
		if (!this.#keepsBody) this.#dropBody();
		stream.connection.resume(pauseReasons.waitingForHost);
		if (stream.isRequestComplete) this.#endUpstreamRequest();
	}

	#endUpstreamRequest(): void {
		const { stream, upstream } = this;
		if (upstream === undefined || this.isTunnel) return;
		if (stream.request.isChunked)
			encodeLastChunk(stream.context.output, upstream.connection, this.cluster?.config.http1.enableTrailers === true ? this.#trailers : none);
		stream.info.upstreamLastSentAt = stream.context.nowMs();
		// After an upgrade request nothing else may be said on this connection.
		upstream.isRequestSent = stream.upgrade === "";
	}

	onPoolFailure(failure: PoolFailure, transportFailure: string): void {
		this.#pool = undefined;
		const { info } = this.stream;
		if (failure !== "overflow") {
			info.upstreamTransportFailureReason = transportFailure.slice(0, 512);
			this.cluster?.outlier.localFailure(this.host as HostEntry, failure === "connectionTimeout" ? "timeout" : "connectFailure");
		}
		// Never from inside `acquire`: the attempt is not set up yet.
		this.#releaseAttempt();
		this.delay(0, () => this.#fail(poolFailures[failure], transportFailure));
	}

	// ---- the request's body

	onRequestBody(bytes: Buffer, start: number, end: number): void {
		if (this.#isFinished && !this.isTunnel) return;
		const { stream } = this;
		for (const mirror of this.#mirrors) mirror.onRequestBody(bytes, start, end);
		if (this.isTunnel) return this.#encodeTunnel(bytes, start, end);
		const isSendable = this.#isHeadSent && this.upstream !== undefined;
		if (this.#keepsBody || !isSendable) this.#keep(bytes, start, end);
		if (isSendable) this.#encodeBody(bytes, start, end);
		else if (this.#bodyBytes > this.#replayBytesMax) stream.connection.pause(pauseReasons.waitingForHost);
	}

	#keep(bytes: Buffer, start: number, end: number): void {
		this.#body.push(Buffer.from(bytes.subarray(start, end)));
		this.#bodyBytes += end - start;
		if (this.#bodyBytes <= this.#replayBytesMax) return;
		// Too large to be sent twice.
		this.#keepsBody = false;
		if (this.#isHeadSent) this.#dropBody();
	}

	#dropBody(): void {
		if (this.#body.length > 0) this.#body.length = 0;
		this.#bodyBytes = 0;
	}

	#encodeBody(bytes: Buffer, start: number, end: number): void {
		const { upstream, stream } = this;
		if (upstream === undefined || end === start) return;
		const { output } = stream.context;
		if (stream.request.isChunked) encodeChunk(output, upstream.connection, bytes, start, end);
		else output.sendBytes(upstream.connection, bytes, start, end);
		stream.info.upstreamWireBytesSent += end - start;
	}

	#encodeTunnel(bytes: Buffer, start: number, end: number): void {
		if (this.upstream !== undefined) this.stream.context.output.sendBytes(this.upstream.connection, bytes, start, end);
	}

	onRequestTrailer(name: string, value: string): void {
		this.#trailers.push(name, value);
	}

	onRequestEnd(): void {
		for (const mirror of this.#mirrors) mirror.onRequestEnd();
		if (this.#isFinished) return;
		if (this.#forward !== undefined) this.#armRouteTimer();
		if (this.#isHeadSent) this.#endUpstreamRequest();
	}

	/** The client half-closed its side of the tunnel. */
	onTunnelEnd(): void {
		this.stream.context.output.flush();
		this.upstream?.connection.end();
	}

	// ---- the response

	onResponseHead(): "body" | "tunnel" | "interim" {
		const { stream, response } = this;
		const { status } = response;
		if (status < 200 && status !== 101) {
			if (status === 103 || (status === 100 && stream.manager.config.proxy100Continue)) stream.sendInterim();
			return "interim";
		}
		const isTunnel = stream.upgrade === "connect" ? status >= 200 && status < 300 : status === 101 && stream.upgrade !== "";
		if (status === 101 && !isTunnel) {
			this.#onReset("protocolError", "unexpected 101");
			return "tunnel";
		}
		this.cluster?.outlier.response(this.host as HostEntry, status);
		if (!isTunnel && this.#retriesResponse(status)) return "body";
		this.#acceptResponse(isTunnel);
		return isTunnel ? "tunnel" : "body";
	}

	#retriesResponse(status: number): boolean {
		if (this.#policy === undefined || !this.#canReplay) return false;
		// Most answers are no case for a retry: do not even make the state.
		if (this.#retries === undefined && !this.#policy.retriesResponse(status, this.response)) return false;
		const verdict = this.#retryState().afterResponse(status, this.response, this.host);
		if (verdict !== "retry") {
			this.#noteRefusedRetry(verdict);
			return false;
		}
		this.cluster?.responseCodes.increment(status);
		this.#abandonUpstream();
		this.#retryLater();
		return true;
	}

	#retryState(): RetryState {
		const cluster = this.cluster as ClusterRuntime;
		const { context } = this.stream;
		this.#retries ??= createRetryState(
			this.#policy as CompiledRetryPolicy,
			{ words: cluster.words, breakerSlot: cluster.breakerSlot, priority: this.#priority, limits: cluster.limits(this.#priority) },
			context.random,
		);
		return this.#retries;
	}

	#noteRefusedRetry(verdict: "no" | "limitExceeded" | "overflow"): void {
		if (verdict === "limitExceeded") {
			this.stream.info.responseFlags |= responseFlags.URX;
			this.cluster?.count(clusterStat.upstream_rq_retry_limit_exceeded);
		} else if (verdict === "overflow") {
			this.stream.info.responseFlags |= responseFlags.UO;
			this.cluster?.count(clusterStat.upstream_rq_retry_overflow);
		}
	}

	#retryLater(): void {
		const retries = this.#retries as RetryState;
		this.cluster?.count(clusterStat.upstream_rq_retry);
		this.cluster?.count(clusterStat.upstream_rq_retry_backoff_exponential);
		this.#chooseContext.excluded = retries.triedHosts;
		this.#chooseContext.excludedPriorities = retries.triedPriorities;
		this.#tryTimer.disarm();
		this.delay(retries.backOffMs, () => this.#attempt());
	}

	get #canReplay(): boolean {
		if (this.#isResponseStarted) return false;
		return this.#keepsBody || (this.stream.isRequestComplete && this.stream.info.bytesReceived === 0) || !this.#isHeadSent;
	}

	#acceptResponse(isTunnel: boolean): void {
		const { stream, response } = this;
		const { info, context } = stream;
		this.#isResponseStarted = true;
		this.#keepsBody = false;
		if (!isTunnel) this.#tryTimer.cancel();
		info.upstreamFirstReceivedAt = context.nowMs();
		info.upstreamWireBytesReceived += response.length;
		if (this.#retries?.retried === true && response.status < 500) this.cluster?.count(clusterStat.upstream_rq_retry_success);
		this.cluster?.responseCodes.increment(response.status);
		if (isTunnel) {
			this.isTunnel = true;
			this.#routeTimer.disarm();
			stream.startTunnel();
			stream.connection.openTunnel();
			return;
		}
		const hasBody = !stream.isHead && response.status !== 204 && response.status !== 304 && response.contentLength !== 0;
		stream.startUpstreamResponse(hasBody);
	}

	/** Headers of the route's and the router's own, on every response, local ones included. */
	finishResponseHead(): void {
		const { stream, response } = this;
		const { info, manager, route } = stream;
		if (this.#isResponseStarted && !manager.suppressEnvoyHeaders) {
			if ((response.present & envoyHeaderBit) !== 0) response.remove("x-envoy-upstream-service-time");
			response.appendOwn("x-envoy-upstream-service-time", String(Math.max(0, Math.round(info.upstreamFirstReceivedAt - this.#attemptStartedAt))));
		}
		for (const cookie of this.#setCookies) response.append("set-cookie", cookie);
		if (route?.virtualHost.config.includeAttemptCountInResponse === true && info.attemptCount > 0)
			response.set("x-envoy-attempt-count", String(info.attemptCount));
		const mutate = this.#choice?.mutateResponse ?? (this.#choice === undefined ? route?.mutateResponse : undefined);
		mutate?.(response, info);
	}

	onResponseBody(bytes: Buffer, start: number, end: number): void {
		if (!this.#isResponseStarted) return;
		this.stream.sendResponseBody(bytes, start, end);
	}

	onResponseTrailer(name: string, value: string): void {
		if (this.#isResponseStarted && this.cluster?.config.http1.enableTrailers === true) this.stream.onResponseTrailer(name, value);
	}

	onResponseEnd(): void {
		const { stream } = this;
		if (!this.#isResponseStarted) return;
		stream.info.upstreamLastReceivedAt = stream.context.nowMs();
		this.upstream = undefined;
		this.#isFinished = true;
		this.cluster?.requestMs.record(stream.info.upstreamLastReceivedAt - this.#attemptStartedAt);
		this.#releaseAttempt();
		stream.endUpstreamResponse();
	}

	// ---- failures

	onUpstreamReset(reason: ResetReason, detail: string): void {
		this.#onReset(reason, detail);
	}

	#onReset(reason: ResetReason, detail: string): void {
		const { upstream } = this;
		const isStale = upstream !== undefined && upstream.isReused && !upstream.hasAnswered && reason === "connectionTermination";
		this.upstream = undefined;
		if (upstream !== undefined && reason === "protocolError") upstream.abandon();
		this.cluster?.count(clusterStat.upstream_rq_rx_reset);
		if (this.isTunnel) {
			this.#releaseAttempt();
			this.#isFinished = true;
			this.stream.endUpstreamResponse();
			return;
		}
		// The peer closed an idle connection while our request was on its way: that is no failure of the request.
		if (isStale && !this.#hasReplayed && this.#canReplay && isIdempotent(this.stream.request.method)) {
			this.#hasReplayed = true;
			this.#releaseAttempt();
			this.stream.info.attemptCount--;
			this.#isHeadSent = false;
			this.delay(0, () => this.#attempt());
			return;
		}
		if (!this.#isResponseStarted) this.cluster?.outlier.localFailure(this.host as HostEntry, "reset");
		this.#releaseAttempt();
		this.#fail(resetFailures[reason], detail);
	}

	#fail(failure: Failure, detail: string): void {
		const { stream } = this;
		stream.info.responseFlags |= failure.flag;
		if (this.#isResponseStarted) {
			stream.manager.count(httpStat.rq_reset_after_downstream_response_started);
			stream.info.responseCodeDetails = `upstream_reset_after_response_started{${failure.words.replaceAll(" ", "_")}}`;
			stream.breakOff();
			return;
		}
		if (this.#policy !== undefined && this.#canReplay && this.#retriesReset(failure.retry)) return;
		this.#isFinished = true;
		this.cluster?.responseCodes.increment(failure.status);
		sendLocalReply(stream, resetReply(failure, detail, stream.info.attemptCount > 1, stream.info.upstreamTransportFailureReason));
	}

	#retriesReset(reason: RetryReason): boolean {
		const verdict = this.#retryState().afterReset(reason, this.#isHeadSent, this.host);
		if (verdict !== "retry") {
			this.#noteRefusedRetry(verdict);
			return false;
		}
		this.#isHeadSent = false;
		this.stream.info.responseFlags = 0;
		this.#retryLater();
		return true;
	}

	#onRouteTimeout(): void {
		if (this.#isFinished) return;
		this.cluster?.count(clusterStat.upstream_rq_timeout);
		if (this.host !== undefined && !this.#isResponseStarted) this.cluster?.outlier.localFailure(this.host, "timeout");
		this.#abandonUpstream();
		this.#endWithReply(504, "upstream request timeout", responseFlags.UT, "response_timeout");
	}

	#onTryTimeout(): void {
		if (this.#isFinished) return;
		this.cluster?.count(clusterStat.upstream_rq_per_try_timeout);
		if (this.host !== undefined) this.cluster?.outlier.localFailure(this.host, "timeout");
		this.#abandonUpstream();
		if (!this.#isResponseStarted && this.#policy !== undefined && this.#canReplay && this.#retriesReset("perTryTimeout")) return;
		this.#endWithReply(504, "upstream request timeout", responseFlags.UT, "upstream_per_try_timeout");
	}

	#endWithReply(status: number, body: string, flags: number, details: string): void {
		this.#isFinished = true;
		this.cluster?.responseCodes.increment(status);
		sendLocalReply(this.stream, { status, body, flags, details });
	}

	// ---- flow control

	pauseUpstream(): void {
		this.upstream?.connection.pause();
	}
	resumeUpstream(): void {
		this.upstream?.connection.resume();
	}
	onUpstreamBlocked(): void {
		this.stream.connection.pause(pauseReasons.upstreamBlocked);
	}
	onUpstreamDrain(): void {
		this.stream.connection.resume(pauseReasons.upstreamBlocked);
	}

	// ---- ends

	#abandonUpstream(): void {
		const { upstream } = this;
		this.upstream = undefined;
		this.#pool?.cancel(this);
		this.#pool = undefined;
		if (upstream !== undefined) {
			this.cluster?.count(clusterStat.upstream_rq_tx_reset);
			upstream.abandon();
		}
		this.#isHeadSent = false;
		this.#releaseAttempt();
	}

	/** What the attempt held: a place under the limits, and the host's count. */
	#releaseAttempt(): void {
		if (!this.#holdsRequest) return;
		this.#holdsRequest = false;
		const cluster = this.cluster as ClusterRuntime;
		cluster.letGo("requests", this.#priority);
		cluster.gauge(clusterGauge.upstream_rq_active, -1);
		endRequest(this.host as HostEntry);
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
		this.#tryTimer.cancel();
		this.#retries?.end();
		this.cluster?.count(clusterStat.upstream_cx_tx_bytes_total, this.stream.info.upstreamWireBytesSent);
		// A request that broke off is no request: its copy is not sent.
		if (!this.stream.isRequestComplete) for (const mirror of this.#mirrors) mirror.cancel();
		this.stream.connection.resume(pauseReasons.upstreamBlocked | pauseReasons.waitingForHost);
	}

	dispose(): void {
		this.#routeTimer.disarm();
		this.#tryTimer.disarm();
		this.#delayTimer.disarm();
	}

	reset(): void {
		this.cluster = this.host = this.upstream = undefined;
		this.#forward = this.#choice = this.#pool = this.#policy = this.#retries = undefined;
		this.isTunnel = this.#hasReplayed = this.#isHeadSent = this.#isResponseStarted = this.#keepsBody = false;
		this.#isFinished = true;
		this.#dropBody();
		if (this.#trailers.length > 0) this.#trailers.length = 0;
		this.#mirrors = none;
		this.#setCookies = none;
		const context = this.#chooseContext;
		context.hash = undefined;
		context.excluded = context.excludedPriorities = none;
		context.destination = "";
	}
}
