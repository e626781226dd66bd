import type { FaultPolicy } from "../../config/http-filters.ts";
import type { Fraction } from "../../config/matchers.ts";
import { openCount } from "../../config/shared-buckets.ts";
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
}

export interface FaultFilter {
	/** undefined: this request is left alone (the common case, nothing allocated). */
	decide(head: RequestView, upstreamCluster: string, random: () => number): FaultDecision | undefined;
}

export function createFaultFilter(policy: FaultPolicy, context: CompileContext): FaultFilter {
	const matches = compileHeaderMatches(policy.headers, context);
	const { delay, abort } = policy;
	const applies = (head: RequestView, cluster: string) => {
		if (policy.upstreamCluster !== "" && policy.upstreamCluster !== cluster) return false;
		if (policy.downstreamNodes.length > 0 && !policy.downstreamNodes.includes(head.get("x-envoy-downstream-service-node") ?? "")) return false;
		return matches === undefined || matches(head);
	};
	return {
		decide(head, cluster, random) {
			if ((!delay && !abort) || !applies(head, cluster)) return undefined;
			const delayMs = delay ? delayOf(delay, head, random) : 0;
			const aborted = abort ? abortOf(abort, head, random) : undefined;
			return delayMs === 0 && aborted === undefined ? undefined : { delayMs, abort: aborted };
		},
	};
}

function delayOf({ fraction, source }: NonNullable<FaultPolicy["delay"]>, head: RequestView, random: () => number): number {
	if (source.kind === "fixed") return drawn(fraction, random) ? source.ms : 0;
	const ms = readInteger(head, "x-envoy-fault-delay-request");
	return ms !== undefined && drawn(lowered(fraction, head, "x-envoy-fault-delay-request-percentage"), random) ? ms : 0;
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

export function compileFault(policy: FaultPolicy, { context, counter, errors, statPrefix }: FilterInputs): StreamFilter {
	const compile = createCompileContext();
	const filter = createFaultFilter(policy, compile);
	errors.push(...compile.errors);
	const countDelay = counter("fault.delays_injected");
	const countAbort = counter("fault.aborts_injected");
	const countOverflow = counter("fault.faults_overflow");
	const active = openCount(context.buckets, context.hash64(`active faults\0${statPrefix}`));
	const { maxActive = Infinity } = policy;
	/** False: there are as many as may be. As in Envoy, a request is at fault until its delay is over or it is answered. */
	const begin = (stream: HttpStream): boolean => {
		if (!active.tryAdd(maxActive)) {
			countOverflow();
			return false;
		}
		stream.manager.gauge(httpGauge["fault.active_faults"], 1);
		return true;
	};
	const end = (stream: HttpStream) => {
		active.remove();
		stream.manager.gauge(httpGauge["fault.active_faults"], -1);
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
		const goOn = () => {
			end(stream);
			if (abort === undefined) resume();
			else answer(stream, abort);
		};
		stream.router.delay(delayMs, goOn, () => end(stream));
	};
	return {
		onRequestHead(stream) {
			const decision = filter.decide(stream.request, stream.choice?.cluster ?? "", stream.context.random);
			if (decision === undefined) return "continue";
			if (decision.delayMs > 0 && begin(stream)) {
				delay(stream, decision);
				return "stop";
			}
			if (decision.abort === undefined || !begin(stream)) return "continue";
			end(stream);
			answer(stream, decision.abort);
			return "stop";
		},
	};
}
