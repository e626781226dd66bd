import assert from "node:assert/strict";
import { test } from "node:test";
import type { Sample } from "./measurement.ts";
import { formatReport } from "./report.ts";
import { median, summarize } from "./summary.ts";

function sample(peer: Sample["peer"], round: number, requestsPerSecond: number, over: Partial<Sample> = {}): Sample {
	const figures = { cpuUsPerRequest: 10, rssMb: 60, anonymousMb: 20, busyShare: 0.98, foreignShare: 0.01, p99Us: 1_000 };
	return { scenario: "plain", peer, round, requests: requestsPerSecond * 3, requestsPerSecond, failed: 0, ...figures, ...over };
}

test("the median of an even count is the mean of the middle two", () => {
	assert.equal(median([4, 1, 3, 2]), 2.5);
	assert.equal(median([5, 1, 3]), 3);
	assert.ok(Number.isNaN(median([])));
});

test("ratios are taken within a round, so a slow round does not move them", () => {
	const samples = [sample("nginx", 1, 100), sample("weft-proxy", 1, 90), sample("nginx", 2, 10), sample("weft-proxy", 2, 9), sample("nginx", 3, 50)];
	const weft = summarize(samples).find((summary) => summary.peer === "weft-proxy");
	assert.ok(Math.abs((weft?.toNginx ?? 0) - 0.9) < 1e-9);
	assert.equal(weft?.toEnvoy, undefined);
	assert.equal(weft?.rounds, 2);
	assert.equal(weft?.requests, 297);
});

test("the page names missing peers, failed requests and goals missed", () => {
	const samples = [sample("nginx", 1, 100), sample("envoy", 1, 40), sample("weft-proxy", 1, 80, { failed: 7, rssMb: 90, foreignShare: 0.3 })];
	const page = formatReport({
		date: "2026-01-01T00:00:00.000Z",
		machine: { cores: 2, model: "a processor", kernel: "Linux", memoryMb: 1024, loadBefore: 0 },
		versions: { nginx: "1" },
		missing: [{ name: "haproxy", fix: "apt-get install haproxy" }],
		connections: 64,
		secondsPerRound: 3,
		bodyBytes: 1024,
		summaries: summarize(samples),
		samples,
	});
	assert.match(page, /Not measured: haproxy \(apt-get install haproxy\)/);
	assert.match(page, /in 1 of 3 measurements others used more than 5 % of a core/);
	assert.match(page, /\| weft-proxy \| 80 \| 0\.80 \| 2\.00 \|.*\| 7 \|/);
	assert.match(
		page,
		/0\.80 of nginx \(goal ≥ 0\.85\): not judged, the measurement was disturbed; 2\.00 of Envoy \(goal ≥ 2\.1\): not judged, the measurement was disturbed; RSS 90 MB \(goal ≤ 72\): missed/,
	);
});
