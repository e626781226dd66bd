import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLogger, systemClock } from "@weft/runtime";
import type { Cluster } from "../config/clusters.ts";
import type { ClusterHosts } from "../config/hosts.ts";
import { countFailure, createSlotAllocator, isEjected, viewSharedWords } from "../config/shared-state.ts";
import { defaultConcurrency } from "./concurrency.ts";
import { chooseFamily } from "../data/dns/lookup.ts";
import { expandHosts } from "./dns.ts";
import { parseFlags } from "./flags.ts";
import { outlierDetection } from "../data/lb/test-hosts.ts";
import { OutlierManager } from "./outlier-manager.ts";
import { parseSidecarFlags } from "./sidecar-flags.ts";

const quiet = createLogger({ level: "none" });

describe("flags", () => {
	it("takes Envoy's spellings and names those without effect in one warning", () => {
		const parsed = parseFlags(["--config-path=a.yaml", "-l", "warning", "--base-id", "3", "--restart-epoch", "0"]);
		assert.ok(parsed.kind === "flags");
		assert.deepEqual([parsed.flags.configPath, parsed.flags.logLevel], ["a.yaml", "warn"]);
		assert.deepEqual(parsed.warnings, ["these flags have no effect here: --base-id, --restart-epoch"]);
	});

	const wrong = [
		[["-c", "a", "--nope"], /Unknown option '--nope'/],
		[["-c", "a", "--mode", "init_only"], /expected serve or validate/],
		[["-c", "a", "--concurrency", "two"], /expected a whole number/],
		[["-c", "a", "-l", "loud"], /unknown level loud/],
		[[], /a configuration is needed/],
	] as const;
	for (const [args, message] of wrong) {
		it(`refuses ${args.join(" ") || "nothing"}`, () => {
			const parsed = parseFlags(args);
			assert.ok(parsed.kind === "error");
			assert.match(parsed.message, message);
		});
	}

	it("sidecar: asks the control plane for certificates unless told otherwise", () => {
		const parsed = parseSidecarFlags(["--discovery-address", "a:1", "--root-cert", "r", "--node-id", "n", "--node-metadata", '{"A":1}', "--locality", "r1/z1"]);
		assert.ok(parsed.kind === "flags");
		assert.deepEqual([parsed.flags.caAddress, parsed.flags.nodeMetadata, parsed.flags.locality], ["a:1", { A: 1 }, { region: "r1", zone: "z1", subZone: "" }]);
		assert.equal(parseSidecarFlags(["--discovery-address", "a:1"]).kind, "error");
	});

	it("sidecar: workers come on demand unless somebody says how many", () => {
		const isOnDemand = (...more: readonly string[]) => {
			const parsed = parseSidecarFlags(["--discovery-address", "a:1", "--root-cert", "r", "--node-id", "n", ...more]);
			assert.ok(parsed.kind === "flags");
			return parsed.flags.workersOnDemand;
		};
		assert.deepEqual([isOnDemand(), isOnDemand("--concurrency", "2"), isOnDemand("--concurrency=0")], [true, false, false]);
	});
});

describe("concurrency", () => {
	it("is the CPUs, or the quota where that is less", () => {
		assert.deepEqual(
			[defaultConcurrency(8, "max 100000"), defaultConcurrency(8, "150000 100000"), defaultConcurrency(1, "400000 100000"), defaultConcurrency(4, undefined)],
			[8, 2, 1, 4],
		);
	});
});

const host = (address: string, slot = 0) =>
	({
		address: { kind: "ip", address, port: 80 },
		hostname: "",
		weight: 1,
		health: "healthy",
		healthCheck: undefined,
		transportMatch: {},
		lbMetadata: {},
		istioWorkload: undefined,
		slot,
	}) as const;
const assignment = (...hosts: readonly ReturnType<typeof host>[]): ClusterHosts => ({
	cluster: "a",
	overprovisioningFactor: undefined,
	priorities: [[{ region: "", zone: "", subZone: "", weight: 0, hosts }]],
});

describe("DNS", () => {
	const both = [
		{ address: "10.0.0.1", family: 4 },
		{ address: "::1", family: 6 },
	];

	it("chooses a family as Envoy does", () => {
		const chosen = (["auto", "v4", "v6", "v4Preferred", "all"] as const).map((family) => chooseFamily(both, family).map(({ address }) => address));
		assert.deepEqual(chosen, [["::1"], ["10.0.0.1"], ["::1"], ["10.0.0.1"], ["10.0.0.1", "::1"]]);
	});

	it("puts addresses in the place of names, and keeps the name for the host header", () => {
		const known = new Map([["web.example", both]]);
		const of = (hosts: ClusterHosts) => hosts.priorities[0]?.[0]?.hosts.map(({ address, hostname }) => [address.kind === "ip" && address.address, hostname]);
		assert.deepEqual(of(expandHosts(assignment(host("web.example"), host("10.9.9.9")), known, false)), [
			["10.0.0.1", "web.example"],
			["::1", "web.example"],
			["10.9.9.9", ""],
		]);
		assert.equal(of(expandHosts(assignment(host("web.example")), known, true))?.length, 1);
	});
});

describe("the outlier manager", () => {
	it("ejects up to the cap, and lets hosts return after their time", () => {
		const allocator = createSlotAllocator();
		const words = viewSharedWords(allocator.buffer);
		const slots = [allocator.allocate(), allocator.allocate()];
		const outlier = {
			...outlierDetection,
			enforcingConsecutiveGatewayFailure: 0,
			intervalMs: 1000,
			baseEjectionMs: 5000,
			maxEjectionMs: 300_000,
			maxEjectionPercent: 50,
		};
		let nowMs = 1_000_000;
		const manager = new OutlierManager({
			words,
			clusterOf: () => ({ outlier }) as unknown as Cluster,
			hostsOf: () => assignment(...slots.map((slot, i) => host(`10.0.0.${i}`, slot))),
			clusterNames: () => ["a"],
			clock: { ...systemClock, nowMs: () => nowMs },
			random: () => 0,
			logger: quiet,
		});
		const ejected = () => slots.map((slot) => isEjected(words, slot));
		for (const hostSlot of slots) manager.eject({ kind: "eject", cluster: "a", hostSlot, reason: "consecutive5xx" });
		assert.deepEqual(ejected(), [true, false]);
		countFailure(words, slots[0] as number, "consecutive5xx");
		nowMs += 4_000;
		manager.tick();
		assert.deepEqual(ejected(), [true, false]);
		nowMs += 2_000;
		manager.tick();
		assert.deepEqual(ejected(), [false, false]);
		assert.equal(countFailure(words, slots[0] as number, "consecutive5xx"), 1);
	});
});
