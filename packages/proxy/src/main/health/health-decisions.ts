import type { HealthCheck, ProbeResult } from "../../config/health-check.ts";
import { healthFlags } from "../../config/shared-state.ts";

/** What is remembered of one host's checks. The flags are apart, in the shared state. */
export interface CheckHistory {
	/** Failures (or successes) in a row towards the threshold. */
	readonly unhealthy: number;
	readonly healthy: number;
	readonly isFirst: boolean;
}

export const noHistory: CheckHistory = { unhealthy: 0, healthy: 0, isFirst: true };

export type HealthEvent = "ejectUnhealthy" | "addHealthy" | "failure" | "successful" | "degraded" | "noLongerDegraded";

export interface HealthDecision {
	readonly history: CheckHistory;
	readonly flags: number;
	readonly events: readonly HealthEvent[];
	/** `pending`: on the way to the other side. */
	readonly transition: "unchanged" | "pending" | "changed";
	readonly isGood: boolean;
}

type Judged = Exclude<ProbeResult, { readonly kind: "unknown" }>;
type Limits = Pick<HealthCheck, "healthyThreshold" | "unhealthyThreshold" | "alwaysLogFailures" | "alwaysLogSuccesses">;

const { failedActiveHc, degradedActiveHc, pendingActiveHc, excludedViaImmediateHcFail, activeHcTimeout } = healthFlags;

/** Envoy's transitions (source/extensions/health_checkers/common/health_checker_base_impl.cc). */
export function judgeProbe(check: Limits, history: CheckHistory, flags: number, result: Judged): HealthDecision {
	return result.kind === "good" ? judgeSuccess(check, history, flags, result) : judgeFailure(check, history, flags, result);
}

function judgeSuccess(check: Limits, history: CheckHistory, before: number, result: Extract<Judged, { kind: "good" }>): HealthDecision {
	const events: HealthEvent[] = [];
	let flags = before;
	let transition: HealthDecision["transition"] = "unchanged";
	let { healthy } = history;
	if ((flags & failedActiveHc) !== 0) {
		healthy++;
		// The first check of all decides at once.
		if (history.isFirst || healthy >= check.healthyThreshold) {
			flags &= ~(failedActiveHc | activeHcTimeout | excludedViaImmediateHcFail);
			transition = "changed";
			events.push("addHealthy");
		} else transition = "pending";
	}
	if (check.alwaysLogSuccesses) events.push("successful");
	if ((flags & pendingActiveHc) !== 0) {
		flags &= ~pendingActiveHc;
		transition = "changed";
	}
	if (result.degraded !== ((flags & degradedActiveHc) !== 0)) {
		flags ^= degradedActiveHc;
		transition = "changed";
		events.push(result.degraded ? "degraded" : "noLongerDegraded");
	}
	return { history: { unhealthy: 0, healthy, isFirst: false }, flags, events, transition, isGood: true };
}

function judgeFailure(check: Limits, history: CheckHistory, before: number, result: Extract<Judged, { kind: "bad" | "network" }>): HealthDecision {
	const events: HealthEvent[] = [];
	let flags = before;
	let transition: HealthDecision["transition"] = "unchanged";
	let { unhealthy } = history;
	if ((flags & failedActiveHc) === 0) {
		// An answer that says no is believed at once; silence and what may be tried again are counted.
		const decidesAtOnce = result.kind === "bad" && !result.retriable;
		if (!decidesAtOnce) unhealthy++;
		if (decidesAtOnce || unhealthy >= check.unhealthyThreshold) {
			flags |= failedActiveHc;
			transition = "changed";
			events.push("ejectUnhealthy");
		} else transition = "pending";
	}
	if (result.kind === "network" && result.timeout && (flags & failedActiveHc) !== 0) flags |= activeHcTimeout;
	if (result.kind === "bad" && result.immediateFail) flags |= excludedViaImmediateHcFail;
	if ((flags & pendingActiveHc) !== 0) {
		flags &= ~pendingActiveHc;
		transition = "changed";
	}
	if (history.isFirst || check.alwaysLogFailures) events.push("failure");
	return { history: { unhealthy, healthy: 0, isFirst: false }, flags, events, transition, isGood: false };
}

/** A host said by an answer to somebody's request that it must not be used (`x-envoy-immediate-health-check-fail`). */
export function judgePassive(check: Limits, history: CheckHistory, before: number): HealthDecision {
	return judgeFailure(check, history, before, { kind: "bad", retriable: false, immediateFail: true, detail: "" });
}

/** Until the next check of the host, ms. */
export function nextIntervalMs(check: HealthCheck, { isGood, transition }: HealthDecision, hadTraffic: boolean, random: () => number): number {
	return withJitter(baseIntervalMs(check, isGood, transition === "pending", hadTraffic), check, random);
}

function baseIntervalMs(check: HealthCheck, isGood: boolean, isPending: boolean, hadTraffic: boolean): number {
	if (!hadTraffic) return isGood && !isPending ? check.noTrafficHealthyIntervalMs : check.noTrafficIntervalMs;
	if (isGood) return isPending ? check.healthyEdgeIntervalMs : check.intervalMs;
	return isPending ? check.unhealthyEdgeIntervalMs : check.unhealthyIntervalMs;
}

function withJitter(baseMs: number, check: HealthCheck, random: () => number): number {
	const byPercent = baseMs + random() * (check.intervalJitterPercent / 100) * baseMs;
	return byPercent + random() * check.intervalJitterMs;
}
