import type { FaultPolicy } from "../../config/http-filters.ts";
import type { Fraction } from "../../config/matchers.ts";
import { openCount } from "../../config/shared-buckets.ts";
import { bytesPerKib, type ByteBucket, createByteBucket } from "../throttle/byte-bucket.ts";
import { BodyThrottle } from "../throttle/body-throttle.ts";
import type { RequestView } from "../headers/headers-view.ts";
import { httpGauge } from "../http/http-stats.ts";
import { sendLocalReply } from "../http/local-reply.ts";
import type { HttpStream } from "../http/stream.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import { responseFlags } from "../log/response-flags.ts";
import { type CompileContext, createCompileContext } from "../match/compile-context.ts";
import { compileHeaderMatches } from "../match/header-match.ts";
import type { FilterInputs } from "./filter-inputs.ts";

/** Body of an aborted request; details `fault_filter_abort`, flag FI. */
export const faultAbortBody = "fault filter abort";

export type FaultAbort = { readonly kind: "http" | "grpc"; readonly status: number };

export interface FaultDecision {
	/** 0: none. Flag DI when above. The abort comes after it. */
	readonly delayMs: number;
	readonly abort: FaultAbort | undefined;
	/** Of the response's body; undefined: as it comes. */
	readonly kibPerSecond: number | undefined;
}

export interface FaultFilter {
	/** undefined: this request is left alone (the common case, nothing allocated). */
	decide(head: RequestView, upstreamCluster: string, random: () => number): FaultDecision | undefined;
}

export function createFaultFilter(policy: FaultPolicy, context: CompileContext): FaultFilter {
	const matches = compileHeaderMatches(policy.headers, context);
	const { delay, abort, responseRate } = policy;
	const applies = (head: RequestView, cluster: string) => {
		if (policy.upstreamCluster !== "" && policy.upstreamCluster !== cluster) return false;
		if (policy.downstreamNodes.length > 0 && !policy.downstreamNodes.includes(head.get("x-envoy-downstream-service-node") ?? "")) return false;
		return matches === undefined || matches(head);
	};
	return {
		decide(head, cluster, random) {
			if ((!delay && !abort && !responseRate) || !applies(head, cluster)) return undefined;
			const kibPerSecond = responseRate ? rateOf(responseRate, head, random) : undefined;
			const delayMs = delay ? delayOf(delay, head, random) : 0;
			const aborted = abort ? abortOf(abort, head, random) : undefined;
			return delayMs === 0 && aborted === undefined && kibPerSecond === undefined ? undefined : { delayMs, abort: aborted, kibPerSecond };
		},
	};
}

function delayOf({ fraction, source }: NonNullable<FaultPolicy["delay"]>, head: RequestView, random: () => number): number {
	if (source.kind === "fixed") return drawn(fraction, random) ? source.ms : 0;
	const ms = readInteger(head, "x-envoy-fault-delay-request");
	return ms !== undefined && drawn(lowered(fraction, head, "x-envoy-fault-delay-request-percentage"), random) ? ms : 0;
}

function rateOf({ fraction, source }: NonNullable<FaultPolicy["responseRate"]>, head: RequestView, random: () => number): number | undefined {
	if (source.kind === "fixed") return drawn(fraction, random) ? source.kibPerSecond : undefined;
	const rate = readInteger(head, "x-envoy-fault-throughput-response");
	if (rate === undefined || rate === 0) return undefined;
	return drawn(lowered(fraction, head, "x-envoy-fault-throughput-response-percentage"), random) ? rate : undefined;
}

function abortOf({ fraction, source }: NonNullable<FaultPolicy["abort"]>, head: RequestView, random: () => number): FaultAbort | undefined {
	if (source.kind !== "header") return drawn(fraction, random) ? source : undefined;
	const asked = abortFromHeaders(head);
	return asked !== undefined && drawn(lowered(fraction, head, "x-envoy-fault-abort-request-percentage"), random) ? asked : undefined;
}

function abortFromHeaders(head: RequestView): FaultAbort | undefined {
	const http = readInteger(head, "x-envoy-fault-abort-request");
	if (http !== undefined && http >= 200 && http < 600) return { kind: "http", status: http };
	const grpc = readInteger(head, "x-envoy-fault-abort-grpc-request");
	return grpc === undefined ? undefined : { kind: "grpc", status: grpc };
}

/** A caller may ask for a smaller share than the configuration allows, never for a larger one. */
function lowered(fraction: Fraction, head: RequestView, name: string): Fraction {
	const asked = readInteger(head, name);
	return asked === undefined ? fraction : { numerator: Math.min(asked, fraction.numerator), denominator: fraction.denominator };
}

