import assert from "node:assert/strict";
import { test } from "node:test";
import { judge } from "./goals.ts";
import type { Sample } from "./measurement.ts";
import { formatReport, type Report } from "./report.ts";
import { cpuRatioBetween, median, summarize } from "./summary.ts";

function sample(peer: Sample["peer"], round: number, cpuUsPerRequest: number, over: Partial<Sample> = {}): Sample {
	return {
		scenario: "plain",
		peer,
		round,
		phase: "full",
		requests: 300,
		requestsPerSecond: 1_000_000 / cpuUsPerRequest,
		failed: 0,
		cpuUsPerRequest,
		vcpuPerProxy: 0.98,
		idleRssMb: 40,
		rssMb: 60,
		anonymousMb: 20,
		busyShare: 0.98,
		foreignShare: 0.01,
		p50Us: 500,
		p99Us: 1_000,
		...over,
	};
}

function report(samples: readonly Sample[], over: Partial<Report> = {}): Report {
	return {
		date: "2026-01-01T00:00:00.000Z",
		machine: { cores: 2, model: "a processor", kernel: "Linux", memoryMb: 1024, loadBefore: 0 },
		versions: { nginx: "1" },
		missing: [],
		connections: 64,
		secondsPerRound: 3,
		bodyBytes: 1024,
		summaries: summarize(samples),
		samples,
		idle: [],
		...over,
	};
}

test("the median of an even count is the mean of the middle two", () => {
	assert.equal(median([4, 1, 3, 2]), 2.5);
	assert.equal(median([5, 1, 3]), 3);
	assert.ok(Number.isNaN(median([])));
});

test("ratios are of CPU a request within a round, so a slow round does not move them", () => {
	const samples = [sample("nginx", 1, 9), sample("weft-proxy", 1, 10), sample("nginx", 2, 90), sample("weft-proxy", 2, 100), sample("nginx", 3, 50)];
	const weft = summarize(samples).find((summary) => summary.peer === "weft-proxy");
	assert.ok(Math.abs((weft?.toNginx ?? 0) - 0.9) < 1e-9);
	assert.equal(weft?.toEnvoy, undefined);
	assert.equal(weft?.rounds, 2);
	assert.equal(weft?.requests, 600);
});

test("what was measured at half load is kept apart from the full load", () => {
	const [weft] = summarize([sample("weft-proxy", 1, 10), sample("weft-proxy", 1, 14, { phase: "half", p50Us: 100, p99Us: 300 })]);
	assert.equal(weft?.cpuUsPerRequest, 10);
	assert.equal(weft?.rounds, 1);
	assert.equal(weft?.paced.half?.p99Us, 300);
	assert.equal(weft?.paced.thousand, undefined);
});

test("scenarios are compared within a round", () => {
	const samples = [1, 2, 3].flatMap((round) => [
		sample("weft-proxy", round, 10 * round, { scenario: "routes10" }),
		sample("weft-proxy", round, 12 * round, { scenario: "routes1000" }),
	]);
	assert.ok(Math.abs((cpuRatioBetween("weft-proxy", "routes1000", "routes10", samples) ?? 0) - 1.2) < 1e-9);
	assert.equal(cpuRatioBetween("envoy", "routes1000", "routes10", samples), undefined);
});

test("goals are judged by their kind, and CPU at a rate only when the rate was kept", () => {
	const verdicts = (samples: readonly Sample[]) =>
		Object.fromEntries(judge(report(samples)).map(({ goal, verdict }) => [`${goal.scenario} ${goal.figure}`, verdict]));
	const plain = verdicts([sample("nginx", 1, 9), sample("envoy", 1, 30), sample("weft-proxy", 1, 10, { rssMb: 90 })]);
	assert.equal(plain["plain toNginx"], "missed");
	assert.equal(plain["plain toEnvoy"], "reached");
	assert.equal(plain["plain rssMb"], "missed");
	assert.equal(verdicts([sample("weft-proxy", 1, 10)])["plain toNginx"], "not measured");
	assert.equal(verdicts([sample("nginx", 1, 20), sample("weft-proxy", 1, 10, { failed: 30 })])["plain toNginx"], "not judged, requests failed");
	const thousand = (requestsPerSecond: number, vcpuPerProxy: number) =>
		verdicts([
			sample("weft-proxy", 1, 10, { scenario: "meshhop" }),
			sample("weft-proxy", 1, 10, { scenario: "meshhop", phase: "thousand", requestsPerSecond, vcpuPerProxy }),
		])["meshhop vcpuAtThousand"];
	assert.equal(thousand(998, 0.05), "reached");
	assert.equal(thousand(998, 0.07), "missed");
	assert.equal(thousand(500, 0.03), "not judged, the rate was not kept");
});

test("the page names missing peers, failed requests and goals missed", () => {
	const samples = [
		sample("nginx", 1, 10),
		sample("envoy", 1, 25),
		sample("weft-proxy", 1, 12.5, { requests: 70_000, failed: 7, rssMb: 90, foreignShare: 0.3 }),
	];
	const half = sample("weft-proxy", 1, 14, { phase: "half", p50Us: 240, p99Us: 900 });
	const idle = { scenario: "idle", peer: "weft-proxy", connections: 1000, rssBeforeMb: 60, rssAfterMb: 64, kbPerConnection: 4.1 } as const;
	const page = formatReport(report([...samples, half], { missing: [{ name: "haproxy", fix: "apt-get install haproxy" }], idle: [idle] }));
	assert.match(page, /Not measured: haproxy \(apt-get install haproxy\)/);
	assert.match(page, /in 1 of 4 measurements others used more than 5 % of a core/);
	assert.match(
		page,
		/\| plain \| requests a core-second \| 100000 \| – \| 40000 \| 80000 \| 0\.80 \| – \| 2\.00 \| ≥ 0\.95 of nginx \(earlier 0\.85\): \*\*missed\*\*; /,
	);
	assert.match(page, /\| plain \| p50 \/ p99 ms at half load \| – \| – \| – \| 0\.24 \/ 0\.90 \|/);
	assert.match(page, /\| plain \| RSS MB idle \/ loaded \| 40 \/ 60 \|.*\| ≤ 72 MB RSS under load: \*\*missed\*\* \|/);
	assert.match(page, /\| idle \| KB an idle connection \| – \| – \| – \| 4\.1 \|/);
	assert.match(page, /\| weft-proxy \| 80000 \| 80000 \| 12\.5 \|.*\| 7 \|\n/);
	assert.match(page, /weft-proxy: 0 of 3 goals reached, 3 missed\./);
});
