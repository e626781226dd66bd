import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createHistogram } from "./histogram.ts";
import { histogramModeOf, renderHistogramText } from "./histogram-text.ts";

describe("histograms as text", () => {
	const histogram = createHistogram();
	for (const value of [3, 3, 40, 2_000_000]) histogram.record(value);
	const bounds = [1, 5, 50, 300_000, 3_600_000];
	const render = (mode: Parameters<typeof renderHistogramText>[2]) => renderHistogramText("h", histogram.dump(), mode, bounds);

	it("count up to each bound", () => {
		assert.equal(render("cumulative"), "h: B1(0,0) B5(0,2) B50(0,3) B300000(0,3) B3.6e+06(0,4)");
	});
	it("count between the bounds", () => {
		assert.equal(render("disjoint"), "h: B1(0,0) B5(0,2) B50(0,1) B300000(0,0) B3.6e+06(0,1)");
	});
	it("show what was recorded, bucket by bucket", () => {
		const [name, totals, intervals, summary] = render("detailed").split("\n");
		assert.deepEqual([name, intervals], ["h:", "  intervals="]);
		assert.match(totals ?? "", /^ {2}totals=2\.9,0\.1:2, 39,1:1, 1\.9e\+06,100000:1$/);
		assert.match(summary ?? "", /^ {2}summary=P0\(nan,2\.9\) /);
	});
	it("say so where nothing was recorded", () => {
		assert.equal(renderHistogramText("h", createHistogram().dump(), "summary", bounds), "h: No recorded values");
	});
	it("are asked for by Envoy's words", () => {
		assert.deepEqual([null, "", "none", "summary", "cumulative", "nonsense"].map(histogramModeOf), [
			"summary",
			"summary",
			"summary",
			"summary",
			"cumulative",
			undefined,
		]);
	});
});
