import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger, systemClock } from "@weft/runtime";
import type { ProbeResult } from "../../config/health-check.ts";
import type { Cluster } from "../../config/clusters.ts";
import type { ClusterHosts, Host } from "../../config/hosts.ts";
import type { ConfigUpdate } from "../../config/runtime-config.ts";
import { RuntimeValues } from "../../config/runtime-values.ts";
import { createSlotAllocator, healthFlags, readHealthFlags, viewSharedWords } from "../../config/shared-state.ts";
import { cluster, clusterHosts, host, locality } from "../../data/lb/test-hosts.ts";
import { decodeHealthCheck } from "../../config/decode/health-check.ts";
import { rootAt } from "../../config/decode/issues.ts";
import { HealthCheck as HealthCheckMessage } from "@weft/xds/generated/envoy/config/core/v3/health_check.ts";
import { HealthManager } from "./health-manager.ts";

const never = new Promise<void>(() => undefined);
const check = decodeHealthCheck(
	rootAt(),
	HealthCheckMessage.fromPartial({ timeout: { seconds: 1n }, interval: { seconds: 1n }, unhealthyThreshold: 1, healthyThreshold: 1, tcpHealthCheck: {} }),
);

/** A manager whose hosts answer as `answers` says; each is asked once. */
function start(parts: Partial<Cluster> = {}) {
	const allocator = createSlotAllocator();
	const words = viewSharedWords(allocator.buffer);
	const config = cluster({ kind: "roundRobin", slowStart: undefined }, { healthChecks: [check], ...parts });
	const answers = new Map<string, ProbeResult>();
	const said: string[] = [];
	const abort = new AbortController();
	const manager = new HealthManager(
		{
			words,
			clusterOf: () => config,
			probe: async (_, address) => answers.get(address) ?? { kind: "good", degraded: false },
			onWarm: () => void said.push("warm"),
			onHostsStale: () => void said.push("stale"),
			onFailed: (_, address) => void said.push(`failed ${address}`),
			onGoodCheck: () => undefined,
			clock: { ...systemClock, sleep: () => never },
			random: () => 0,
			runtime: new RuntimeValues(),
			logger: createLogger({ level: "none" }),
		},
		abort.signal,
	);
	const apply = async (hosts: ClusterHosts, isNew: boolean) => {
		const changes = { upsert: [], remove: [] };
		const update: ConfigUpdate = {
			id: 1,
			listeners: changes,
			routes: changes,
			virtualHosts: [],
			scopes: changes,
			extensions: { upsert: [], remove: [] },
			secrets: changes,
			hosts: [hosts],
			clusters: { upsert: isNew ? [config] : [], remove: [] },
		};
		manager.prepare(update);
		const prepared = flagsOf(hosts);
		manager.follow(update);
		await new Promise((resolve) => setImmediate(resolve));
		return prepared;
	};
	const flagsOf = (hosts: ClusterHosts) => hosts.priorities.flat().flatMap(({ hosts: list }) => list.map(({ slot }) => readHealthFlags(words, slot)));
	const hostAt = (port: number, more: Partial<Host> = {}) => host(port, { slot: allocator.allocate(), ...more });
	return { manager, config, answers, said, apply, flagsOf, hostAt };
}

const listOf = (...hosts: readonly Host[]) => clusterHosts([[locality(hosts)]]);

test("hosts begin unhealthy, and the cluster is warm once all were looked at", async () => {
	const { apply, answers, flagsOf, hostAt, manager, said } = start();
	const hosts = listOf(hostAt(1), hostAt(2));
	answers.set("10.0.0.1:2", { kind: "bad", retriable: false, immediateFail: false, detail: "" });
	assert.deepEqual(await apply(hosts, true), [healthFlags.failedActiveHc, healthFlags.failedActiveHc]);
	assert.deepEqual(flagsOf(hosts), [0, healthFlags.failedActiveHc]);
	assert.deepEqual([manager.isWarm("c"), said], [true, ["warm"]]);
	assert.deepEqual(manager.statsOf("c"), {
		counts: { attempt: 2, success: 1, failure: 1, network_failure: 0, passive_failure: 0, verify_cluster: 0 },
		healthy: 1,
		degraded: 0,
	});
});

test("a cluster without hosts, or whose hosts are not checked, is warm at once", async () => {
	const empty = start();
	await empty.apply(clusterHosts([]), true);
	assert.equal(empty.manager.isWarm("c"), true);
	const unchecked = start();
	const hosts = listOf(unchecked.hostAt(1, { healthCheck: { isDisabled: true, port: 0, hostname: "", address: undefined } }));
	assert.deepEqual(await unchecked.apply(hosts, true), [0]);
	assert.equal(unchecked.manager.isWarm("c"), true);
});

test("new hosts wait without counting where that is asked for, but not in a static cluster", async () => {
	for (const [kind, flags] of [
		["eds", healthFlags.failedActiveHc | healthFlags.pendingActiveHc],
		["static", healthFlags.failedActiveHc],
	] as const) {
		const { apply, hostAt } = start({ kind, ignoresNewHostsUntilChecked: true });
		assert.deepEqual(await apply(listOf(hostAt(1)), true), [flags]);
	}
});

test("a host that is no endpoint any more stays while it is healthy, and goes when it is not", async () => {
	const { apply, config, hostAt, manager, said, flagsOf } = start();
	const [first, second] = [hostAt(1), hostAt(2)];
	const before = listOf(first, second);
	await apply(before, true);
	const kept = manager.retain(config, listOf(first), before);
	assert.deepEqual(
		kept.priorities.flat().map(({ hosts }) => hosts.map(({ slot }) => slot)),
		[[first.slot], [second.slot]],
	);
	assert.deepEqual(flagsOf(listOf(second)), [healthFlags.pendingDynamicRemoval]);
	manager.failImmediately("c", second.slot);
	assert.deepEqual(said, ["warm", "failed 10.0.0.1:2", "stale"]);
	assert.deepEqual(manager.retain(config, listOf(first), kept), listOf(first));
	const free = { ...config, ignoresHealthOnRemoval: true };
	assert.deepEqual(manager.retain(free, listOf(), before), listOf());
});
