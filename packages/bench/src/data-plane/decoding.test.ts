import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeH2load, decodeH2loadLog, decodeWrk } from "./load-output.ts";
import { decodeOptions } from "./options.ts";
import { scenarioNames } from "./scenarios.ts";
import { decodeChildTicks, decodeCoreTicks, decodeCpuTicks, decodeMemory } from "./process-sample.ts";

const clean = `Running 3s test @ http://127.0.0.1:1/
  Latency Distribution
     50%    1.02ms
     99%    3.50ms
  180000 requests in 3.00s, 200.00MB read
Requests/sec:  60000.12
Transfer/sec:     66.00MB
`;

test("wrk's figures are read with their units", () => {
	assert.deepEqual(decodeWrk(clean), { requests: 180_000, requestsPerSecond: 60_000.12, p50Us: 1_020, p99Us: 3_500, failed: 0 });
	assert.equal(decodeWrk(clean.replace("3.50ms", "870.00us"))?.p99Us, 870);
	assert.equal(decodeWrk(clean.replace("3.50ms", "1.20s"))?.p99Us, 1_200_000);
});

test("socket errors and wrong statuses count as failed", () => {
	const bad = `${clean}  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 10\n`;
	assert.equal(decodeWrk(bad)?.failed, 20);
});

test("h2load's figures are read, requests that did not succeed as failed", () => {
	const output = `finished in 3.00s, 41000.50 req/s, 41.20MB/s
requests: 123100 total, 123356 started, 123000 done, 122990 succeeded, 10 failed, 2 errored, 1 timeout
`;
	assert.deepEqual(decodeH2load(output), { requests: 123_000, requestsPerSecond: 41_000.5, p50Us: Number.NaN, p99Us: Number.NaN, failed: 13 });
	assert.equal(decodeH2load("no server"), undefined);
});

test("percentiles are those of the durations in h2load's log, in whatever order they ended", () => {
	const lines = Array.from({ length: 100 }, (_, index) => `17000000${index}\t200\t${(100 - index) * 10}`);
	assert.deepEqual(decodeH2loadLog(`${lines.join("\n")}\n`), { p50Us: 510, p99Us: 1_000 });
	assert.ok(Number.isNaN(decodeH2loadLog("").p99Us));
});

test("output without a rate is not a result", () => {
	assert.equal(decodeWrk("unable to connect to 127.0.0.1:1 Connection refused"), undefined);
});

test("CPU ticks are found behind a process name with spaces and brackets", () => {
	const fields = ["S", ...Array.from({ length: 10 }, () => "9"), "120", "34", "5", "6"];
	const stat = `77 (a (b) c d) ${fields.join(" ")}`;
	assert.equal(decodeCpuTicks(stat), 154);
	assert.equal(decodeChildTicks(stat), 11);
});

test("a core's used time leaves out idle and iowait", () => {
	const stat = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 3 1000 500 4 5 6 7 8\ncpu10 7 7 7 7 7 7 7 7 7 7\n";
	assert.equal(decodeCoreTicks(stat, 0), 21);
	assert.ok(Number.isNaN(decodeCoreTicks(stat, 1)));
});

test("memory is read from smaps_rollup", () => {
	const rollup = "5581-7ffc ---p 00000000 00:00 0   [rollup]\nRss:               70128 kB\nPss:  1 kB\nAnonymous:         17644 kB\n";
	assert.deepEqual(decodeMemory(rollup), { rssKb: 70_128, anonymousKb: 17_644 });
});

test("options have defaults and refuse what they do not know by name", () => {
	assert.deepEqual(decodeOptions([]).scenarios, scenarioNames);
	assert.deepEqual(decodeOptions(["--peers", "weft-proxy,nginx", "--rounds=2"]).peers, ["nginx", "weft-proxy"]);
	assert.deepEqual(decodeOptions(["--scenarios", "mesh,tcp"]).scenarios, ["tcp", "mesh"]);
	assert.throws(() => decodeOptions(["--scenarios", "http3"]), /--scenarios: "http3" is not one of plain/);
	assert.throws(() => decodeOptions(["--peers", "apache"]), /--peers: "apache" is not one of nginx/);
	assert.throws(() => decodeOptions(["--rounds", "0"]), /--rounds/);
});
