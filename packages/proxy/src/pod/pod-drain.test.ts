import assert from "node:assert/strict";
import { it } from "node:test";
import type { Clock } from "@weft/runtime";
import type { Server } from "../main/server.ts";
import { drainInPod } from "./pod-drain.ts";
import type { PodOptions } from "./pod-options.ts";

function run(drain: Partial<PodOptions["drain"]>, isSidecar = true): Promise<readonly string[]> {
	const done: string[] = [];
	const clock: Clock = { nowMs: () => 0, monotonicMs: () => 0, sleep: async (ms) => void done.push(`wait ${ms}`) };
	const server: Partial<Server> = {
		markDraining: () => void done.push("not ready"),
		drainGradually: (ms, inboundOnly) => void done.push(`gradually ${ms} ${inboundOnly ? "inbound" : "all"}`),
		drain: async (ms, inboundOnly) => void done.push(`until idle ${ms} ${inboundOnly === true ? "inbound" : "all"}`),
	};
	const options = { terminationMs: 5_000, exitsOnZeroConnections: false, minimumMs: 3_000, listenersMs: 45_000, ...drain };
	return drainInPod({ isSidecar, drain: options } as PodOptions, clock)(server as Server, new AbortController().signal).then(() => done);
}

for (const [name, parts, isSidecar, expected] of [
	["a sidecar serves on for the termination drain duration", {}, true, ["not ready", "gradually 5000 inbound", "wait 5000"]],
	["a gateway drains everything", {}, false, ["not ready", "gradually 5000 all", "wait 5000"]],
	[
		"until nothing is under way, but no shorter than the minimum, accepting all the while",
		{ exitsOnZeroConnections: true },
		true,
		["not ready", "gradually 45000 inbound", "wait 3000", "until idle 2147483647 inbound"],
	],
	[
		"a short drain duration does not end it early",
		{ exitsOnZeroConnections: true, listenersMs: 1_000 },
		true,
		["not ready", "gradually 6000 inbound", "wait 3000", "until idle 2147483647 inbound"],
	],
] as const) {
	it(name, async () => assert.deepEqual(await run(parts, isSidecar), expected));
}
