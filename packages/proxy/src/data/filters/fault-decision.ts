import type { FaultPolicy } from "../../config/http-filters.ts";
import type { Fraction } from "../../config/matchers.ts";
import type { RequestView } from "../headers/headers-view.ts";
import type { CompileContext } from "../match/compile-context.ts";
import { compileHeaderMatches } from "../match/header-match.ts";

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
