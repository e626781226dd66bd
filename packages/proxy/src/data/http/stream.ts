import { known } from "../codec/known-names.ts";
import { RequestHead } from "../codec/request-head.ts";
import { ResponseHead } from "../codec/response-head.ts";
import { TrailersView } from "../headers/trailers-view.ts";
import { applyClientCertificate } from "./client-certificate.ts";
import type { CompiledManager } from "./connection-manager.ts";
import type { Downstream } from "./downstream.ts";
import { HeldResponse } from "./held-response.ts";
import { httpGauge, httpStat } from "./http-stats.ts";
import type { RedirectHistory } from "./internal-redirect.ts";
import { sendLocalReply } from "./local-reply.ts";
import { setOwnHeaders } from "./own-headers.ts";
import { admitRequest } from "./request-prologue.ts";
import { forwardRequest, routeRequest } from "./route-selection.ts";
import { RouterState } from "./router.ts";
import { StreamFilters } from "./stream-filters.ts";
import { StreamTimers } from "./stream-timers.ts";
import { responseFlags } from "../log/response-flags.ts";
import { createConnectionInfo, createStreamInfo, resetStreamInfo, type StreamInfo } from "../log/stream-info.ts";
import { type ClusterChoice, type CompiledRoute, isGrpc } from "../match/route-table.ts";
import type { IstioPeer } from "../stats/istio-metrics.ts";
import type { RequestTrace } from "../tracing/request-trace.ts";
import type { ClusterRuntime } from "../upstream/cluster-runtime.ts";
import type { WorkerContext } from "../worker/context.ts";
import { emptySnapshot, type Snapshot } from "../worker/snapshot.ts";

const idleInfo = createConnectionInfo();

/** Why no more of the upstream's answer is read. */
export const responsePauses = { downstreamBlocked: 1, throttled: 2 } as const;

/** A host that a filter wants instead of the balancer's choice; `strict`: or none. */
export interface HostOverride {
	readonly address: string;
	readonly strict: boolean;
}

/**
 * One request and its response. Streams are reused: a connection takes one when a request begins and gives it back
 * when that is over, so nothing is allocated for the common request.
 *
 *   idle → receiving → routed → (waiting for a host) → responding → over
 *                  └──────── local reply ────────────────┘
 */
export class HttpStream {
	readonly request = new RequestHead();
	response = new ResponseHead();
	readonly info: StreamInfo;
	readonly context: WorkerContext;
	readonly router: RouterState;
	readonly filters: StreamFilters;
	readonly timers: StreamTimers;
	/** Set while the stream is in use. */
	downstream!: Downstream;
	manager!: CompiledManager;
	snapshot: Snapshot = emptySnapshot;
	route: CompiledRoute | undefined;
	/** Of `choice`; undefined when there is none of that name. */
	cluster: ClusterRuntime | undefined;
	/** What the route makes of the request; undefined unless it forwards. */
	choice: ClusterChoice | undefined;
	routing: "found" | "noTable" | "noRoute" | "needsTls" = "noRoute";
	/** Where the client's stored session lives (`stateful_session`). */
	hostOverride: HostOverride | undefined;
	/** undefined: no redirect has been followed. */
	redirects: RedirectHistory | undefined;
	/** Protocol asked for by `upgrade`, or `connect`; "" for none. */
	upgrade = "";
	/** undefined: no tracer is configured, or the request came no further than its head. */
	trace: RequestTrace | undefined;
	/** The workload that the sidecar in front named, for metrics. */
	peer: IstioPeer | undefined;
	/** All of the request has been received. */
	isRequestComplete = false;
	/** All of the request has passed the filters. */
	isRequestDelivered = false;
	isResponseStarted = false;
	isOver = false;
	isHead = false;
	/** The request has come as far as the router. */
	#isFiltered = false;
	/** What came of an answer that is held. */
	readonly #held = new HeldResponse();
	/** The answer is logged, and not the client's. */
	#isPassedOver = false;
	/** The response was over with its head. */
	#hasEnded = false;
	/** Those of `responsePauses` that hold. */
	#responsePauses = 0;
	readonly #trailers: string[] = [];
	readonly #trailersView = new TrailersView(this.#trailers);

	constructor(context: WorkerContext) {
		this.context = context;
		this.info = createStreamInfo(idleInfo);
		this.router = new RouterState(this);
		this.filters = new StreamFilters(this);
		this.timers = new StreamTimers(this);
	}

	/** `request` holds the head that was received, less what is for one hop only. */
	begin(downstream: Downstream, isComplete: boolean, upgrade: string): void {
		this.arrive(downstream, isComplete, upgrade);
		this.work();
	}