function drawn({ numerator, denominator }: Fraction, random: () => number): boolean {
	return numerator >= denominator || (numerator > 0 && Math.floor(random() * denominator) < numerator);
}

function readInteger(head: RequestView, name: string): number | undefined {
	const text = head.get(name);
	return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

/** What is done to one stream. */
interface StreamFault {
	/** undefined: its response goes as it comes. */
	readonly bucket: ByteBucket | undefined;
	throttle: BodyThrottle | undefined;
}

/** How long a response waits for tokens, and the share of a second's that it begins with; ms. */
const rateIntervalMs = 50;

export function compileFault(policy: FaultPolicy, inputs: FilterInputs): StreamFilter {
	const { context, counter, errors, index, statPrefix } = inputs;
	const compile = createCompileContext();
	const faults = createFaultFilter(policy, compile);
	errors.push(...compile.errors);
	const countDelay = counter("fault.delays_injected");
	const countAbort = counter("fault.aborts_injected");
	const countRate = counter("fault.response_rl_injected");
	const countOverflow = counter("fault.faults_overflow");
	const active = openCount(context.buckets, context.hash64(`active faults\0${statPrefix}`));
	const { maxActive = Infinity } = policy;
	const stateOf = ({ filters }: HttpStream) => filters.states[index] as StreamFault | undefined;
	/** False: there are as many as may be. A stream is one fault, whatever is done to it, until it is over. */
	const begin = (stream: HttpStream, kibPerSecond?: number): boolean => {
		if (stateOf(stream) !== undefined) return true;
		if (!active.tryAdd(maxActive)) {
			countOverflow();
			return false;
		}
		const bucket = kibPerSecond === undefined ? undefined : createByteBucket(kibPerSecond * bytesPerKib, rateIntervalMs, context.nowMs);
		stream.filters.states[index] = { bucket, throttle: undefined } satisfies StreamFault;
		stream.manager.gauge(httpGauge["fault.active_faults"], 1);
		return true;
	};
	const answer = (stream: HttpStream, { kind, status }: FaultAbort) => {
		countAbort();
		const grpc = kind === "grpc" ? { grpcStatus: status } : {};
		sendLocalReply(stream, { status: kind === "http" ? status : 200, body: faultAbortBody, flags: responseFlags.FI, details: "fault_filter_abort", ...grpc });
	};
	const delay = (stream: HttpStream, { delayMs, abort }: FaultDecision) => {
		countDelay();
		stream.info.responseFlags |= responseFlags.DI;
		const resume = stream.filters.suspend();
		stream.router.delay(delayMs, () => {
			if (abort === undefined) resume();
			else answer(stream, abort);
		});
	};
	const throttleOf = (stream: HttpStream, state: StreamFault, bucket: ByteBucket): BodyThrottle =>
		(state.throttle ??= new BodyThrottle({
			bucket,
			wheel: context.wheel,
			intervalMs: rateIntervalMs,
			bytesMax: stream.manager.bufferBytesMax,
			send: (bytes) => stream.filters.passResponse(filter, bytes),
			onFull: (isFull) => stream.filters.onResponseFull(isFull),
		}));
	const filter: StreamFilter = {
		onRequestHead(stream) {
			const decision = faults.decide(stream.request, stream.choice?.cluster ?? "", stream.context.random);
			if (decision === undefined) return "continue";
			if (decision.kibPerSecond !== undefined && begin(stream, decision.kibPerSecond)) {
				countRate();
				stream.filters.seesResponseBody = true;
			}
			if (decision.delayMs > 0 && begin(stream)) {
				delay(stream, decision);
				return "stop";
			}
			if (decision.abort === undefined || !begin(stream)) return "continue";
			answer(stream, decision.abort);
			return "stop";
		},
		onOver(stream) {
			const state = stateOf(stream);
			if (state === undefined) return;
			state.throttle?.close();
			active.remove();
			stream.manager.gauge(httpGauge["fault.active_faults"], -1);
		},
	};
	if (policy.responseRate !== undefined) {
		filter.onResponseBody = (stream, bytes) => {
			const state = stateOf(stream);
			return state?.bucket === undefined ? bytes : throttleOf(stream, state, state.bucket).pass(bytes);
		};
		filter.holdsResponseEnd = (stream, goOn) => stateOf(stream)?.throttle?.holdsEnd(goOn) === true;
	}
	return filter;
}
