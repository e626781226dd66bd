import assert from "node:assert/strict";
import { test } from "node:test";
import { decideEjection, healthyOutlierHost, judgeRates, passOutlierInterval, successRateThreshold } from "./outlier-decisions.ts";
import { outlierDetection } from "./test-hosts.ts";

const outlier = outlierDetection;
const input = { reason: "consecutive5xx", host: healthyOutlierHost, hostsTotal: 4, hostsEjected: 0, nowMs: 1000, random: () => 0.5 } as const;

test("a host is ejected for base × times ejected, up to the maximum", () => {
	let host = healthyOutlierHost;
	for (const lasted of [30_000, 60_000, 70_000, 70_000]) {
		const decision = decideEjection(outlier, { ...input, host });
		assert.ok(decision.kind === "eject");
		assert.equal(decision.untilMs, 1000 + lasted);
		assert.equal(passOutlierInterval(outlier, decision.host, 1000 + lasted - 1).uneject, false);
		const passed = passOutlierInterval(outlier, decision.host, 1000 + lasted);
		assert.equal(passed.uneject, true);
		host = passed.host;
	}
	for (let i = 0; i < 4; i++) host = passOutlierInterval(outlier, host, 1e9).host;
	assert.deepEqual(host, healthyOutlierHost);
});

test("not while ejected, not beyond the share, not when it is not enforced", () => {
	const reason = (parts: object) => {
		const decision = decideEjection(outlier, { ...input, ...parts });
		return decision.kind === "ignore" ? decision.reason : decision.kind;
	};
	assert.equal(reason({ host: { ejections: 1, ejectedAtMs: 0, jitterMs: 0 } }), "already ejected");
	assert.equal(reason({ hostsEjected: 1 }), "eject");
	assert.equal(reason({ hostsEjected: 2 }), "too many ejected");
	assert.equal(reason({ reason: "consecutiveGateway" }), "not enforced");
});

test("one host may always be ejected where that is asked for", () => {
	const always = { ...outlier, maxEjectionPercent: 10, alwaysEjectOneHost: true };
	assert.equal(decideEjection(always, { ...input, hostsTotal: 2 }).kind, "eject");
	assert.equal(decideEjection(always, { ...input, hostsTotal: 2, hostsEjected: 1 }).kind, "ignore");
	assert.equal(decideEjection({ ...always, alwaysEjectOneHost: false }, { ...input, hostsTotal: 2 }).kind, "ignore");
});

test("an ejection lasts longer by up to the jitter", () => {
	const decision = decideEjection({ ...outlier, maxEjectionJitterMs: 10_000 }, input);
	assert.ok(decision.kind === "eject");
	assert.equal(decision.untilMs, 1000 + 30_000 + 5_000);
});

test("the threshold of the success rate is the mean less 1.9 standard deviations", () => {
	const rates = [100, 100, 100, 100, 50].map((rate) => ({ rate }));
	// Mean 90, standard deviation 20.
	assert.equal(successRateThreshold(rates, 1.9), 90 - 1.9 * 20);
});

test("who stands out by rates", () => {
	const detection = {
		...outlier,
		successRate: { ...outlier.successRate, minimumHosts: 5, requestVolume: 100 },
		failurePercentage: { ...outlier.failurePercentage, minimumHosts: 3, requestVolume: 50, thresholdPercent: 60 },
	};
	const host = (slot: number, total: number, good: number) => ({ slot, total, good });
	const good = [1, 2, 3, 4].map((slot) => host(slot, 100, 100));
	const cases: readonly (readonly [string, readonly ReturnType<typeof host>[], readonly number[], readonly number[]])[] = [
		["one fails half", [...good, host(5, 100, 50)], [5], []],
		["one fails most", [...good, host(5, 100, 40)], [5], [5]],
		["too few requests for the one, enough for the other", [...good, host(5, 60, 0)], [], [5]],
		["too few for both", [...good, host(5, 40, 0)], [], []],
		["too few hosts for the one, enough for the other", [host(1, 100, 100), host(2, 100, 100), host(3, 100, 0)], [], [3]],
		["too few hosts", [host(1, 100, 100), host(3, 100, 0)], [], []],
		["hosts without requests do not count", [host(1, 100, 100), host(2, 0, 0), host(3, 100, 0)], [], []],
	];
	for (const [name, hosts, successRate, failurePercentage] of cases) assert.deepEqual(judgeRates(detection, hosts), { successRate, failurePercentage }, name);
});
