import type { ResponseHead } from "../codec/response-head.ts";
import { isGrpcServerError } from "../headers/grpc-status.ts";
import type { ChooseContext, HostEntry } from "../lb/host-entry.ts";
import { upstreamTlsInfo } from "../tls/upstream-tls.ts";
import type { ClusterRuntime } from "../upstream/cluster-runtime.ts";
import { clusterStat } from "../upstream/cluster-stats.ts";
import type { PoolClient, PoolFailure, ResetReason, UpstreamClient, UpstreamExchange } from "../upstream/exchange.ts";
import { Attempt } from "./attempt.ts";
import { AttemptTimers } from "./attempt-timers.ts";
import { pauseReasons } from "./downstream.ts";
import type { Attempts } from "./attempts.ts";
import type { RouterState } from "./router.ts";
import { sendLocalReply } from "./local-reply.ts";
import type { HttpStream } from "./stream.ts";

/** What a reset of a stream is counted as; a refused one is as good as none. */
const resetStats: Readonly<Partial<Record<ResetReason, number>>> = {
	remoteReset: clusterStat.upstream_rq_rx_reset,
	protocolError: clusterStat.upstream_rq_tx_reset,
	localReset: clusterStat.upstream_rq_pending_failure_eject,
	connectionTermination: clusterStat.upstream_rq_pending_failure_eject,
};

/**
 * One attempt of a stream, from the choice of its host to the end of its answer. What comes of it the router decides, which
 * uses the same object for one attempt after another.
 */
export class UpstreamRequest implements UpstreamClient, PoolClient {
	readonly response: ResponseHead;
	isHeadSent = false;
	/** Another is tried beside it. */
	isHedged = false;
	/** It has been answered by a status below 200. */
	hasInterim = false;
	readonly #router: RouterState;
	readonly #attempts: Attempts;
	readonly #stream: HttpStream;
	readonly #attempt = new Attempt();
	readonly #timers: AttemptTimers;
	/** An answer of gRPC whose status has not come. */
	#isOutcomeOpen = false;
	/** That its host takes too long has been noted. */
	#isSlow = false;
	/** Of its answer; filters may still have some. */
	#bodyBytes = 0;
	/** The client, or a filter, takes no more of its answer. */
	#isPaused = false;

