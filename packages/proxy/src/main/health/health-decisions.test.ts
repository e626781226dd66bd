import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { HealthCheck, ProbeResult } from "../../config/health-check.ts";
import { healthFlags } from "../../config/shared-state.ts";
import { judgePassive, judgeProbe, nextIntervalMs, noHistory } from "./health-decisions.ts";

const check: HealthCheck = {
	probe: { kind: "tcp", send: new Uint8Array(), receive: [], proxyProtocol: undefined },
	timeoutMs: 1000,
	intervalMs: 5000,
	initialJitterMs: 0,
	intervalJitterMs: 0,
	intervalJitterPercent: 0,
	noTrafficIntervalMs: 60_000,
	noTrafficHealthyIntervalMs: 90_000,
	unhealthyIntervalMs: 4000,
	unhealthyEdgeIntervalMs: 3000,
	healthyEdgeIntervalMs: 2000,
	unhealthyThreshold: 3,
	healthyThreshold: 2,
	reuseConnection: true,
	eventLogPath: "",
	alwaysLogFailures: false,
	alwaysLogSuccesses: false,
	alpn: undefined,
	transportMatch: undefined,
};

const good: ProbeResult = { kind: "good", degraded: false };
const bad: ProbeResult = { kind: "bad", retriable: false, immediateFail: false, detail: "" };
const retriable: ProbeResult = { kind: "bad", retriable: true, immediateFail: false, detail: "" };
const silent: ProbeResult = { kind: "network", timeout: true, detail: "" };
const { failedActiveHc, degradedActiveHc, pendingActiveHc, activeHcTimeout, excludedViaImmediateHcFail } = healthFlags;

type Judged = Exclude<ProbeResult, { kind: "unknown" }>;

/** After each result: the flags, the interval until the next check, and what is logged. */
function run(results: readonly ProbeResult[], flags: number = failedActiveHc) {
	let history = noHistory;
	return results.map((result) => {
		const decision = judgeProbe(check, history, flags, result as Judged);
		({ history, flags } = decision);
		return [flags, nextIntervalMs(check, decision, true, () => 0), decision.events.join()] as const;
	});
}

describe("active health checks decide", () => {
	const cases: readonly (readonly [string, readonly ProbeResult[], ReturnType<typeof run>])[] = [
		["the first good check of all decides at once", [good], [[0, 5000, "addHealthy"]]],
		["the first bad one leaves the host where it began", [bad], [[failedActiveHc, 4000, "failure"]]],
		[
			"later it takes as many good ones as the threshold says",
			[bad, good, good],
			[
				[failedActiveHc, 4000, "failure"],
				[failedActiveHc, 2000, ""],
				[0, 5000, "addHealthy"],
			],
		],
		[
			"an answer that says no is believed at once",
			[good, bad],
			[
				[0, 5000, "addHealthy"],
				[failedActiveHc, 4000, "ejectUnhealthy"],
			],
		],
		[
			"silence is counted, and a good check starts over",
			[good, silent, silent, good, silent, silent, silent],
			[
				[0, 5000, "addHealthy"],
				[0, 3000, ""],
				[0, 3000, ""],
				[0, 5000, ""],
				[0, 3000, ""],
				[0, 3000, ""],
				[failedActiveHc | activeHcTimeout, 4000, "ejectUnhealthy"],
			],
		],
		[
			"so is what may be tried again",
			[good, retriable, retriable, retriable],
			[
				[0, 5000, "addHealthy"],
				[0, 3000, ""],
				[0, 3000, ""],
				[failedActiveHc, 4000, "ejectUnhealthy"],
			],
		],
		[
			"degraded and back",
			[{ kind: "good", degraded: true }, good],
			[
				[degradedActiveHc, 5000, "addHealthy,degraded"],
				[0, 5000, "noLongerDegraded"],
			],
		],
	];
	for (const [name, results, expected] of cases) test(name, () => assert.deepEqual(run(results), expected));

	test("the first check of all ends the wait of a new host, whatever it finds", () => {
		assert.deepEqual(run([good], failedActiveHc | pendingActiveHc)[0]?.[0], 0);
		assert.deepEqual(run([bad], failedActiveHc | pendingActiveHc)[0]?.[0], failedActiveHc);
	});

	test("a host may say in an answer that it must not be used", () => {
		const { flags, events } = judgePassive(check, { ...noHistory, isFirst: false }, 0);
		assert.deepEqual([flags, events], [failedActiveHc | excludedViaImmediateHcFail, ["ejectUnhealthy"]]);
		assert.equal(judgeProbe(check, { unhealthy: 0, healthy: 1, isFirst: false }, flags, good).flags, 0);
	});

	test("intervals are longer without traffic, and jitter is added", () => {
		const decision = judgeProbe(check, noHistory, failedActiveHc, good);
		assert.equal(
			nextIntervalMs(check, decision, false, () => 0),
			90_000,
		);
		const failed = judgeProbe(check, noHistory, failedActiveHc, bad);
		assert.equal(
			nextIntervalMs(check, failed, false, () => 0),
			60_000,
		);
		const jittered = { ...check, intervalJitterPercent: 10, intervalJitterMs: 100 };
		assert.equal(
			nextIntervalMs(jittered, decision, true, () => 0.5),
			5000 + 250 + 50,
		);
	});
});
