import type { OutlierDetection } from "../../config/runtime-config.ts";
import type { FailureKind } from "../../config/shared-state.ts";

/** What the main thread remembers of one host. */
export interface OutlierHost {
	/** Grows by one with every ejection, shrinks by one with every quiet interval: multiplies the ejection time. */
	readonly ejections: number;
	/** Epoch ms of the running ejection; undefined: not ejected. */
	readonly ejectedAtMs: number | undefined;
}

export const healthyOutlierHost: OutlierHost = { ejections: 0, ejectedAtMs: undefined };

export type EjectDecision =
	| { readonly kind: "eject"; readonly host: OutlierHost; readonly untilMs: number }
	/** Counted in `outlier_detection.ejections_detected_*` only. */
	| { readonly kind: "ignore"; readonly reason: "already ejected" | "not enforced" | "too many ejected" };

export interface EjectInput {
	readonly reason: FailureKind;
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
	const ejected: OutlierHost = { ejections: host.ejections + 1, ejectedAtMs: nowMs };
	return { kind: "eject", host: ejected, untilMs: nowMs + ejectionMs(outlier, ejected) };
}

function enforcingPercent(outlier: OutlierDetection, reason: FailureKind): number {
	switch (reason) {
		case "consecutive5xx":
			return outlier.enforcingConsecutive5xx;
		case "consecutiveGateway":
			return outlier.enforcingConsecutiveGatewayFailure;
		case "localOrigin":
			return outlier.enforcingLocalOriginFailure;
	}
}

/** Envoy ≥ 1.28: the share *after* this ejection must stay within the limit. */
function isBelowCap(outlier: OutlierDetection, total: number, ejected: number): boolean {
	return total > 0 && (100 * (ejected + 1)) / total <= outlier.maxEjectionPercent;
}

export function ejectionMs(outlier: OutlierDetection, host: OutlierHost): number {
	return Math.min(outlier.baseEjectionMs * Math.max(host.ejections, 1), Math.max(outlier.maxEjectionMs, outlier.baseEjectionMs));
}

/** Once an interval for each host: whether its time is over, and the forgiveness for those that behave. */
export function passOutlierInterval(outlier: OutlierDetection, host: OutlierHost, nowMs: number): { readonly host: OutlierHost; readonly uneject: boolean } {
	if (host.ejectedAtMs === undefined) {
		return { host: host.ejections > 0 ? { ...host, ejections: host.ejections - 1 } : host, uneject: false };
	}
	if (nowMs < host.ejectedAtMs + ejectionMs(outlier, host)) return { host, uneject: false };
	return { host: { ejections: host.ejections, ejectedAtMs: undefined }, uneject: true };
}
