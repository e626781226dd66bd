import type { HttpStream } from "../http/stream.ts";
import type { UpstreamRequest } from "../http/upstream-request.ts";
import type { ManagerTracing } from "./manager-tracing.ts";
import type { Span } from "./span.ts";
import { tagAttempt, tagRequest } from "./span-tags.ts";
import type { Tracer } from "./tracer.ts";

const operationHeader = "x-envoy-decorator-operation";

interface AttemptSpan {
	readonly span: Span;
	/** 1: the first. */
	readonly number: number;
}

/** The trace of one request: its span, and, where wanted, one for each attempt. */
export class RequestTrace {
	readonly span: Span;
	readonly #tracing: ManagerTracing;
	readonly #tracer: Tracer;
	/** Said to the caller, whose span is named after it. */
	readonly #operationForCaller: string;
	/** Of attempts under way; undefined: they have no spans of their own. */
	readonly #attempts: Map<UpstreamRequest, AttemptSpan> | undefined;

	constructor(tracing: ManagerTracing, tracer: Tracer, stream: HttpStream, isTraced: boolean) {
		this.#tracing = tracing;
		this.#tracer = tracer;
		const { info, request, route } = stream;
		const { isServer } = tracing;
		this.#attempts = tracing.config.spawnUpstreamSpan ? new Map() : undefined;
		this.span = tracer.start(request, { startUs: epochUs(stream, info.startAt), isTraced, isServer, authority: request.authority });
		info.traceId = this.span.traceId;
		// Envoy's spans of Zipkin do not tell theirs.
		if (tracing.config.provider?.kind === "openTelemetry") info.spanId = this.span.spanId;
		const decorator = route?.config.decorator;
		const isTold = decorator !== undefined && decorator.operation !== "" && decorator.propagate;
		if (decorator !== undefined && decorator.operation !== "") this.span.name = decorator.operation;
		this.#operationForCaller = isServer && isTold ? decorator.operation : "";
		if (isServer) {
			// The caller's word counts before our own.
			const told = request.get(operationHeader);
			if (told !== undefined && told !== "") {
				this.span.name = told;
				this.#operationForCaller = "";
			}
			request.remove(operationHeader);
		} else if (isTold) request.set(operationHeader, decorator.operation);
	}

	/** What the upstream is told: of the attempt when it has a span of its own. */
	beginAttempt(stream: HttpStream, attempt: UpstreamRequest): void {
		const { context, info, request } = stream;
		const span = this.#attempts && this.#tracer.spawn(this.span, `router ${info.upstreamCluster} egress`, epochUs(stream, context.nowMs()));
		if (span !== undefined) this.#attempts?.set(attempt, { span, number: info.attemptCount });
		this.#tracer.inject(span ?? this.span, request);
	}

	/** `status` 0: no answer came, and `failure` says why. */
	endAttempt(stream: HttpStream, attempt: UpstreamRequest, status: number, failure: string): void {
		const found = this.#attempts?.get(attempt);
		if (found === undefined) return;
		this.#attempts?.delete(attempt);
		const { number, span } = found;
		if (!span.isSampled) return;
		tagAttempt(span, stream, { host: attempt.host?.address ?? "", number, status, failure });
		this.#finish(span, stream, stream.context.nowMs());
	}

	onResponseHead(stream: HttpStream): void {
		const { response } = stream;
		if (this.#tracing.isServer) {
			if (this.#operationForCaller !== "") response.set(operationHeader, this.#operationForCaller);
			return;
		}
		const told = response.get(operationHeader);
		if (told === undefined) return;
		if (told !== "") this.span.name = told;
		response.remove(operationHeader);
	}

	finish(stream: HttpStream): void {
		for (const attempt of this.#attempts?.keys() ?? []) this.endAttempt(stream, attempt, stream.info.responseCode, "");
		if (!this.span.isSampled) return;
		if (this.#tracing.config.verbose) this.#noteTimes(stream);
		tagRequest(this.span, stream, this.#tracing.config.pathTagLengthMax);
		this.#finish(this.span, stream, stream.info.endAt);
	}

	#finish(span: Span, stream: HttpStream, endAt: number): void {
		for (const { name, read } of this.#tracing.tagsOf(stream)) {
			const value = read(stream.info);
			if (value !== "") span.tags.push([name, value]);
		}
		span.durationUs = Math.max(0, Math.round(epochUs(stream, endAt) - span.startUs));
		this.#tracer.report(span);
	}

	#noteTimes(stream: HttpStream): void {
		const { info } = stream;
		for (const [name, at] of [
			["last_downstream_rx_byte_received", info.requestEndAt],
			["first_upstream_tx_byte_sent", info.upstreamFirstSentAt],
			["last_upstream_tx_byte_sent", info.upstreamLastSentAt],
			["first_upstream_rx_byte_received", info.upstreamFirstReceivedAt],
			["last_upstream_rx_byte_received", info.upstreamLastReceivedAt],
			["first_downstream_tx_byte_sent", info.downstreamFirstSentAt],
			["last_downstream_tx_byte_sent", info.endAt],
		] as const) {
			if (at >= 0) this.span.events.push([name, epochUs(stream, at)]);
		}
	}
}

/** Of a monotonic time: the start's wall clock, and how much later it was. */
function epochUs({ info }: HttpStream, at: number): number {
	return Math.round(info.startTimeMs * 1000 + (at - info.startAt) * 1000);
}
