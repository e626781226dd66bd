import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { breakerWord, createSlotAllocator, tryAcquire, viewSharedWords } from "../../config/shared-state.ts";
import type { Host } from "../../config/hosts.ts";
import { hostStanding } from "../../data/lb/priority-set.ts";
import { clusterOf, hostsOf } from "../../data/worker/standalone.ts";
import { clusterGauges } from "./cluster-gauges.ts";

describe("the main thread's gauges of a cluster", () => {
	const allocator = createSlotAllocator();
	const words = viewSharedWords(allocator.buffer);
	const limits = { connectionsMax: 2, pendingRequestsMax: 1, requestsMax: 3, retriesMax: 1, retryBudget: undefined, tracksRemaining: true };
	const cluster = clusterOf("c", { breakerSlot: allocator.allocate(), breakers: { default: limits, high: { ...limits, tracksRemaining: false } } });
	const [first, second, third] = hostsOf("c", [1, 2, 3]).priorities[0]?.[0]?.hosts ?? [];
	assert.ok(first && second && third);
	const locality = { region: "", zone: "", subZone: "", weight: 0 };
	const hosts = {
		cluster: "c",
		overprovisioningFactor: undefined,
		priorities: [
			[{ ...locality, hosts: [{ ...first, slot: 800 }, second, { ...third, health: "draining" as const }] }],
			[{ ...locality, hosts: [{ ...first, health: "degraded" as const }] }],
		],
	};
	const standingOf = (host: Host) => (host.slot === 800 ? "unhealthy" : hostStanding(host, words));
	const gauges = () =>
		new Map(
			clusterGauges({ cluster, hosts, read: (word) => words[word] ?? 0, isEjected: (slot) => slot === 800, standingOf, health: undefined }).flatMap(
				({ prefix, names, values }) => names.map((name, i) => [prefix + name, values[i]] as const),
			),
		);

	it("count every host once, however many workers there are", () => {
		const all = gauges();
		const of = (name: string) => all.get(`cluster.c.membership_${name}`);
		assert.deepEqual([of("total"), of("healthy"), of("degraded"), of("excluded")], [4, 1, 1, 1]);
	});

	it("say which limit is reached, and what is left where the thresholds ask for it", () => {
		const prefix = "cluster.c.circuit_breakers.default.";
		assert.deepEqual([gauges().get(`${prefix}cx_open`), gauges().get(`${prefix}remaining_cx`)], [0, 2]);
		for (let i = 0; i < 2; i++) tryAcquire(words, breakerWord(cluster.breakerSlot, "default", "connections"), 2);
		const all = gauges();
		assert.deepEqual([all.get(`${prefix}cx_open`), all.get(`${prefix}remaining_cx`), all.get(`${prefix}rq_open`)], [1, 0, 0]);
		assert.deepEqual([all.get("cluster.c.circuit_breakers.high.cx_open"), all.has("cluster.c.circuit_breakers.high.remaining_cx")], [0, false]);
	});
});
