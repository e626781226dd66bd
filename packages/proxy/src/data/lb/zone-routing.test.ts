import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterHosts } from "../../config/hosts.ts";
import type { ZoneAware } from "../../config/load-balancing.ts";
import { createSlotAllocator, viewSharedWords } from "../../config/shared-state.ts";
import { zoneAwareDefaults } from "../../config/zone-aware-defaults.ts";
import { createChooseContext, type HostEntry } from "./host-entry.ts";
import { createHostSet, type HostSet } from "./host-set.ts";
import { cluster, clusterHosts, host, locality, seededRandom } from "./test-hosts.ts";
import { chooseZone, decideZones, groupByZone, type Zone, type ZoneEvent } from "./zone-routing.ts";

const words = viewSharedWords(createSlotAllocator().buffer);
const roundRobin = { kind: "roundRobin", slowStart: undefined } as const;

/** Zones with so many healthy hosts of weight 1; the own one is the first named `own`. */
function zonesOf(sizes: Readonly<Record<string, number>>): readonly Zone[] {
	const entry = { host: host(1) } as HostEntry;
	return Object.entries(sizes).map(([key, size]) => {
		const hosts = Array.from({ length: size }, () => entry);
		return { key, hosts, healthy: hosts, degraded: [], isOwn: key === "own" };
	});
}

const config = (parts: Partial<ZoneAware> = {}): ZoneAware => ({ ...zoneAwareDefaults, ...parts });

test("what zones have room for, after Envoy's own example", () => {
	// Local 40 %, 40 %, 20 %; upstream 25 %, 50 %, 25 %.
	const decision = decideZones(zonesOf({ own: 5, b: 10, c: 5 }), zonesOf({ own: 4, b: 4, c: 2 }), config());
	assert.deepEqual(decision, { kind: "residual", localShare: 6250, residual: [0, 1000, 1500] });
});

test("when zones matter at all", () => {
	const cases: readonly (readonly [Readonly<Record<string, number>>, Readonly<Record<string, number>>, Partial<ZoneAware>, string])[] = [
		[{ own: 3, b: 3 }, { own: 1, b: 1 }, {}, "direct"],
		[{ own: 3 }, { own: 1, b: 1 }, {}, "none"],
		[{ own: 3, b: 3 }, { own: 1 }, {}, "none"],
		[{ own: 3, b: 2 }, { own: 1, b: 1 }, {}, "none tooSmall"],
		[{ own: 3, b: 2 }, { own: 1, b: 1 }, { minClusterSize: 5 }, "direct"],
		[{ own: 3, b: 3 }, { b: 1, c: 1 }, {}, "none localClusterNotOk"],
		[{ own: 1, b: 5 }, { own: 1, b: 1 }, {}, "residual"],
		[{ own: 1, b: 5 }, { own: 1, b: 1 }, { localZoneMin: 1 }, "direct"],
		[{ own: 1, b: 5 }, { own: 1 }, { localZoneMin: 1 }, "direct"],
		[{ own: 1, b: 5 }, { own: 1, b: 1 }, { localZoneMin: 2 }, "residual"],
	];
	for (const [upstream, local, parts, wanted] of cases) {
		const decision = decideZones(zonesOf(upstream), zonesOf(local), config(parts));
		const text = decision.kind === "none" && decision.why !== undefined ? `none ${decision.why}` : decision.kind;
		assert.equal(text, wanted, JSON.stringify([upstream, local, parts]));
	}
});

test("requests go where there is room", () => {
	const decision = { kind: "residual", localShare: 2_500, residual: [0, 1_000, 4_000] } as const;
	const random = seededRandom();
	const zones = [0, 0, 0];
	const events = new Map<ZoneEvent, number>();
	for (let i = 0; i < 4_000; i++) {
		const at = chooseZone(decision, random, (event) => void events.set(event, (events.get(event) ?? 0) + 1));
		zones[at] = (zones[at] ?? 0) + 1;
	}
	for (const [i, share] of [0.25, 0.1875, 0.5625].entries()) assert.ok(Math.abs((zones[i] ?? 0) / 4_000 - share) < 0.03, JSON.stringify(zones));
	assert.equal(events.get("sampled"), zones[0]);
	assert.equal((events.get("sampled") ?? 0) + (events.get("crossZone") ?? 0), 4_000);
	const full: ZoneEvent[] = [];
	assert.ok([0, 1].includes(chooseZone({ kind: "residual", localShare: 0, residual: [0, 0] }, random, (event) => full.push(event))));
	assert.deepEqual(full, ["crossZone", "noCapacityLeft"]);
});

test("the own zone comes first, the others by name", () => {
	const entry = (zone: string) => ({ host: host(1), locality: { region: "", zone, subZone: "" } }) as HostEntry;
	const zones = groupByZone(["c", "a", "b", "a"].map(entry), { region: "", zone: "b", subZone: "" }, () => "healthy");
	assert.deepEqual(
		zones.map(({ key, isOwn, healthy }) => [key.split("\0")[1], isOwn, healthy.length]),
		[
			["b", true, 1],
			["a", false, 2],
			["c", false, 1],
		],
	);
	assert.ok(groupByZone([entry("")], { region: "", zone: "", subZone: "" }, () => "healthy").every(({ isOwn }) => !isOwn));
});

const inZones = (sizes: Readonly<Record<string, number>>): ClusterHosts => {
	let port = 0;
	return clusterHosts([
		Object.entries(sizes).map(([zone, size]) =>
			locality(
				Array.from({ length: size }, () => host(++port)),
				{ zone },
			),
		),
	]);
};

const zonesTaken = (set: HostSet) => new Set(Array.from({ length: 60 }, () => set.choose(createChooseContext())?.locality.zone));

test("a change of the local cluster is noticed by others", () => {
	const plain = { random: seededRandom(), nowMs: () => 0, hash64: () => 0n, words };
	const local = createHostSet(inZones({ a: 1, b: 1 }), cluster(roundRobin), plain);
	const zones = { own: { region: "", zone: "a", subZone: "" }, local: () => local.local, onEvent: () => undefined };
	const set = createHostSet(inZones({ a: 3, b: 3 }), cluster(roundRobin), { ...plain, zones });
	assert.deepEqual(zonesTaken(set), new Set(["a"]));
	local.update(inZones({ a: 9, b: 1 }), cluster(roundRobin));
	assert.deepEqual(zonesTaken(set), new Set(["a", "b"]));
	local.update(inZones({ a: 1, b: 1 }), cluster(roundRobin));
	assert.deepEqual(zonesTaken(set), new Set(["a"]));
});

test("without a local cluster zones are not looked at, and panic may fail", () => {
	const plain = { random: seededRandom(), nowMs: () => 0, hash64: () => 0n, words };
	assert.deepEqual(zonesTaken(createHostSet(inZones({ a: 3, b: 3 }), cluster(roundRobin), plain)), new Set(["a", "b"]));
	const sick = clusterHosts([[locality([host(1, { health: "unhealthy" }), host(2, { health: "unhealthy" })])]]);
	assert.ok(createHostSet(sick, cluster(roundRobin), plain).choose(createChooseContext()) !== undefined);
	const failing = createHostSet(sick, cluster(roundRobin, { zoneAware: config({ failsOnPanic: true }) }), plain);
	assert.equal(failing.choose(createChooseContext()), undefined);
	assert.equal(failing.panics, 1);
});
