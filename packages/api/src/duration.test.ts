import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDurationMs } from "./duration.ts";

const valid: readonly (readonly [string, number])[] = [
	["1s", 1000],
	["1.5s", 1500],
	["100ms", 100],
	["1h2m", 3_720_000],
	["1h2m3.5s", 3_723_500],
	["0", 0],
	["0s", 0],
	[".5s", 500],
	["1.s", 1000],
	["-1s", -1000],
	["+2m", 120_000],
	["1us", 0.001],
	["1µs", 0.001],
	["1ns", 0.000001],
	["87600h", 315_360_000_000],
];

for (const [text, ms] of valid) test(`the duration ${text} is ${ms} ms`, () => assert.equal(parseDurationMs(text), ms));

for (const text of ["", "1", "s", "1 s", "1d", "1s ", "one", "1s2", "1.2.3s", "--1s", "∞s", "1e3s", "9999999999999h", "1".repeat(100)]) {
	test(`${JSON.stringify(text.slice(0, 20))} is no duration`, () => assert.equal(parseDurationMs(text), undefined));
}