	/** First half of `begin`: it is there, and would be logged, but nothing has been done for it yet. */
	arrive(downstream: Downstream, isComplete: boolean, upgrade: string): void {
		this.#start(downstream, isComplete);
		this.upgrade = upgrade;
	}

	/** Second half of `begin`. */
	work(): void {
		this.timers.start();
		this.#admit();
	}

	/**
	 * The request begins anew, as it is now: another stream in all but the client's eyes. What was answered so far is
	 * counted and logged by itself.
	 */
	restart(): void {
		const { context, downstream, filters, info, redirects, request, response } = this;
		const { bytesReceived, requestId, startAt, startTimeMs } = info;
		const body = request.hasBody ? this.router.replay.take() : [];
		info.responseCode = response.status;
		info.responseCodeDetails = "internal_redirect";
		this.#isPassedOver = true;
		this.finish();
		this.#clear();
		this.redirects = redirects;
		const { manager } = downstream;
		manager.count(httpStat.downstream_rq_total);
		manager.count(request.version === 20 ? httpStat.downstream_rq_http2_total : httpStat.downstream_rq_http1_total);
		manager.gauge(httpGauge.downstream_rq_active, 1);
		this.#start(downstream, body.length === 0);
		// As in Envoy, what is sent again counts as received again.
		Object.assign(info, { bytesReceived, requestId, startAt, startTimeMs });
		this.timers.touch(context.nowMs());
		this.timers.start();
		const send = filters.guard((piece: Buffer) => this.onRequestBody(piece, 0, piece.length));
		const end = filters.guard(() => this.onRequestEnd());
		this.#admit();
		for (const piece of body) send(piece);
		if (body.length > 0) end(undefined);
	}

