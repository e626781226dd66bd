import assert from "node:assert/strict";
import { test } from "node:test";
import { clusterHosts, host, locality } from "../data/lb/test-hosts.ts";
import { createHostCounts } from "../data/lb/host-entry.ts";
import { type CountedHost, mergeHostCounts } from "./host-counts.ts";
import { noLoad, reportCluster } from "./load-report.ts";

const counted = (parts: Partial<CountedHost>): CountedHost => ({ rq_active: 0, ...createHostCounts(), ...parts });

const load = (hosts: ReadonlyMap<string, CountedHost>, total = 0, overload = 0) => ({ hosts, drops: { total, overload } });
const assignment = clusterHosts([[locality([host(1), host(2)], { zone: "a" }), locality([host(3)], { zone: "b" })], [locality([host(4)], { zone: "c" })]]);

test("a report has what came since the last one, of localities where something happened", () => {
	const before = new Map([
		["10.0.0.1:1", counted({ rq_total: 5, rq_success: 5 })],
		["10.0.0.1:3", counted({ rq_total: 7, rq_success: 7 })],
		["10.0.0.1:4", counted({ rq_total: 9, rq_success: 9 })],
	]);
	const now = new Map([
		["10.0.0.1:1", counted({ rq_total: 8, rq_success: 6, rq_error: 1, rq_active: 1 })],
		["10.0.0.1:2", counted({ rq_total: 2, rq_success: 2 })],
		["10.0.0.1:3", counted({ rq_total: 7, rq_success: 7 })],
		// Its worker was replaced.
		["10.0.0.1:4", counted({ rq_total: 3, rq_success: 2, rq_error: 1 })],
	]);
	const report = reportCluster({
		name: "c",
		serviceName: "svc",
		assignment,
		counted: load(now),
		latched: load(before),
		intervalMs: 1_250.5,
		namesEndpoints: true,
	});
	assert.deepEqual([report.clusterName, report.clusterServiceName, report.loadReportInterval], ["c", "svc", { seconds: 1n, nanos: 250_500_000 }]);
	const shown = report.upstreamLocalityStats.map((stats) => [
		stats.locality?.zone,
		stats.priority,
		[stats.totalIssuedRequests, stats.totalSuccessfulRequests, stats.totalErrorRequests, stats.totalRequestsInProgress].map(Number),
		stats.upstreamEndpointStats.map(({ address, totalIssuedRequests }) => [address?.socketAddress?.portValue, Number(totalIssuedRequests)]),
	]);
	assert.deepEqual(shown, [
		[
			"a",
			0,
			[5, 3, 1, 1],
			[
				[1, 3],
				[2, 2],
			],
		],
		["c", 1, [3, 2, 1, 0], [[4, 3]]],
	]);
});

test("a report has the requests that came to no host since the last one", () => {
	const inputs = {
		name: "c",
		serviceName: "",
		intervalMs: 0,
		namesEndpoints: false,
		assignment: { ...assignment, dropOverload: { category: "shed", ratio: 1 } },
	};
	const of = (now: readonly [number, number], before: readonly [number, number]) => {
		const { totalDroppedRequests, droppedRequests } = reportCluster({ ...inputs, counted: load(new Map(), ...now), latched: load(new Map(), ...before) });
		return [totalDroppedRequests, droppedRequests];
	};
	assert.deepEqual(of([5, 3], [2, 1]), [3n, [{ category: "shed", droppedCount: 2n }]]);
	assert.deepEqual(of([5, 3], [4, 3]), [1n, []]);
	// The cluster is another.
	assert.deepEqual(of([1, 1], [4, 3]), [1n, [{ category: "shed", droppedCount: 1n }]]);
});

test("a cluster without hosts, or of which nobody asked anything, is reported as such", () => {
	const inputs = { name: "c", serviceName: "", counted: noLoad, latched: noLoad, intervalMs: 0, namesEndpoints: false };
	assert.deepEqual(reportCluster({ ...inputs, assignment: undefined }).upstreamLocalityStats, []);
	assert.deepEqual(reportCluster({ ...inputs, assignment }).upstreamLocalityStats, []);
});

test("workers are added up", () => {
	const one = new Map([["c", new Map([["h", counted({ rq_total: 1, cx_active: 1 })]])]]);
	const other = new Map([
		[
			"c",
			new Map([
				["h", counted({ rq_total: 2 })],
				["i", counted({ rq_error: 1 })],
			]),
		],
		["d", new Map([["h", counted({ rq_success: 1 })]])],
	]);
	const merged = mergeHostCounts([one, other]);
	assert.deepEqual(
		[merged.get("c")?.get("h")?.rq_total, merged.get("c")?.get("h")?.cx_active, merged.get("c")?.get("i")?.rq_error, merged.get("d")?.get("h")?.rq_success],
		[3, 1, 1, 1],
	);
	assert.equal(mergeHostCounts([]).size, 0);
});
