import type { OutlierDetection as OutlierMessage } from "@weft/xds/generated/envoy/config/cluster/v3/outlier_detection.ts";
import type { OutlierDetection } from "../outlier-detection.ts";
import { type At, durationMsOr, report, under } from "./issues.ts";

/** Envoy's defaults. */
export function decodeOutlier(at: At, outlier: OutlierMessage): OutlierDetection {
	if (outlier.monitors.length > 0) report(under(at, "monitors"), "monitors is not implemented");
	const baseEjectionMs = durationMsOr(outlier.baseEjectionTime, 30_000);
	const maxEjectionMs = durationMsOr(outlier.maxEjectionTime, Math.max(300_000, baseEjectionMs));
	if (maxEjectionMs < baseEjectionMs) report(under(at, "maxEjectionTime"), "max_ejection_time cannot be smaller than base_ejection_time");
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
		maxEjectionMs,
		maxEjectionJitterMs: durationMsOr(outlier.maxEjectionTimeJitter, 0),
		maxEjectionPercent: outlier.maxEjectionPercent ?? 10,
		alwaysEjectOneHost: outlier.alwaysEjectOneHost ?? false,
		unejectsOnGoodCheck: outlier.successfulActiveHealthCheckUnejectHost ?? true,
		successRate: {
			minimumHosts: outlier.successRateMinimumHosts ?? 5,
			requestVolume: outlier.successRateRequestVolume ?? 100,
			stdevFactor: (outlier.successRateStdevFactor ?? 1900) / 1000,
			enforcingPercent: outlier.enforcingSuccessRate ?? 100,
			enforcingLocalOriginPercent: outlier.enforcingLocalOriginSuccessRate ?? 100,
		},
		failurePercentage: {
			minimumHosts: outlier.failurePercentageMinimumHosts ?? 5,
			requestVolume: outlier.failurePercentageRequestVolume ?? 50,
			thresholdPercent: outlier.failurePercentageThreshold ?? 85,
			enforcingPercent: outlier.enforcingFailurePercentage ?? 0,
			enforcingLocalOriginPercent: outlier.enforcingFailurePercentageLocalOrigin ?? 0,
		},
	};
}
