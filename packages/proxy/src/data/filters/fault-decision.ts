import type { FaultPolicy } from "../../config/http-filters.ts";
import type { Fraction } from "../../config/matchers.ts";
import { isInFraction, type RuntimeValues } from "../../config/runtime-values.ts";
import type { RequestView } from "../headers/headers-view.ts";
import type { CompileContext } from "../match/compile-context.ts";
import { compileHeaderMatches } from "../match/header-match.ts";
import { RuntimeFaults } from "./runtime-faults.ts";

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

export function createFaultFilter(policy: FaultPolicy, context: CompileContext, runtime: RuntimeValues): FaultFilter {
	const faults = new RuntimeFaults(policy.keys, runtime);
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
			const kibPerSecond = responseRate ? rateOf(responseRate, head, random, faults) : undefined;
			const delayMs = delay ? delayOf(delay, head, random, faults) : 0;
			const aborted = abort ? abortOf(abort, head, random, faults) : undefined;
			return delayMs === 0 && aborted === undefined && kibPerSecond === undefined ? undefined : { delayMs, abort: aborted, kibPerSecond };
		},
	};
}

function delayOf({ fraction, source }: NonNullable<FaultPolicy["delay"]>, head: RequestView, random: () => number, faults: RuntimeFaults): number {
	const ms = source.kind === "fixed" ? source.ms : readInteger(head, "x-envoy-fault-delay-request");
	if (ms === undefined) return 0;
	const share = source.kind === "fixed" ? fraction : lowered(fraction, head, "x-envoy-fault-delay-request-percentage");
	return isInFraction(faults.share("delayPercent", share, head), random) ? faults.integer("delayMs", ms, head) : 0;
}

function rateOf(
	{ fraction, source }: NonNullable<FaultPolicy["responseRate"]>,
	head: RequestView,
	random: () => number,
	faults: RuntimeFaults,
): number | undefined {
	const rate = source.kind === "fixed" ? source.kibPerSecond : readInteger(head, "x-envoy-fault-throughput-response");
	if (rate === undefined || (rate === 0 && source.kind === "header")) return undefined;
	const share = source.kind === "fixed" ? fraction : lowered(fraction, head, "x-envoy-fault-throughput-response-percentage");
	return isInFraction(faults.share("responseRatePercent", share, head), random) ? rate : undefined;
}

function abortOf(
	{ fraction, source }: NonNullable<FaultPolicy["abort"]>,
	head: RequestView,
	random: () => number,
	faults: RuntimeFaults,
): FaultAbort | undefined {
	const abort = source.kind === "header" ? abortFromHeaders(head) : source;
	if (abort === undefined) return undefined;
	const share = source.kind === "header" ? lowered(fraction, head, "x-envoy-fault-abort-request-percentage") : fraction;
	return isInFraction(faults.share("abortPercent", share, head), random) ? faults.abort(abort, head) : undefined;
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

function readInteger(head: RequestView, name: string): number | undefined {
	const text = head.get(name);
	return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}
