import assert from "node:assert/strict";
import { test } from "node:test";
import type { OutlierDetection } from "../../config/runtime-config.ts";
import { decideEjection, healthyOutlierHost, passOutlierInterval } from "./outlier-decisions.ts";

const outlier: OutlierDetection = {
	consecutive5xx: 5,
	enforcingConsecutive5xx: 100,
	consecutiveGatewayFailure: 5,
	enforcingConsecutiveGatewayFailure: 0,
	splitExternalLocalOrigin: false,
	consecutiveLocalOriginFailure: 5,
	enforcingLocalOriginFailure: 100,
	intervalMs: 10_000,
	baseEjectionMs: 30_000,
	maxEjectionMs: 70_000,
	maxEjectionPercent: 50,
};
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
	assert.equal(reason({ host: { ejections: 1, ejectedAtMs: 0 } }), "already ejected");
	assert.equal(reason({ hostsEjected: 1 }), "eject");
	assert.equal(reason({ hostsEjected: 2 }), "too many ejected");
	assert.equal(reason({ reason: "consecutiveGateway" }), "not enforced");
});
