import { setTimeout as delay } from "node:timers/promises";
import { type LoadResult, runLoad } from "./load.ts";
import type { PeerName } from "./peers.ts";
import { readCoreUs, readCpuUs, readMemory } from "./process-sample.ts";
import { loadCore, proxyCore, type ScenarioName, type Subject } from "./scenario.ts";

/** One peer's figures in one round. CPU counts all of its proxies; memory is that of the largest one. */
export type Sample = LoadResult & {
	readonly scenario: ScenarioName;
	readonly peer: PeerName;
	readonly round: number;
	readonly cpuUsPerRequest: number;
	readonly rssMb: number;
	readonly anonymousMb: number;
	/** How much of its core the peer used, 0 to 1: well under 1, and it was the load or the backend that set the rate. */
	readonly busyShare: number;
	/** How much of the proxies' core others used, 0 to 1: more than a few hundredths, and the rate is not to be trusted. */
	readonly foreignShare: number;
};

export type LoadShape = { readonly wrk: string; readonly connections: number; readonly seconds: number };

/** Puts load on one subject and measures it meanwhile. Memory is read when two thirds of the time have passed. */
export async function measure(subject: Subject, scenario: ScenarioName, round: number, shape: LoadShape, signal: AbortSignal): Promise<Sample> {
	const pids = subject.processes.map((process) => process.pid);
	const before = pids.map(readCpuUs);
	const coreBefore = readCoreUs(proxyCore);
	const startedMs = performance.now();
	const running = runLoad({ ...shape, url: subject.url, core: loadCore, signal });
	const memory = delay((shape.seconds * 2_000) / 3, undefined, { signal }).then(() => pids.map(readMemory));
	const [load, samples] = await Promise.all([running, memory]);
	const usedUs = pids.reduce((sum, pid, index) => sum + readCpuUs(pid) - (before[index] ?? 0), 0);
	const coreUs = readCoreUs(proxyCore) - coreBefore;
	const elapsedUs = (performance.now() - startedMs) * 1000;
	return {
		...load,
		scenario,
		peer: subject.peer.name,
		round,
		cpuUsPerRequest: usedUs / load.requests,
		rssMb: Math.max(...samples.map((sample) => sample.rssKb)) / 1024,
		anonymousMb: Math.max(...samples.map((sample) => sample.anonymousKb)) / 1024,
		busyShare: usedUs / elapsedUs,
		foreignShare: Math.max(0, coreUs - usedUs) / elapsedUs,
	};
}
