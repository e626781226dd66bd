import type { OutlierDetection } from "../../config/outlier-detection.ts";
import type { FailureKind } from "../../config/shared-state.ts";

export type EjectReason = FailureKind | "successRate" | "localOriginSuccessRate" | "failurePercentage" | "localOriginFailurePercentage";

/** What the main thread remembers of one host. */
export interface OutlierHost {
	/** Grows by one with every ejection, shrinks by one with every quiet interval: multiplies the ejection time. */
	readonly ejections: number;
	/** Epoch ms of the running ejection; undefined: not ejected. */
	readonly ejectedAtMs: number | undefined;
	/** Added to the running ejection, so that hosts ejected together do not return together. */
	readonly jitterMs: number;
}

export const healthyOutlierHost: OutlierHost = { ejections: 0, ejectedAtMs: undefined, jitterMs: 0 };

export type EjectDecision =
	| { readonly kind: "eject"; readonly host: OutlierHost; readonly untilMs: number }
	/** Counted in `outlier_detection.ejections_detected_*` only. */
	| { readonly kind: "ignore"; readonly reason: "already ejected" | "not enforced" | "too many ejected" };

export interface EjectInput {
	readonly reason: EjectReason;
	readonly host: OutlierHost;
	readonly hostsTotal: number;
	readonly hostsEjected: number;
	readonly nowMs: number;
	/** Uniform in [0, 1), for the enforcing percentage. */
	readonly random: () => number;
}

/** May this host be ejected now? `max_ejection_percent` is a hard cap. */
export function decideEjection(outlier: OutlierDetection, input: EjectInput): EjectDecision {
	const { host, nowMs } = input;
	if (host.ejectedAtMs !== undefined) return { kind: "ignore", reason: "already ejected" };
	// Before the draw, as in Envoy: `ejections_overflow` counts what is not enforced, too.
	if (!isBelowCap(outlier, input.hostsTotal, input.hostsEjected)) return { kind: "ignore", reason: "too many ejected" };
	if (input.random() * 100 >= enforcingPercent(outlier, input.reason)) return { kind: "ignore", reason: "not enforced" };
	// Growing beyond what the maximum can show would only delay forgiveness.
	const grows = host.ejections * outlier.baseEjectionMs < outlier.maxEjectionMs + outlier.baseEjectionMs;
	const jitterMs = outlier.maxEjectionJitterMs > 0 ? input.random() * outlier.maxEjectionJitterMs : 0;
	const ejected: OutlierHost = { ejections: host.ejections + (grows ? 1 : 0), ejectedAtMs: nowMs, jitterMs };
	return { kind: "eject", host: ejected, untilMs: nowMs + ejectionMs(outlier, ejected) };
}

function enforcingPercent(outlier: OutlierDetection, reason: EjectReason): number {
	switch (reason) {
		case "consecutive5xx":
			return outlier.enforcingConsecutive5xx;
		case "consecutiveGateway":
			return outlier.enforcingConsecutiveGatewayFailure;
		case "localOrigin":
			return outlier.enforcingLocalOriginFailure;
		case "successRate":
			return outlier.successRate.enforcingPercent;
		case "localOriginSuccessRate":
			return outlier.successRate.enforcingLocalOriginPercent;
		case "failurePercentage":
			return outlier.failurePercentage.enforcingPercent;
		case "localOriginFailurePercentage":
			return outlier.failurePercentage.enforcingLocalOriginPercent;
	}
}

/** Envoy ≥ 1.28: the share *after* this ejection must stay within the limit. */
function isBelowCap(outlier: OutlierDetection, total: number, ejected: number): boolean {
	if (outlier.alwaysEjectOneHost && ejected === 0) return true;
	return total > 0 && (100 * (ejected + 1)) / total <= outlier.maxEjectionPercent;
}

export function ejectionMs(outlier: OutlierDetection, host: OutlierHost): number {
	return Math.min(outlier.baseEjectionMs * Math.max(host.ejections, 1), Math.max(outlier.maxEjectionMs, outlier.baseEjectionMs)) + host.jitterMs;
}

/** Once an interval for each host: whether its time is over, and the forgiveness for those that behave. */
export function passOutlierInterval(outlier: OutlierDetection, host: OutlierHost, nowMs: number): { readonly host: OutlierHost; readonly uneject: boolean } {
	if (host.ejectedAtMs === undefined) {
		return { host: host.ejections > 0 ? { ...host, ejections: host.ejections - 1 } : host, uneject: false };
	}
	if (nowMs < host.ejectedAtMs + ejectionMs(outlier, host)) return { host, uneject: false };
	return { host: { ejections: host.ejections, ejectedAtMs: undefined, jitterMs: 0 }, uneject: true };
}

/** Of one host, during one interval. */
export interface Outcomes {
	readonly slot: number;
	readonly total: number;
	readonly good: number;
}

export interface RateVerdicts {
	/** Slots whose success rate is too far below the average of all. */
	readonly successRate: readonly number[];
	/** Slots that failed too large a share of their requests. */
	readonly failurePercentage: readonly number[];
}

/** Once an interval: who stands out among the hosts that are not ejected (Envoy's `processSuccessRateEjections`). */
export function judgeRates({ successRate, failurePercentage }: OutlierDetection, hosts: readonly Outcomes[]): RateVerdicts {
	const rated = hosts.filter(({ total }) => total > 0).map(({ slot, total, good }) => ({ slot, total, rate: (100 * good) / total }));
	const bySuccess = rated.filter(({ total }) => total >= successRate.requestVolume);
	const byFailure = rated.filter(({ total }) => total >= failurePercentage.requestVolume);
	const hasEnough = (found: readonly unknown[], minimum: number) => found.length > 0 && found.length >= minimum;
	const threshold = hasEnough(bySuccess, successRate.minimumHosts) ? successRateThreshold(bySuccess, successRate.stdevFactor) : 0;
	const judgesFailure = hasEnough(byFailure, failurePercentage.minimumHosts);
	return {
		successRate: bySuccess.filter(({ rate }) => rate < threshold).map(({ slot }) => slot),
		failurePercentage: judgesFailure ? byFailure.filter(({ rate }) => 100 - rate >= failurePercentage.thresholdPercent).map(({ slot }) => slot) : [],
	};
}

/** Mean − factor × standard deviation. */
export function successRateThreshold(hosts: readonly { readonly rate: number }[], stdevFactor: number): number {
	const mean = hosts.reduce((sum, { rate }) => sum + rate, 0) / hosts.length;
	const variance = hosts.reduce((sum, { rate }) => sum + (rate - mean) ** 2, 0) / hosts.length;
	return mean - stdevFactor * Math.sqrt(variance);
}
