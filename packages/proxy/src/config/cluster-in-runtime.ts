import type { BreakerLimits, Cluster } from "./clusters.ts";
import type { LoadBalancer, SlowStart } from "./load-balancing.ts";
import type { OutlierDetection } from "./outlier-detection.ts";
import type { RuntimeValues } from "./runtime-values.ts";
import { zoneAwareDefaults } from "./zone-aware-defaults.ts";

/** The cluster with what the runtime says of it (Envoy: "cluster manager runtime", "outlier detection runtime"); itself where that is nothing. */
export function clusterInRuntime(cluster: Cluster, runtime: RuntimeValues): Cluster {
	if (runtime.isEmpty) return cluster;
	const { breakers, lb, name, outlier, zoneAware = zoneAwareDefaults } = cluster;
	const zones = overlay(zoneAware, {
		routingEnabledPercent: runtime.percent("upstream.zone_routing.enabled", zoneAware.routingEnabledPercent),
		minClusterSize: runtime.integer("upstream.zone_routing.min_cluster_size", zoneAware.minClusterSize),
	});
	return overlay(cluster, {
		panicThresholdPercent: runtime.integer("upstream.healthy_panic_threshold", cluster.panicThresholdPercent),
		zoneAware: zones === zoneAware ? cluster.zoneAware : zones,
		lb: balancerInRuntime(lb, runtime),
		outlier: outlier && outlierInRuntime(outlier, runtime),
		breakers: overlay(breakers, {
			default: limitsInRuntime(breakers.default, `circuit_breakers.${name}.default`, runtime),
			high: limitsInRuntime(breakers.high, `circuit_breakers.${name}.high`, runtime),
		}),
	});
}

/** `value` itself where nothing of `fields` is new to it. */
function overlay<T extends object>(value: T, fields: Partial<T>): T {
	const isSame = (Object.keys(fields) as (keyof T)[]).every((key) => Object.is(value[key], fields[key]));
	return isSame ? value : { ...value, ...fields };
}

function limitsInRuntime(limits: BreakerLimits, prefix: string, runtime: RuntimeValues): BreakerLimits {
	const integer = (name: string, configured: number) => runtime.integer(`${prefix}.${name}`, configured);
	return overlay(limits, {
		connectionsMax: integer("max_connections", limits.connectionsMax),
		pendingRequestsMax: integer("max_pending_requests", limits.pendingRequestsMax),
		requestsMax: integer("max_requests", limits.requestsMax),
		retriesMax: integer("max_retries", limits.retriesMax),
		retryBudget: budgetInRuntime(limits.retryBudget, `${prefix}.retry_budget`, runtime),
	});
}

const budgetDefaults = { percent: 20, concurrencyMin: 3 } as const;

/** Either key alone makes a budget of what was a fixed number of retries. */
function budgetInRuntime(budget: BreakerLimits["retryBudget"], prefix: string, runtime: RuntimeValues): BreakerLimits["retryBudget"] {
	const [percentKey, concurrencyKey] = [`${prefix}.budget_percent`, `${prefix}.min_retry_concurrency`];
	if (!runtime.has(percentKey) && !runtime.has(concurrencyKey)) return budget;
	const { percent, concurrencyMin } = budget ?? budgetDefaults;
	return { percent: runtime.number(percentKey, percent), concurrencyMin: runtime.integer(concurrencyKey, concurrencyMin) };
}

function balancerInRuntime(lb: LoadBalancer, runtime: RuntimeValues): LoadBalancer {
	if (lb.kind === "roundRobin") return overlay(lb, { slowStart: slowStartInRuntime(lb.slowStart, runtime) });
	if (lb.kind !== "leastRequest") return lb;
	const { activeRequestBias: configured, activeRequestBiasKey: key } = lb;
	const bias = key === undefined ? configured : runtime.number(key, configured);
	// As in Envoy, what makes no sense counts as 1.
	return overlay(lb, { activeRequestBias: bias < 0 ? 1 : bias, slowStart: slowStartInRuntime(lb.slowStart, runtime) });
}

function slowStartInRuntime(slowStart: SlowStart | undefined, runtime: RuntimeValues): SlowStart | undefined {
	if (slowStart?.aggressionKey === undefined) return slowStart;
	const aggression = runtime.number(slowStart.aggressionKey, slowStart.aggression);
	return overlay(slowStart, { aggression: aggression <= 0 ? 1 : aggression });
}

function outlierInRuntime(outlier: OutlierDetection, runtime: RuntimeValues): OutlierDetection {
	const integer = (name: string, configured: number) => runtime.integer(`outlier_detection.${name}`, configured);
	const percent = (name: string, configured: number) => runtime.percent(`outlier_detection.${name}`, configured);
	const { failurePercentage, successRate } = outlier;
	return overlay(outlier, {
		consecutive5xx: integer("consecutive_5xx", outlier.consecutive5xx),
		enforcingConsecutive5xx: percent("enforcing_consecutive_5xx", outlier.enforcingConsecutive5xx),
		consecutiveGatewayFailure: integer("consecutive_gateway_failure", outlier.consecutiveGatewayFailure),
		enforcingConsecutiveGatewayFailure: percent("enforcing_consecutive_gateway_failure", outlier.enforcingConsecutiveGatewayFailure),
		consecutiveLocalOriginFailure: integer("consecutive_local_origin_failure", outlier.consecutiveLocalOriginFailure),
		enforcingLocalOriginFailure: percent("enforcing_consecutive_local_origin_failure", outlier.enforcingLocalOriginFailure),
		intervalMs: integer("interval_ms", outlier.intervalMs),
		baseEjectionMs: integer("base_ejection_time_ms", outlier.baseEjectionMs),
		maxEjectionMs: integer("max_ejection_time_ms", outlier.maxEjectionMs),
		maxEjectionJitterMs: integer("max_ejection_time_jitter_ms", outlier.maxEjectionJitterMs),
		maxEjectionPercent: percent("max_ejection_percent", outlier.maxEjectionPercent),
		successRate: overlay(successRate, {
			minimumHosts: integer("success_rate_minimum_hosts", successRate.minimumHosts),
			requestVolume: integer("success_rate_request_volume", successRate.requestVolume),
			stdevFactor: integer("success_rate_stdev_factor", successRate.stdevFactor * 1000) / 1000,
			enforcingPercent: percent("enforcing_success_rate", successRate.enforcingPercent),
			enforcingLocalOriginPercent: percent("enforcing_local_origin_success_rate", successRate.enforcingLocalOriginPercent),
		}),
		failurePercentage: overlay(failurePercentage, {
			minimumHosts: integer("failure_percentage_minimum_hosts", failurePercentage.minimumHosts),
			requestVolume: integer("failure_percentage_request_volume", failurePercentage.requestVolume),
			thresholdPercent: integer("failure_percentage_threshold", failurePercentage.thresholdPercent),
			enforcingPercent: percent("enforcing_failure_percentage", failurePercentage.enforcingPercent),
			enforcingLocalOriginPercent: percent("enforcing_failure_percentage_local_origin", failurePercentage.enforcingLocalOriginPercent),
		}),
	});
}
