import { setTimeout as delay } from "node:timers/promises";
import { runLoad } from "./load.ts";
import type { LoadResult } from "./load-output.ts";
import type { PeerName } from "./peers.ts";
import { largest, readCoreUs, readCpuUs, readEndedChildrenUs, readMemory } from "./process-sample.ts";
import type { PacedPhase, ScenarioName } from "./scenarios.ts";
import { loadCore, proxyCore, type Subject } from "./subject.ts";

/** As much load as is answered, or a given rate. */
export type Phase = "full" | PacedPhase;

/** One peer's figures in one round. CPU counts all of its proxies; memory is that of the largest one. */
export type Sample = LoadResult & {
	readonly scenario: ScenarioName;
	readonly peer: PeerName;
	readonly round: number;
	readonly phase: Phase;
	readonly cpuUsPerRequest: number;
	/** Of a core, by the busiest of its proxies. */
	readonly vcpuPerProxy: number;
	readonly idleRssMb: number;
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
	/** The backends, which share the load's core. */
	readonly backendPids: readonly number[];
	readonly folder: string;
};

export type Turn = { readonly round: number; readonly phase: Phase; readonly requestsPerSecond?: number };

/** More of a core than this used by others, and a rate is not to be trusted. */
export const quietShareMax = 0.05;

/** A larger share of failed requests, and what was measured is not serving. */
export const failedShareMax = 0.001;

/** Measures again, within `shape.tries`, while others use the cores; keeps the quietest. */
export async function measureQuietly(subject: Subject, turn: Turn, shape: LoadShape, signal: AbortSignal): Promise<Sample> {
	let best = await measure(subject, turn, shape, signal);
	for (let tries = 1; tries < shape.tries && best.foreignShare > quietShareMax; tries++) {
		const next = await measure(subject, turn, shape, signal);
		if (next.foreignShare < best.foreignShare) best = next;
	}
	return best;
}

/** Puts load on one subject and measures it meanwhile. Memory is read when two thirds of the time have passed. */
export async function measure(subject: Subject, turn: Turn, shape: LoadShape, signal: AbortSignal): Promise<Sample> {
	const pids = subject.processes.map((process) => process.pid);
	const before = readCpu(pids, shape.backendPids);
	const startedMs = performance.now();
	const rate = turn.requestsPerSecond === undefined ? {} : { requestsPerSecond: turn.requestsPerSecond };
	const running = runLoad({ ...shape, ...rate, request: subject.request, core: loadCore, signal });
	const memory = delay((shape.seconds * 2_000) / 3, undefined, { signal }).then(() => largest(pids.map(readMemory)));
	const [load, { rssKb, anonymousKb }] = await Promise.all([running, memory]);
	const after = readCpu(pids, shape.backendPids);
	const elapsedUs = (performance.now() - startedMs) * 1000;
	const usedUs = sum(after.proxiesUs) - sum(before.proxiesUs);
	const proxyCoreOthersUs = after.proxyCoreUs - before.proxyCoreUs - usedUs;
	const loadCoreOthersUs = after.loadCoreUs - before.loadCoreUs - (after.loadUs - before.loadUs);
	return {
		...load,
		scenario: subject.scenario,
		peer: subject.peer.name,
		round: turn.round,
		phase: turn.phase,
		cpuUsPerRequest: usedUs / load.requests,
		vcpuPerProxy: Math.max(...after.proxiesUs.map((us, index) => us - (before.proxiesUs[index] ?? 0))) / elapsedUs,
		idleRssMb: subject.idleRssMb,
		rssMb: rssKb / 1024,
		anonymousMb: anonymousKb / 1024,
		busyShare: usedUs / elapsedUs,
		foreignShare: Math.max(0, proxyCoreOthersUs, loadCoreOthersUs) / elapsedUs,
	};
}

function readCpu(pids: readonly number[], backendPids: readonly number[]) {
	return {
		proxiesUs: pids.map(readCpuUs),
		// The load has ended by the second reading, and is the only child that ends in between.
		loadUs: sum(backendPids.map(readCpuUs)) + readEndedChildrenUs(),
		proxyCoreUs: readCoreUs(proxyCore),
		loadCoreUs: readCoreUs(loadCore),
	};
}

function sum(values: readonly number[]): number {
	return values.reduce((total, value) => total + value, 0);
}
