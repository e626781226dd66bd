import assert from "node:assert/strict";
import { test } from "node:test";
import { createLeastRequest, createFullScan } from "./least-request.ts";
import { createHostCounts, type HostEntry } from "./host-entry.ts";
import { addToEwma, createPeakEwma, ewmaAlpha, ewmaCost } from "./peak-ewma.ts";
import { host, seededRandom } from "./test-hosts.ts";

function entry(port: number, parts: Partial<HostEntry> = {}): HostEntry {
	return {
		host: host(port),
		address: `10.0.0.1:${port}`,
		priority: 0,
		locality: { region: "", zone: "", subZone: "" },
		active: 0,
		addedAtMs: 0,
		latencyMs: -1,
		latencyAtMs: 0,
		inUse: true,
		attachment: undefined,
		counts: createHostCounts(),
		totals: { active: 0 },
		...parts,
	};
}

test("the average moves by 2 ÷ (N + 1) of what is new", () => {
	assert.equal(ewmaAlpha(9), 0.2);
	assert.equal(addToEwma(addToEwma(-1, 100, 0.2), 120, 0.2), 104);
	assert.equal(addToEwma(-1, 100, 0.2), 100);
});

test("what a host costs", () => {
	assert.equal(ewmaCost(entry(1, { latencyMs: 100 }), 0), 100);
	assert.equal(ewmaCost(entry(1, { latencyMs: 100, active: 2 }), 0), 300);
	assert.equal(ewmaCost(entry(1, { latencyMs: 100, active: 2, host: host(1, { weight: 3 }) }), 0), 100);
	assert.equal(ewmaCost(entry(1, { latencyMs: 100 }), 10_000), 50);
	assert.equal(ewmaCost(entry(1), 0), 0);
	assert.ok(ewmaCost(entry(1, { active: 1 }), 0) > ewmaCost(entry(1, { latencyMs: 60_000, active: 50 }), 0));
});

test("the cheaper of two: the most expensive host is never taken, the cheapest always when it is drawn", () => {
	const hosts = [entry(1, { latencyMs: 10 }), entry(2, { latencyMs: 20 }), entry(3, { latencyMs: 400 })];
	const pick = createPeakEwma(seededRandom(), () => 0);
	const counts = new Map<number, number>();
	for (let i = 0; i < 3000; i++) {
		const { address } = (pick({ hosts, next: 0, edf: undefined }) as HostEntry).host;
		if (address.kind === "ip") counts.set(address.port, (counts.get(address.port) ?? 0) + 1);
	}
	assert.equal(counts.get(3), undefined);
	// In two of three pairs.
	assert.ok(Math.abs((counts.get(1) ?? 0) - 2000) < 150, `${counts.get(1)}`);
});

test("one host, or none", () => {
	const pick = createPeakEwma(seededRandom(), () => 0);
	assert.equal(pick({ hosts: [entry(1)], next: 0, edf: undefined })?.address, "10.0.0.1:1");
	assert.equal(pick({ hosts: [], next: 0, edf: undefined }), undefined);
});

test("a full scan takes the least busy of all, and equals in turn at random", () => {
	const hosts = [entry(1, { active: 2 }), entry(2, { active: 1 }), entry(3, { active: 1 }), entry(4, { active: 5 })];
	const scan = createFullScan(seededRandom());
	const taken = Array.from({ length: 1000 }, () => scan({ hosts, next: 0, edf: undefined })?.address);
	const second = taken.filter((address) => address === "10.0.0.1:2").length;
	assert.deepEqual([...new Set(taken)].sort(), ["10.0.0.1:2", "10.0.0.1:3"]);
	assert.ok(Math.abs(second - 500) < 80, `${second}`);
	// Two samples may miss it.
	const sampled = createLeastRequest(2, seededRandom());
	assert.ok(Array.from({ length: 200 }, () => sampled({ hosts, next: 0, edf: undefined })?.address).includes("10.0.0.1:1"));
});