	constructor(router: RouterState, attempts: Attempts, response: ResponseHead) {
		const { stream } = router;
		this.response = response;
		this.#router = router;
		this.#attempts = attempts;
		this.#stream = stream;
		this.#timers = new AttemptTimers(
			stream.context.wheel,
			() => attempts.onTryTimeout(this, clusterStat.upstream_rq_per_try_timeout, "upstream_per_try_timeout"),
			() => attempts.onTryTimeout(this, clusterStat.upstream_rq_per_try_idle_timeout, "upstream_per_try_idle_timeout"),
			() => attempts.onDurationReached(this),
		);
	}

	get isHead(): boolean {
		return this.#stream.isHead;
	}
	get host(): HostEntry | undefined {
		return this.#attempt.host;
	}
	/** Between `begin` and its end. */
	get isUnderWay(): boolean {
		return this.#attempt.isUnderWay;
	}
	/** When its head was sent; ms. */
	get startedAt(): number {
		return this.#attempt.startedAt;
	}

	// ---- the way to a host

	/** A host for it, or why there is none. */
	begin(cluster: ClusterRuntime, priority: "default" | "high", context: ChooseContext): HostEntry | "noHost" | "overflow" {
		const host = this.#attempt.begin(cluster, priority, context);
		this.isHedged = this.hasInterim = this.#isSlow = this.#isPaused = false;
		this.#bodyBytes = 0;
		if (host === "noHost" || host === "overflow" || cluster.tracking === undefined) return host;
		this.#attempt.begunAt = this.#stream.context.nowMs();
		this.#attempt.hasAnswered = false;
		cluster.tracking.attemptBegins(this.#stream.request);
		return host;
	}

	/** Asks for a connection. How long the attempt may be silent, and last; 0: for ever. */
	connect(idleMs: number, durationMs: number): void {
		const { info, manager, request, upgrade } = this.#stream;
		this.#timers.start(idleMs, durationMs);
		if (upgrade === "connect" && this.#router.terminatesConnect) return this.#attempt.connectTcp(this, info.connection);
		this.#attempt.connect(this, request, manager.upstreamAlpn, info);
	}

	onPoolReady(upstream: UpstreamExchange): void {
		const { context, downstream, info, isRequestDelivered, request, upgrade } = this.#stream;
		const { replay } = this.#router;
		const { cluster, host } = this.#attempt;
		this.#attempt.leavePool();
		this.#attempt.upstream = upstream;
		upstream.begin(this);
		cluster?.count(clusterStat.upstream_rq_total);
		this.#router.countApart("upstream_rq_total");
		(host as HostEntry).counts.rq_total++;
		// An earlier attempt may have stopped the client and ended before it could let it go on.
		downstream.resume(pauseReasons.upstreamBlocked);
		this.#attempt.startedAt = context.nowMs();
		this.#nameConnection(upstream);
		cluster?.outlier.connected(host as HostEntry, false);
		const isEnd = isRequestDelivered && !request.hasBody && upgrade === "" && replay.trailers.length === 0;
		upstream.sendHead(request, upgrade, isEnd);
		this.isHeadSent = true;
		info.upstreamWireBytesSent += request.length;
		this.#timers.touch();
		for (const bytes of replay.pieces) this.sendBody(bytes, 0, bytes.length);
		if (!replay.isKept) replay.drop();
		downstream.resume(pauseReasons.waitingForHost);
		if (isEnd) info.upstreamLastSentAt = context.nowMs();
		else if (isRequestDelivered) this.sendEnd(replay.trailers);
		// What upgrades does not end before it is answered.
		if (isRequestDelivered || upgrade !== "") this.armTryTimer();
	}

	#nameConnection({ connection, localAddress, protocol }: UpstreamExchange): void {
		const { info } = this.#stream;
		info.upstreamProtocol = protocol;
		info.upstreamLocalAddress = localAddress;
		info.upstreamFirstSentAt = this.#attempt.startedAt;
		info.upstreamTls = connection.isTls ? upstreamTlsInfo(connection) : undefined;
	}

	/** Of several attempts it is this one that is told of. */
	describe(): void {
		const { info } = this.#stream;
		const { host, upstream } = this.#attempt;
		info.upstreamHost = host?.address ?? "";
		info.upstreamHostName = host?.host.hostname ?? "";
		if (upstream !== undefined) this.#nameConnection(upstream);
	}

	/** As in Envoy: an attempt has its time from when all of the request is there, and a connection to send it on. */
	armTryTimer(): void {
		this.#timers.startWhole(this.#router.timeouts.attemptMs);
	}

	onPoolFailure(failure: PoolFailure, transportFailure: string): void {
		this.#attempt.leavePool();
		if (failure !== "overflow") {
			this.#stream.info.upstreamTransportFailureReason = transportFailure.slice(0, 512);
			this.noteFailure(failure === "connectionTimeout" ? "timeout" : "connectFailure");
		}
		this.#attempts.onPoolFailure(this, failure, transportFailure);
	}

	// ---- the request

	/** There is somebody to send the body to. */
	get takesBody(): boolean {
		return this.isHeadSent && this.#attempt.upstream !== undefined;
	}

	sendBody(bytes: Buffer, start: number, end: number): void {
		const { upstream } = this.#attempt;
		if (upstream === undefined) return;
		upstream.sendBody(bytes, start, end);
		this.#timers.touch();
		this.#stream.info.upstreamWireBytesSent += end - start;
	}

	/** After an upgrade request nothing else may be said but what belongs to the tunnel. */
	sendEnd(trailers: readonly string[]): void {
		const { context, info, upgrade } = this.#stream;
		if (this.#router.isTunnel) return;
		info.upstreamLastSentAt = context.nowMs();
		if (upgrade === "") this.#attempt.upstream?.sendEnd(trailers);
	}

	sendTunnelBytes(bytes: Buffer, start: number, end: number): void {
		this.#attempt.upstream?.sendBody(bytes, start, end);
	}

	endTunnel(): void {
		this.#attempt.upstream?.sendEnd([]);
	}

	pause(): void {
		const { cluster, upstream } = this.#attempt;
		if (upstream === undefined) return;
		if (!this.#isPaused) cluster?.count(clusterStat.upstream_flow_control_paused_reading_total);
		this.#isPaused = true;
		upstream.pause();
	}

	resume(): void {
		const { cluster, upstream } = this.#attempt;
		if (upstream === undefined) return;
		if (this.#isPaused) cluster?.count(clusterStat.upstream_flow_control_resumed_reading_total);
		this.#isPaused = false;
		upstream.resume();
	}

	onUpstreamBlocked(): void {
		this.#attempt.cluster?.count(clusterStat.upstream_flow_control_backed_up_total);
		this.#stream.downstream.pause(pauseReasons.upstreamBlocked);
	}

	onUpstreamDrain(): void {
		this.#attempt.cluster?.count(clusterStat.upstream_flow_control_drained_total);
		this.#stream.downstream.resume(pauseReasons.upstreamBlocked);
	}

	// ---- the response

	onResponseHead(hasBody: boolean): "body" | "tunnel" | "interim" {
		const { response } = this;
		const { status } = response;
		if (status < 200 && status !== 101) {
			this.hasInterim = true;
			return this.#router.onInterim(this);
		}
		const { upgrade } = this.#stream;
		const isTunnel = upgrade === "connect" ? status >= 200 && status < 300 : status === 101 && upgrade !== "";
		if (status === 101 && !isTunnel) {
			this.onUpstreamReset("protocolError", "unexpected 101");
			return "tunnel";
		}
		if (upgrade === "websocket" && !isTunnel && status < 400) {
			this.#refuseHandshake(status);
			return "tunnel";
		}
		const cluster = this.#attempt.cluster as ClusterRuntime;
		const host = this.#attempt.host as HostEntry;
		cluster.outlier.response(host, status);
		this.#countAnswer(status, hasBody);
		if (cluster.tracking !== undefined) {
			this.#attempt.hasAnswered = true;
			cluster.tracking.responseBegins(response);
		}
		if (cluster.checksHealth && response.has("x-envoy-immediate-health-check-fail")) cluster.failImmediately(host);
		this.#attempts.onResponseHead(this, isTunnel, hasBody);
		return isTunnel ? "tunnel" : "body";
	}

	/** As in Envoy: neither the switch of protocols nor an error, so that what follows is for nobody. */
	#refuseHandshake(status: number): void {
		const headers: string[] = [];
		this.response.forEach((name, value) => {
			if (name !== "content-length") headers.push(name, value);
		});
		this.#router.cancel();
		sendLocalReply(this.#stream, { status, headers, body: "", flags: 0, details: "websocket_handshake_unsuccessful" });
	}

	/** It is this attempt's answer that the client gets. */
	accept(isTunnel: boolean): void {
		const { context, info } = this.#stream;
		const { cluster, host, startedAt } = this.#attempt;
		if (isTunnel) this.#timers.cancel();
		else this.#timers.answered();
		info.upstreamFirstReceivedAt = context.nowMs();
		cluster?.observeLatency(host as HostEntry, info.upstreamFirstReceivedAt - startedAt);
		info.upstreamWireBytesReceived += this.response.length;
	}

	/** A gRPC service says at the end how it went. */
	#countAnswer(status: number, hasBody: boolean): void {
		const { counts } = this.#attempt.host as HostEntry;
		if (status >= 500) counts.rq_error++;
		else if (!this.#stream.isGrpcRequest) counts.rq_success++;
		else if (hasBody) this.#isOutcomeOpen = true;
		else this.#countGrpcOutcome(this.response.get("grpc-status"));
	}

	#countGrpcOutcome(status: string | undefined): void {
		const { counts } = this.#attempt.host as HostEntry;
		this.#isOutcomeOpen = false;
		if (status === undefined || isGrpcServerError(Number(status))) counts.rq_error++;
		else counts.rq_success++;
	}

	onResponseBody(bytes: Buffer, start: number, end: number): void {
		if (!this.#router.isResponseStarted) return;
		this.#timers.touch();
		this.#bodyBytes += end - start;
		this.#stream.sendResponseBody(bytes, start, end);
	}

	onResponseTrailer(name: string, value: string): void {
		if (this.#isOutcomeOpen && name === "grpc-status") this.#countGrpcOutcome(value);
		if (this.#router.isResponseStarted) this.#stream.onResponseTrailer(name, value);
	}

	onResponseEnd(): void {
		if (this.#isOutcomeOpen) this.#countGrpcOutcome(undefined);
		if (!this.#router.isResponseStarted) return;
		this.#attempt.upstream = undefined;
		this.#router.onResponseEnd(this);
	}

	// ---- ends

	onUpstreamReset(reason: ResetReason, detail: string): void {
		const { cluster, host, upstream } = this.#attempt;
		const isUnread = reason === "unprocessed";
		// The peer closed an idle connection while our request was on its way: that is no failure of the request.
		const isStale = upstream !== undefined && upstream.isReused && !upstream.hasAnswered && reason === "connectionTermination";
		this.#attempt.upstream = undefined;
		if (this.#isOutcomeOpen) this.#countGrpcOutcome(undefined);
		if (upstream !== undefined && reason === "protocolError") upstream.abandon();
		if (upstream?.protocol === "HTTP/2") this.#countReset(reason);
		if (detail !== "") this.#stream.context.log("router", "debug", `upstream reset: ${detail}`, { cluster: cluster?.config.name, host: host?.address });
		this.#attempts.onReset(this, reason, isUnread ? "unread" : isStale ? "stale" : "failed");
	}

	/** Of streams alone: an exchange of HTTP/1 has nothing to reset but its connection. */
	#countReset(reason: ResetReason): void {
		const stat = resetStats[reason];
		if (stat !== undefined) this.#attempt.cluster?.count(stat);
	}

	/** The host did not answer: what its cluster keeps of that. */
	noteFailure(kind: "connectFailure" | "timeout" | "reset"): void {
		const { counts } = this.#attempt.host as HostEntry;
		if (kind !== "timeout" || !this.#isSlow) this.#judgeHost(kind);
		counts.rq_error++;
		if (kind === "timeout") counts.rq_timeout++;
	}

	/** The host takes too long, and may answer yet. */
	noteSlow(): void {
		this.#isSlow = true;
		this.#judgeHost("timeout");
	}

	#judgeHost(kind: "connectFailure" | "timeout" | "reset"): void {
		const cluster = this.#attempt.cluster as ClusterRuntime;
		const host = this.#attempt.host as HostEntry;
		cluster.outlier.localFailure(host, kind);
		// A host that fails fast must not look fast.
		cluster.observeLatency(host, cluster.config.connectTimeoutMs);
	}

	/** The attempt is over, whatever came of it. */
	release(): void {
		const tracking = this.#attempt.cluster?.tracking;
		if (tracking !== undefined && this.#attempt.isUnderWay) {
			const { context, info } = this.#stream;
			const elapsedMs = this.#router.hasTimedOut ? undefined : context.nowMs() - this.#attempt.begunAt;
			tracking.attemptEnds(elapsedMs, this.#router.timeouts.perTryMs, info.bytesReceived, this.#attempt.hasAnswered ? this.#bodyBytes : undefined);
		}
		this.#attempt.release();
	}

	/** Nobody waits for it any more: its stream is reset, its place in a queue given up. */
	abandon(): void {
		this.#isOutcomeOpen = false;
		this.#attempt.abandon(this);
		this.isHeadSent = false;
		this.release();
	}

	stopTimers(): void {
		this.#timers.disarm();
	}

	cancelTimers(): void {
		this.#timers.cancel();
	}

	reset(): void {
		this.#attempt.reset();
		this.#isOutcomeOpen = this.isHeadSent = false;
	}
}
