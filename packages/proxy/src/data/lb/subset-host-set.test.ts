import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { LbMetadata, SubsetConfig } from "../../config/load-balancing.ts";
import { createSlotAllocator, viewSharedWords } from "../../config/shared-state.ts";
import { createChooseContext } from "./host-entry.ts";
import { createHostSet } from "./host-set.ts";
import { cluster, clusterHosts, host, locality, seededRandom } from "./test-hosts.ts";

const words = viewSharedWords(createSlotAllocator().buffer);

function config(parts: Partial<SubsetConfig>): SubsetConfig {
	return {
		fallback: "none",
		defaultSubset: {},
		selectors: [
			{ keys: ["stage"], singleHost: false, fallback: undefined, fallbackKeys: [] },
			{ keys: ["stage", "version"], singleHost: false, fallback: undefined, fallbackKeys: [] },
		],
		localityWeighted: false,
		scalesLocalityWeight: false,
		panicsToAny: false,
		listAsAny: false,
		triesFallbackList: false,
		...parts,
	};
}

// 1 and 2 are production, 3 is staging, 4 has no stage.
const hosts = clusterHosts([
	[
		locality([
			host(1, { lbMetadata: { stage: "prod", version: "1" } }),
			host(2, { lbMetadata: { stage: "prod", version: "2" } }),
			host(3, { lbMetadata: { stage: ["dev", "test"], version: 1 } }),
			host(4),
		]),
	],
]);

/** The ports that 40 choices give. */
function portsOf(subsets: SubsetConfig, metadata: LbMetadata | undefined): readonly number[] {
	const counted: string[] = [];
	const inputs = { random: seededRandom(), nowMs: () => 0, hash64: () => 0n, words, onSubset: (kind: string) => void counted.push(kind) };
	const set = createHostSet(hosts, cluster({ kind: "roundRobin", slowStart: undefined }, { subsets }), inputs);
	const context = { ...createChooseContext(), metadata };
	const ports = new Set<number>();
	for (let i = 0; i < 40; i++) {
		const address = set.choose(context)?.host.address;
		if (address?.kind === "ip") ports.add(address.port);
	}
	return [...ports].sort();
}

describe("the subset load balancer", () => {
	const keysOnly = (fallbackKeys: readonly string[]) =>
		config({
			selectors: [
				{ keys: ["stage"], singleHost: false, fallback: undefined, fallbackKeys: [] },
				{ keys: ["stage", "version"], singleHost: false, fallback: "keys", fallbackKeys },
			],
		});
	const one = config({ selectors: [{ keys: ["stage"], singleHost: true, fallback: undefined, fallbackKeys: [] }] });
	const list = [{ version: "9" }, { version: "2" }];
	const cases: readonly (readonly [string, SubsetConfig, LbMetadata | undefined, readonly number[]])[] = [
		["one key", config({}), { stage: "prod" }, [1, 2]],
		["two keys", config({}), { version: "2", stage: "prod" }, [2]],
		["a number is no string", config({ fallback: "any" }), { stage: "dev", version: "1" }, [1, 2, 3, 4]],
		["keys that no selector has", config({}), { version: "1" }, []],
		["more keys than a selector has", config({}), { stage: "prod", version: "1", more: "x" }, []],
		["no subset, no fallback", config({}), { stage: "other" }, []],
		["no subset, any endpoint", config({ fallback: "any" }), { stage: "other" }, [1, 2, 3, 4]],
		["no subset, the default one", config({ fallback: "default", defaultSubset: { stage: "prod" } }), { stage: "other" }, [1, 2]],
		["a default subset without criteria has all", config({ fallback: "default" }), { stage: "other" }, [1, 2, 3, 4]],
		["no metadata, no fallback", config({}), undefined, []],
		["no metadata, any endpoint", config({ fallback: "any" }), undefined, [1, 2, 3, 4]],
		["a default that nobody is in", config({ fallback: "default", defaultSubset: { stage: "x" } }), undefined, []],
		["the same, panicking to any", config({ fallback: "default", defaultSubset: { stage: "x" }, panicsToAny: true }), undefined, [1, 2, 3, 4]],
		["lists are values of their own", config({}), { stage: "dev" }, []],
		["lists are any of their elements", config({ listAsAny: true }), { stage: "dev" }, [3]],
		["fewer keys", keysOnly(["stage"]), { stage: "prod", version: "7" }, [1, 2]],
		["fewer keys, and still nothing", keysOnly(["stage"]), { stage: "x", version: "7" }, []],
		["one host for the subset", one, { stage: "prod" }, [1]],
		["a list of fallbacks is tried in order", config({ triesFallbackList: true }), { stage: "prod", fallback_list: list }, [2]],
		["and is a key like others when it is not asked for", config({}), { stage: "prod", fallback_list: list }, []],
	];
	for (const [name, subsets, metadata, ports] of cases) test(name, () => assert.deepEqual(portsOf(subsets, metadata), ports));

	test("shares entries between subsets, and follows its hosts", () => {
		const inputs = { random: seededRandom(), nowMs: () => 0, hash64: () => 0n, words };
		const subsets = config({ fallback: "any" });
		const value = cluster({ kind: "roundRobin", slowStart: undefined }, { subsets });
		const set = createHostSet(hosts, value, inputs);
		const chosen = set.choose({ ...createChooseContext(), metadata: { stage: "prod", version: "2" } });
		assert.ok([...set.entries()].includes(chosen as never));
		const gone = set.update(clusterHosts([[locality([host(4)])]]), value);
		assert.equal(gone.length, 3);
		assert.ok(gone.every((entry) => !entry.inUse));
		assert.equal(set.choose({ ...createChooseContext(), metadata: { stage: "prod" } })?.address, "10.0.0.1:4");
	});
});