	#admit(): void {
		const { overload } = this.context;
		if (overload === undefined || this.manager.bypassesOverload) {
			if (admitRequest(this)) routeRequest(this);
			return;
		}
		if (overload.rejectsRequest) {
			this.manager.count(httpStat.downstream_rq_overload_close);
			return this.#refuseOverloaded();
		}
		if (!admitRequest(this)) return;
		if (overload.sheds("http_downstream_filter_check")) return this.#refuseOverloaded();
		routeRequest(this);
	}

	#refuseOverloaded(): void {
		sendLocalReply(this, { status: 503, body: "envoy overloaded", flags: 0, details: "overload" });
	}

	/** There is no usable request: only a local reply can follow. */
	beginMalformed(downstream: Downstream, isComplete: boolean): void {
		this.request.clear();
		this.#start(downstream, isComplete);
		this.info.request = undefined;
	}

	#start(downstream: Downstream, isComplete: boolean): void {
		const { context, info } = this;
		this.downstream = downstream;
		this.manager = downstream.manager.newest;
		this.manager.generation?.beginStream();
		this.snapshot = context.snapshot;
		this.isRequestComplete = isComplete;
		this.isRequestDelivered = false;
		this.isResponseStarted = this.isOver = this.#hasEnded = this.#isFiltered = this.#isPassedOver = false;
		this.isHead = this.request.method === "HEAD";
		this.upgrade = "";
		info.connection = downstream.info;
		info.startAt = context.nowMs();
		this.timers.touch(info.startAt);
		info.startTimeMs = context.wallMs();
		info.protocol = this.request.protocol;
		info.request = this.request;
		info.response = this.response;
		info.requestHeaderBytes = info.downstreamWireBytesReceived = this.request.length;
		if (isComplete) info.requestEndAt = info.startAt;
	}

	get isGrpcRequest(): boolean {
		return this.request.hasKnown(known["content-type"]) && isGrpc(this.request);
	}

	/** The address that trusted headers name, without a port. */
	setClientAddress(address: string): void {
		this.downstream.setClientAddress(address);
		this.info.connection = this.downstream.info;
	}

	applyClientCertificate(): void {
		applyClientCertificate(this);
	}

	/** The filters let the request pass. */
	onFiltered(): void {
		this.#isFiltered = true;
		forwardRequest(this);
	}

	get isTunnel(): boolean {
		return this.router.isTunnel;
	}

	// ---- the request's body

	onRequestBody(bytes: Buffer, start: number, end: number): void {
		this.info.bytesReceived += end - start;
		this.info.downstreamWireBytesReceived += end - start;
		this.timers.touch(this.context.nowMs());
		if (!this.isOver) this.filters.onRequestBody(bytes, start, end);
	}

	onRequestTrailer(name: string, value: string): void {
		if (!this.isOver) this.router.onRequestTrailer(name, value);
	}

	onRequestEnd(): void {
		this.isRequestComplete = true;
		this.info.requestEndAt = this.context.nowMs();
		this.timers.onRequestEnd();
		if (!this.isOver) this.filters.onRequestEnd();
	}

	/** The client half-closed its side of the tunnel. */
	onTunnelEnd(): void {
		this.filters.onTunnelEnd();
	}

	// ---- the client's pace

	onDownstreamBlocked(): void {
		this.pauseResponse(responsePauses.downstreamBlocked);
	}

	onDownstreamDrain(): void {
		this.resumeResponse(responsePauses.downstreamBlocked);
	}

	pauseResponse(reason: number): void {
		this.#responsePauses |= reason;
		this.router.pauseUpstream();
	}

	resumeResponse(reason: number): void {
		this.#responsePauses &= ~reason;
		if (this.#responsePauses === 0) this.router.resumeUpstream();
	}

	// ---- the response

	/** Of several attempts it is not the first that answers. */
	answerWith(response: ResponseHead): void {
		this.response = this.info.response = response;
	}

	/** `response` is what upstream sent. */
	startUpstreamResponse(hasBody: boolean): void {
		this.info.responseCodeDetails = "via_upstream";
		if (hasBody && this.filters.holdsResponse) return this.#held.start();
		if (!hasBody) this.#hasEnded = true;
		this.#startResponse(hasBody);
	}

	/** undefined: no body, and nothing said of its length. */
	respondLocally(body: Buffer | undefined, isClose: boolean): void {
		if (isClose) this.downstream.closeAfter();
		// RFC 9112 §6.3: with these statuses nothing follows the head, and a client would take a body for the next answer.
		const mayFollow = !this.isHead && this.response.status !== 204 && this.response.status !== 304;
		const hasBody = body !== undefined && body.length > 0 && mayFollow;
		if (body !== undefined) this.response.contentLength = body.length;
		// As in Envoy: the route's headers are made before the answer has its status.
		this.#startResponse(hasBody, 0);
		this.#hasEnded = !hasBody;
		if (hasBody) this.sendResponseBody(body, 0, body.length);
		if (this.endResponse()) return;
		// A filter still has some of it: whatever is on its way of the request, and whoever looks at it, comes too late.
		this.router.cancel();
		this.filters.cancel();
	}

	/** `statusForRoute`: what the headers that the route adds are told. */
	#startResponse(hasBody: boolean, statusForRoute = this.response.status): void {
		const { response, info, context } = this;
		this.isResponseStarted = true;
		info.responseCode = statusForRoute;
		info.downstreamFirstSentAt = context.nowMs();
		// As in Envoy: what a filter answers for a route that does not forward is no business of that route's.
		if (this.choice !== undefined || this.#isFiltered) this.router.finishResponseHead();
		info.responseCode = response.status;
		this.filters.onResponseHead(hasBody);
		info.responseCode = response.status;
		this.trace?.onResponseHead(this);
		setOwnHeaders(this);
		info.responseHeaderBytes = response.encodedBytesMax;
		info.downstreamWireBytesSent += info.responseHeaderBytes;
		this.downstream.sendHead(response, hasBody);
	}

	/** 101, or 2xx to CONNECT: bytes pass both ways from now on. */
	startTunnel(): void {
		const { response, context, info } = this;
		// RFC 9110 §9.3.6: what follows is the tunnel, whatever its opening says of a length.
		response.removeKnown(known["content-length"]);
		this.isResponseStarted = true;
		info.responseCode = response.status;
		info.responseCodeDetails = "via_upstream";
		info.downstreamFirstSentAt = context.nowMs();
		this.router.finishResponseHead();
		this.filters.onResponseHead(false);
		setOwnHeaders(this);
		this.downstream.openTunnel(response, this.upgrade);
		this.timers.restartIdle();
	}

	/** An interim answer has no body, whatever it says (RFC 9110 §15.2): a client must not be led to wait for one. */
	sendInterim(): void {
		this.response.removeKnown(known["content-length"]);
		this.manager.countResponse(this.response.status);
		this.downstream.sendInterim(this.response);
	}

	sendResponseBody(bytes: Buffer, start: number, end: number): void {
		if (this.#held.isHeld) return this.#hold(bytes.subarray(start, end));
		if (this.filters.seesResponseBody) this.filters.onResponseBody(bytes.subarray(start, end));
		else this.sendPassedBody(bytes, start, end);
	}

	#hold(bytes: Buffer): void {
		if (this.#held.add(bytes, this.manager.bufferBytesMax)) return;
		this.router.cancel();
		sendLocalReply(this, { status: 500, body: "", flags: 0, details: "response_payload_too_large" });
	}

	#releaseHeld(): void {
		const body = this.#held.take();
		this.filters.onResponseHeld(this.#trailers);
		this.response.contentLength = body.length;
		this.response.replaceKnown(known["content-length"], "content-length", String(body.length));
		this.#startResponse(true);
		if (body.length > 0) this.sendResponseBody(body, 0, body.length);
	}

	/** What has passed the filters. */
	sendPassedBody(bytes: Buffer, start: number, end: number): void {
		const { info } = this;
		info.bytesSent += end - start;
		info.downstreamWireBytesSent += end - start;
		this.timers.touch(this.context.nowMs());
		this.downstream.sendBody(bytes, start, end);
	}

	onResponseTrailer(name: string, value: string): void {
		this.#trailers.push(name, value);
		this.info.responseTrailers = this.#trailersView;
	}

	/** Takes the place of those of its name. */
	setResponseTrailer(name: string, value: string): void {
		const trailers = this.#trailers;
		for (let i = trailers.length - 2; i >= 0; i -= 2) if (trailers[i] === name) trailers.splice(i, 2);
		this.onResponseTrailer(name, value);
	}

	/** False: a filter still has some of it, and it ends later. */
	endResponse(): boolean {
		if (this.#held.isHeld) this.#releaseHeld();
		if (!this.#hasEnded && this.filters.seesResponseBody) return this.filters.onResponseEnd(this.#trailers);
		this.completeResponse();
		return true;
	}

	/** All of it has passed the filters. */
	completeResponse(): void {
		if (!this.#hasEnded) this.downstream.sendEnd(this.#trailers);
		// A tunnel that did not come to be is a request without an end.
		if (!this.isRequestComplete || (this.upgrade !== "" && !this.isTunnel)) {
			this.manager.count(httpStat.downstream_rq_response_before_rq_complete);
			// Envoy's own counting: it resets what is left of such a stream.
			this.manager.count(httpStat.downstream_rq_rx_reset);
			this.router.cancel();
		}
		this.finish();
		this.downstream.onStreamOver();
	}

	// ---- ends that are none

	/** The response cannot be completed: the client must see that. */
	breakOff(): void {
		this.manager.count(httpStat.downstream_rq_tx_reset);
		this.manager.count(httpStat.downstream_rq_rx_reset);
		this.router.cancel();
		this.finish();
		this.downstream.reset();
	}

	/** The client is gone; `flag` and `details` say how. */
	onDownstreamGone(flag: number = responseFlags.DC, details = "downstream_remote_disconnect"): void {
		if (this.isOver) return;
		this.info.responseFlags |= flag;
		this.info.responseCodeDetails = details;
		this.manager.count(httpStat.downstream_rq_rx_reset);
		this.router.cancel();
		this.finish();
	}

	/** Counts, logs; the stream may be reset afterwards. */
	finish(): void {
		if (this.isOver) return;
		this.isOver = true;
		const { info, manager, context } = this;
		this.timers.cancel();
		info.endAt = context.nowMs();
		this.router.finish();
		this.filters.cancel();
		this.filters.finish();
		manager.gauge(httpGauge.downstream_rq_active, -1);
		manager.count(httpStat.downstream_cx_tx_bytes_total, info.downstreamWireBytesSent);
		if (info.responseCode !== 0 && !this.#isPassedOver) manager.countResponse(info.responseCode);
		manager.requestMs.record(info.endAt - info.startAt);
		this.trace?.finish(this);
		for (const observe of manager.observers) observe(this);
		manager.log(info);
		manager.generation?.endStream();
	}

	/** Not to be used again. */
	dispose(): void {
		this.timers.dispose();
		this.router.dispose();
	}

	/** Back to what a new stream is. */
	reset(): void {
		this.request.clear();
		this.redirects = undefined;
		this.#clear();
	}

	/** All but the request. */
	#clear(): void {
		this.response.clear();
		this.router.reset();
		resetStreamInfo(this.info);
		this.info.connection = idleInfo;
		this.snapshot = emptySnapshot;
		this.filters.reset();
		this.#held.drop();
		this.route = this.choice = this.cluster = this.hostOverride = this.trace = undefined;
		this.isRequestComplete = this.isRequestDelivered = this.isResponseStarted = this.isOver = false;
		this.#responsePauses = 0;
		if (this.#trailers.length > 0) this.#trailers.length = 0;
	}
}
