import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import type { Cluster } from "../../config/clusters.ts";
import type { ClusterHosts } from "../../config/hosts.ts";
import type { LoadBalancer } from "../../config/load-balancing.ts";
import { createSharedBuffer, createSlotAllocator, setEjected, viewSharedWords } from "../../config/shared-state.ts";
import { type Hash64, loadHash64 } from "./hash.ts";
import { beginRequest, createChooseContext, endRequest } from "./host-entry.ts";
import { createHostSet, type HostSet } from "./host-set.ts";
import { balancers, cluster, clusterHosts, host, locality, seededRandom } from "./test-hosts.ts";

let hash64: Hash64;
before(async () => {
	hash64 = await loadHash64();
});

const buffer = createSharedBuffer(1024);
const words = viewSharedWords(buffer);
const slots = createSlotAllocator(buffer);

function open(lb: LoadBalancer, hosts: ClusterHosts, parts: Partial<Cluster> = {}, nowMs = () => 0): HostSet {
	return createHostSet(hosts, cluster(lb, parts), { random: seededRandom(), nowMs, hash64, words });
}

/** How often each port came out of `rounds` choices. */
function share(set: HostSet, rounds: number): Record<number, number> {
	const counts: Record<number, number> = {};
	const context = createChooseContext();
	for (let i = 0; i < rounds; i++) {
		context.hash = hash64(`key ${i}`);
		const entry = set.choose(context);
		assert.ok(entry?.host.address.kind === "ip");
		counts[entry.host.address.port] = (counts[entry.host.address.port] ?? 0) + 1;
	}
	return counts;
}

function assertNear(actual: number | undefined, wanted: number, tolerance: number) {
	assert.ok(actual !== undefined && Math.abs(actual - wanted) <= wanted * tolerance, `${actual} is not near ${wanted}`);
}

for (const lb of balancers) {
	describe(`${lb.kind}${lb.kind === "ringHash" ? ` ${lb.hash}` : ""} keeps the contract of all balancers`, () => {
		test("no hosts, no choice", () => {
			assert.equal(open(lb, clusterHosts([])).choose(createChooseContext()), undefined);
			assert.equal(open(lb, clusterHosts([[locality([])]])).choose(createChooseContext()), undefined);
		});
		test("equal hosts get about equal shares", () => {
			const counts = share(open(lb, clusterHosts([[locality([host(1), host(2), host(3)])]])), 3000);
			for (const port of [1, 2, 3]) assertNear(counts[port], 1000, 0.15);
		});
		test(lb.kind === "random" ? "weights are ignored, as in Envoy" : "weights are kept", () => {
			const counts = share(open(lb, clusterHosts([[locality([host(1, { weight: 3 }), host(2)])]])), 4000);
			assertNear(counts[1], lb.kind === "random" ? 2000 : 3000, 0.1);
		});
		test("draining, unhealthy and ejected hosts get nothing", () => {
			const slot = slots.allocate();
			const hosts = [host(1), host(2, { health: "draining" }), host(3, { health: "unhealthy" }), host(4, { slot }), host(5), host(6)];
			const set = open(lb, clusterHosts([[locality(hosts)]]));
			assert.deepEqual(Object.keys(share(set, 500)), ["1", "4", "5", "6"]);
			setEjected(words, slot, true);
			assert.deepEqual(Object.keys(share(set, 500)), ["1", "5", "6"]);
			assert.deepEqual(set.membership(), { total: 6, healthy: 3, degraded: 0, excluded: 1 });
			setEjected(words, slot, false);
			assert.deepEqual(Object.keys(share(set, 500)), ["1", "4", "5", "6"]);
		});
		test("a session goes back to its draining host only where the cluster lets it", () => {
			const hosts = clusterHosts([[locality([host(1), host(2, { health: "draining" })])]]);
			const chosen = (sessionsOutliveDraining: boolean) => {
				const set = open(lb, hosts, { sessionsOutliveDraining });
				return set.choose({ ...createChooseContext(), override: { address: "10.0.0.1:2", strict: true } })?.host.health;
			};
			assert.equal(chosen(true), "draining");
			assert.equal(chosen(false), undefined);
		});
		test("in panic all hosts but the draining ones are used", () => {
			const hosts = [host(1), host(2, { health: "unhealthy" }), host(3, { health: "unhealthy" }), host(4, { health: "draining" })];
			const set = open(lb, clusterHosts([[locality(hosts)]]));
			assert.deepEqual(Object.keys(share(set, 300)), ["1", "2", "3"]);
			assert.ok(set.panics > 0);
		});
		test("a dead priority hands over to the next", () => {
			const set = open(lb, clusterHosts([[locality([host(1, { health: "unhealthy" })])], [locality([host(2)])]]));
			assert.deepEqual(Object.keys(share(set, 300)), ["2"]);
		});
		test("a half-dead priority hands over a part: 2 of 4 hosts × 1.4 is 70 %", () => {
			const down = { health: "unhealthy" } as const;
			const set = open(lb, clusterHosts([[locality([host(1), host(1001), host(2, down), host(3, down)])], [locality([host(4)])]]));
			assertNear(share(set, 4000)[4], 1200, 0.15);
		});
		test("an excluded host is avoided when another comes out of a further choice", () => {
			const set = open(lb, clusterHosts([[locality([host(1), host(2), host(3)])]]));
			const context = createChooseContext();
			context.hash = hash64("x");
			const first = set.choose(context);
			assert.ok(first);
			context.avoided = { avoids: (entry) => entry === first };
			context.attemptsMax = 20;
			for (let i = 0; i < 20; i++) assert.notEqual(set.choose(context), first);
		});
		test("entries survive an update with all they hold, and removed ones are handed back", () => {
			const set = open(lb, clusterHosts([[locality([host(1), host(2)])]]));
			const before = [...set.entries()];
			assert.ok(before[0]);
			before[0].attachment = { pool: true };
			beginRequest(before[0]);
			const gone = set.update(clusterHosts([[locality([host(1, { weight: 5 }), host(3)])]]), cluster(lb));
			assert.deepEqual(gone, [before[1]]);
			assert.equal(before[1]?.inUse, false);
			const after = [...set.entries()];
			assert.equal(after[0], before[0]);
			assert.equal(after[0]?.host.weight, 5);
			assert.equal(after[0]?.active, 1);
			endRequest(before[0]);
			assert.equal(before[0].totals.active, 0);
		});
	});
}

