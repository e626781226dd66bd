import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { canonicalQuantity } from "./quantity.ts";

suite("quantities", () => {
	for (const [text, canonical] of [
		["2000m", "2"],
		["250m", "250m"],
		["0.5", "500m"],
		["1.5", "1500m"],
		["1000", "1k"],
		["1024Mi", "1Gi"],
		["1536Mi", "1536Mi"],
		["1.5Gi", "1536Mi"],
		["512", "512"],
		["1Ki", "1Ki"],
		["0.5Ki", "512"],
		["1e3", "1e3"],
		["12E", "12E"],
		["0", "0"],
		["-1", "-1"],
		["100n", "100n"],
		["abc", undefined],
		["1.2.3", undefined],
		["", undefined],
		["10mib", undefined],
		["1 Gi", undefined],
	] as const) {
		test(`${text} is ${canonical}`, () => assert.equal(canonicalQuantity(text), canonical));
	}
});
