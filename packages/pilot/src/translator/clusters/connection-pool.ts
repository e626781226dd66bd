import type { ConnectionPoolSettings, OutlierDetection, OutlierFailurePercentage, TcpKeepalive, TrafficPolicy } from "@weft/api";
import { durationOf, durationOfMs } from "../routes/values.ts";

/** No limit, as Istio has it: breakers act only where a rule sets them. */
const unlimited = 4_294_967_295;

const positive = (value: number | undefined): number | undefined => (value !== undefined && value > 0 ? value : undefined);

export function circuitBreakers(pool: ConnectionPoolSettings | undefined, budget: TrafficPolicy["retryBudget"]): object {
	const threshold = {
		maxConnections: positive(pool?.tcp?.maxConnections) ?? unlimited,
		maxPendingRequests: positive(pool?.http?.http1MaxPendingRequests) ?? unlimited,
		maxRequests: positive(pool?.http?.http2MaxRequests) ?? unlimited,
		maxRetries: positive(pool?.http?.maxRetries) ?? unlimited,
		...(budget && { retryBudget: { budgetPercent: { value: budget.percent ?? 20 }, minRetryConcurrency: positive(budget.minRetryConcurrency) ?? 3 } }),
	};
	return { thresholds: [threshold] };
}

/** A rule's keepalive goes over the mesh's, field by field. */
export function upstreamConnectionOptions(mesh: TcpKeepalive | undefined, rule: TcpKeepalive | undefined): object | undefined {
	if (!mesh && !rule) return undefined;
	const probes = rule?.probes ?? mesh?.probes;
	const time = durationOf(rule?.time ?? mesh?.time);
	const interval = durationOf(rule?.interval ?? mesh?.interval);
	return {
		tcpKeepalive: {
			...(probes !== undefined && probes > 0 && { keepaliveProbes: probes }),
			...(time && { keepaliveTime: Number(time.seconds) }),
			...(interval && { keepaliveInterval: Number(interval.seconds) }),
		},
	};
}

/** `common_http_protocol_options`; undefined when the pool sets none of them. */
export function commonHttpOptions(pool: ConnectionPoolSettings | undefined): object | undefined {
	const idleTimeout = durationOf(pool?.http?.idleTimeout) ?? durationOf(pool?.tcp?.idleTimeout);
	const maxConnectionDuration = durationOf(pool?.tcp?.maxConnectionDuration);
	const maxRequestsPerConnection = positive(pool?.http?.maxRequestsPerConnection);
	const streams = positive(pool?.http?.maxConcurrentStreams);
	if (!idleTimeout && !maxConnectionDuration && maxRequestsPerConnection === undefined && streams === undefined) return undefined;
	return {
		...(idleTimeout && { idleTimeout }),
		...(maxConnectionDuration && { maxConnectionDuration }),
		...(maxRequestsPerConnection !== undefined && { maxRequestsPerConnection }),
	};
}

/**
 * `weft.dev/outlier-failure-percentage`, over what the rule's outlierDetection says. Without one, rates alone eject: a single host
 * is enough to be judged, and all may be ejected.
 */
export function failurePercentage({ percent, requests, windowMs }: OutlierFailurePercentage, settings: OutlierDetection | undefined): object {
	return {
		...(settings === undefined ? { enforcingSuccessRate: 0, enforcingConsecutive5xx: 0, maxEjectionPercent: 100 } : outlierDetection(settings)),
		failurePercentageThreshold: percent,
		failurePercentageRequestVolume: requests,
		failurePercentageMinimumHosts: 1,
		enforcingFailurePercentage: 100,
		...(windowMs !== undefined && { interval: durationOfMs(windowMs) }),
	};
}

/** Success rate is never a reason (Istio's choice); a detector set to 0 is switched off, but for local failures, where 0 is Envoy's default. */
export function outlierDetection(settings: OutlierDetection): object {
	const interval = durationOf(settings.interval);
	const baseEjectionTime = durationOf(settings.baseEjectionTime);
	const { consecutive5xxErrors, consecutiveGatewayErrors, consecutiveLocalOriginFailures } = settings;
	const maxEjectionPercent = positive(settings.maxEjectionPercent);
	return {
		enforcingSuccessRate: 0,
		...(consecutive5xxErrors !== undefined && { consecutive5xx: consecutive5xxErrors, enforcingConsecutive5xx: consecutive5xxErrors > 0 ? 100 : 0 }),
		...(consecutiveGatewayErrors !== undefined && {
			consecutiveGatewayFailure: consecutiveGatewayErrors,
			enforcingConsecutiveGatewayFailure: consecutiveGatewayErrors > 0 ? 100 : 0,
		}),
		...(interval && { interval }),
		...(baseEjectionTime && { baseEjectionTime }),
		...(maxEjectionPercent !== undefined && { maxEjectionPercent }),
		...(settings.splitExternalLocalOriginErrors && {
			splitExternalLocalOriginErrors: true,
			enforcingLocalOriginSuccessRate: 0,
			...(consecutiveLocalOriginFailures && {
				consecutiveLocalOriginFailure: consecutiveLocalOriginFailures,
				enforcingConsecutiveLocalOriginFailure: 100,
			}),
		}),
	};
}
