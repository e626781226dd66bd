import { setTimeout as delay } from "node:timers/promises";
import { type LoadResult, runLoad } from "./load.ts";
import type { PeerName } from "./peers.ts";
import { readCoreUs, readCpuUs, readEndedChildrenUs, readMemory } from "./process-sample.ts";
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
	/** How much of a core (the proxies' or the load's, the worse one) others used, 0 to 1. */
	readonly foreignShare: number;
};

export type LoadShape = {
	readonly wrk: string;
	readonly h2load: string | undefined;
	readonly connections: number;
	readonly seconds: number;
	/** How often a disturbed measurement is made, at most. */
	readonly tries: number;
	/** The backend, which shares the load's core. */
	readonly backendPid: number;
};

/** More of a core than this used by others, and a rate is not to be trusted. */
export const quietShareMax = 0.05;

/** Measures again, within `shape.tries`, while others use the cores; keeps the quietest. */
export async function measureQuietly(subject: Subject, scenario: ScenarioName, round: number, shape: LoadShape, signal: AbortSignal): Promise<Sample> {
	let best = await measure(subject, scenario, round, shape, signal);
	for (let tries = 1; tries < shape.tries && best.foreignShare > quietShareMax; tries++) {
		const next = await measure(subject, scenario, round, shape, signal);
		if (next.foreignShare < best.foreignShare) best = next;
	}
	return best;
}

/** Puts load on one subject and measures it meanwhile. Memory is read when two thirds of the time have passed. */
export async function measure(subject: Subject, scenario: ScenarioName, round: number, shape: LoadShape, signal: AbortSignal): Promise<Sample> {
	const pids = subject.processes.map((process) => process.pid);
	const before = readCpu(pids, shape.backendPid);
	const startedMs = performance.now();
	const running = runLoad({ ...shape, url: subject.url, http2: subject.http2, core: loadCore, signal });
	const memory = delay((shape.seconds * 2_000) / 3, undefined, { signal }).then(() => pids.map(readMemory));
	const [load, samples] = await Promise.all([running, memory]);
	const after = readCpu(pids, shape.backendPid);
	const elapsedUs = (performance.now() - startedMs) * 1000;
	const usedUs = after.proxiesUs - before.proxiesUs;
	const proxyCoreOthersUs = after.proxyCoreUs - before.proxyCoreUs - usedUs;
	const loadCoreOthersUs = after.loadCoreUs - before.loadCoreUs - (after.loadUs - before.loadUs);
	return {
		...load,
		scenario,
		peer: subject.peer.name,
		round,
		cpuUsPerRequest: usedUs / load.requests,
		rssMb: Math.max(...samples.map((sample) => sample.rssKb)) / 1024,
		anonymousMb: Math.max(...samples.map((sample) => sample.anonymousKb)) / 1024,
		busyShare: usedUs / elapsedUs,
		foreignShare: Math.max(0, proxyCoreOthersUs, loadCoreOthersUs) / elapsedUs,
	};
}

function readCpu(pids: readonly number[], backendPid: number) {
	return {
		proxiesUs: pids.reduce((sum, pid) => sum + readCpuUs(pid), 0),
		// The load has ended by the second reading, and is the only child that ends in between.
		loadUs: readCpuUs(backendPid) + readEndedChildrenUs(),
		proxyCoreUs: readCoreUs(proxyCore),
		loadCoreUs: readCoreUs(loadCore),
	};
}