const [roundRobin, leastRequest, , ringHash, , maglev] = balancers as readonly [
	LoadBalancer,
	LoadBalancer,
	LoadBalancer,
	LoadBalancer,
	LoadBalancer,
	LoadBalancer,
];

test("round robin takes equal hosts strictly in turn", () => {
	const set = open(roundRobin, clusterHosts([[locality([host(1), host(2), host(3)])]]));
	const ports = Array.from({ length: 9 }, () => set.choose(createChooseContext())?.address);
	for (let i = 3; i < 9; i++) assert.equal(ports[i], ports[i - 3]);
	assert.equal(new Set(ports.slice(0, 3)).size, 3);
});

test("least request prefers the idle host", () => {
	const set = open({ kind: "leastRequest", choiceCount: 10, activeRequestBias: 1, slowStart: undefined }, clusterHosts([[locality([host(1), host(2)])]]));
	const [busy, idle] = [...set.entries()];
	assert.ok(busy && idle);
	for (let i = 0; i < 5; i++) beginRequest(busy);
	for (let i = 0; i < 20; i++) assert.equal(set.choose(createChooseContext()), idle);
});

test("least request with unequal weights divides the weight by the requests under way", () => {
	const set = open(leastRequest, clusterHosts([[locality([host(1, { weight: 2 }), host(2, { weight: 1 })])]]));
	const [first] = [...set.entries()];
	assert.ok(first);
	for (let i = 0; i < 9; i++) beginRequest(first);
	assertNear(share(set, 1200)[2], 1000, 0.1);
});

for (const lb of [ringHash, maglev]) {
	test(`${lb.kind}: one hash, one host; the loss of a host moves only its own keys`, () => {
		const all = [host(1), host(2), host(3), host(4)];
		const context = createChooseContext();
		const choices = (set: HostSet) =>
			Array.from({ length: 1000 }, (_, i) => {
				context.hash = hash64(`user-${i}`);
				return set.choose(context)?.address;
			});
		const set = open(lb, clusterHosts([[locality(all)]]));
		const before = choices(set);
		assert.deepEqual(choices(set), before);
		const after = choices(open(lb, clusterHosts([[locality(all.slice(0, 3))]])));
		const moved = before.filter((address, i) => address !== "10.0.0.1:4" && after[i] !== address).length;
		// The ring is rebuilt with more points for each of the hosts left, which moves some, in Envoy too.
		assert.ok(moved < 150, `${moved} keys of living hosts moved`);
	});
	test(`${lb.kind}: a bounded load goes elsewhere when the host of the hash is full`, () => {
		const set = open({ ...lb, balanceFactor: 120 } as LoadBalancer, clusterHosts([[locality([host(1), host(2), host(3)])]]));
		const context = createChooseContext();
		context.hash = 77n;
		const home = set.choose(context);
		assert.ok(home);
		for (let i = 0; i < 10; i++) beginRequest(home);
		const other = set.choose(context);
		assert.notEqual(other, home);
		assert.equal(set.choose(context), other);
	});
}

test("localities share by weight times what is healthy in them", () => {
	const down = { health: "unhealthy" } as const;
	const near = locality([host(1), host(2)], { weight: 75 });
	const far = locality([host(3)], { weight: 25 });
	const set = open(roundRobin, clusterHosts([[near, far]]), { localityWeighted: true });
	assertNear(share(set, 4000)[3], 1000, 0.05);
	const halfDead = locality([host(1), host(2, down)], { weight: 75 });
	// 75 × 1.4 × ½ = 52.5 against 25.
	assertNear(share(open(roundRobin, clusterHosts([[halfDead, far]]), { localityWeighted: true }), 4000)[3], 4000 * (25 / 77.5), 0.05);
});

test("a new host in its slow-start window gets less, and its share after it", () => {
	let now = 0;
	const slowStart = { windowMs: 10_000, aggression: 1, minWeightPercent: 10 };
	const lb: LoadBalancer = { kind: "roundRobin", slowStart };
	const set = open(lb, clusterHosts([[locality([host(1)])]]), {}, () => now);
	now = 60_000;
	set.update(clusterHosts([[locality([host(1), host(2)])]]), cluster(lb));
	assertNear(share(set, 1100)[2], 100, 0.2);
	now = 65_000;
	assertNear(share(set, 1500)[2], 500, 0.2);
	now = 70_000;
	assertNear(share(set, 1000)[2], 500, 0.05);
});

test("an original-destination cluster goes where the connection went", () => {
	const set = open({ kind: "clusterProvided" }, clusterHosts([]), { kind: "originalDst" });
	const context = createChooseContext();
	context.destination = "10.1.2.3:80";
	const entry = set.choose(context);
	assert.deepEqual(entry?.host.address, { kind: "ip", address: "10.1.2.3", port: 80 });
	assert.equal(set.choose(context), entry);
	context.destination = "nonsense";
	assert.equal(set.choose(context), undefined);
});
