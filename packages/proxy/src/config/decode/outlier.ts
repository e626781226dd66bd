import type { OutlierDetection as OutlierMessage } from "@weft/xds/generated/envoy/config/cluster/v3/outlier_detection.ts";
import type { OutlierDetection } from "../runtime-config.ts";
import { type At, durationMsOr, report, under } from "./issues.ts";

/** Envoy's defaults. Success-rate and failure-percentage detection are off here: enforcing them is refused. */
export function decodeOutlier(at: At, outlier: OutlierMessage): OutlierDetection {
	const refuse = (field: keyof OutlierMessage, what: string) => {
		const value = outlier[field];
		if (value !== undefined && value !== 0 && value !== false && !(Array.isArray(value) && value.length === 0))
			report(under(at, field), `${what} is not implemented`);
	};
	refuse("enforcingSuccessRate", "enforcing_success_rate");
	refuse("enforcingLocalOriginSuccessRate", "enforcing_local_origin_success_rate");
	refuse("enforcingFailurePercentage", "enforcing_failure_percentage");
	refuse("enforcingFailurePercentageLocalOrigin", "enforcing_failure_percentage_local_origin");
	refuse("monitors", "monitors");
	refuse("alwaysEjectOneHost", "always_eject_one_host");
	const baseEjectionMs = durationMsOr(outlier.baseEjectionTime, 30_000);
	return {
		consecutive5xx: outlier.consecutive5xx ?? 5,
		enforcingConsecutive5xx: outlier.enforcingConsecutive5xx ?? 100,
		consecutiveGatewayFailure: outlier.consecutiveGatewayFailure ?? 5,
		enforcingConsecutiveGatewayFailure: outlier.enforcingConsecutiveGatewayFailure ?? 0,
		splitExternalLocalOrigin: outlier.splitExternalLocalOriginErrors,
		consecutiveLocalOriginFailure: outlier.consecutiveLocalOriginFailure ?? 5,
		enforcingLocalOriginFailure: outlier.enforcingConsecutiveLocalOriginFailure ?? 100,
		intervalMs: durationMsOr(outlier.interval, 10_000),
		baseEjectionMs,
		maxEjectionMs: durationMsOr(outlier.maxEjectionTime, Math.max(300_000, baseEjectionMs)),
		maxEjectionPercent: outlier.maxEjectionPercent ?? 10,
	};
}
