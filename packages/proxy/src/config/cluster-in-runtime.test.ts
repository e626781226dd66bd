import assert from "node:assert/strict";
import { test } from "node:test";
import { rootAt } from "./decode/issues.ts";
import { decodeOutlier } from "./decode/outlier.ts";
import { decodeRuntimeStruct } from "./decode/runtime.ts";
import { clusterInRuntime } from "./cluster-in-runtime.ts";
import { RuntimeValues } from "./runtime-values.ts";
import { OutlierDetection } from "@weft/xds/generated/envoy/config/cluster/v3/outlier_detection.ts";
import { clusterOf } from "../data/worker/standalone.ts";

const runtime = (struct: Record<string, unknown>) => new RuntimeValues(decodeRuntimeStruct(struct).entries);
const outlier = decodeOutlier(rootAt(), OutlierDetection.fromPartial({}));

test("a cluster of which the runtime says nothing stays the same value", () => {
	const cluster = clusterOf("a", { outlier });
	assert.equal(clusterInRuntime(cluster, new RuntimeValues()), cluster);
	assert.equal(clusterInRuntime(cluster, runtime({ "circuit_breakers.b.default.max_requests": 1 })), cluster);
});

test("limits go by cluster and priority", () => {
	const { breakers } = clusterInRuntime(
		clusterOf("a"),
		runtime({ circuit_breakers: { a: { default: { max_requests: 1 }, high: { max_retries: 2, max_connections: 3, max_pending_requests: 4 } } } }),
	);
	assert.equal(breakers.default.requestsMax, 1);
	assert.equal(breakers.default.retriesMax, 3);
	const { connectionsMax, pendingRequestsMax, requestsMax, retriesMax } = breakers.high;
	assert.deepEqual([connectionsMax, pendingRequestsMax, requestsMax, retriesMax], [3, 4, 1024, 2]);
});

test("one key of a retry budget makes a budget", () => {
	const budgetOf = (struct: Record<string, unknown>) =>
		clusterInRuntime(clusterOf("a"), runtime({ circuit_breakers: { a: { default: { retry_budget: struct } } } })).breakers.default.retryBudget;
	assert.deepEqual(budgetOf({ budget_percent: 12.5 }), { percent: 12.5, concurrencyMin: 3 });
	assert.deepEqual(budgetOf({ min_retry_concurrency: 7 }), { percent: 20, concurrencyMin: 7 });
});

test("balancing", () => {
	const slowStart = { windowMs: 1000, aggression: 1, aggressionKey: "slow", minWeightPercent: 10 };
	const least = { kind: "leastRequest", choiceCount: 2, activeRequestBias: 1, activeRequestBiasKey: "bias", slowStart } as const;
	const values = runtime({ bias: -1, slow: 2.5, upstream: { healthy_panic_threshold: 7, zone_routing: { enabled: 250, min_cluster_size: 1 } } });
	const cluster = clusterInRuntime(clusterOf("a", { lb: least }), values);
	assert.deepEqual(cluster.lb, { ...least, slowStart: { ...slowStart, aggression: 2.5 } });
	assert.equal(cluster.panicThresholdPercent, 7);
	assert.deepEqual([cluster.zoneAware?.routingEnabledPercent, cluster.zoneAware?.minClusterSize], [100, 1]);
	const { lb } = clusterInRuntime(clusterOf("a", { lb: least }), runtime({ bias: 0.5, slow: 0 }));
	assert.deepEqual(lb, { ...least, activeRequestBias: 0.5 });
});

test("outlier detection", () => {
	const keys = {
		consecutive_5xx: 1,
		interval_ms: 2,
		enforcing_success_rate: 300,
		success_rate_stdev_factor: 1500,
		failure_percentage_threshold: 6,
		max_ejection_percent: 40,
	};
	const own = clusterInRuntime(clusterOf("a", { outlier }), runtime({ outlier_detection: keys })).outlier;
	assert.deepEqual(own, {
		...outlier,
		consecutive5xx: 1,
		intervalMs: 2,
		maxEjectionPercent: 40,
		successRate: { ...outlier.successRate, enforcingPercent: 100, stdevFactor: 1.5 },
		failurePercentage: { ...outlier.failurePercentage, thresholdPercent: 6 },
	});
	assert.equal(clusterInRuntime(clusterOf("a"), runtime({ outlier_detection: keys })).outlier, undefined);
});
