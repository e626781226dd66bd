import { setTimeout as delay } from "node:timers/promises";
import { type IdleSample, measureIdle } from "./idle.ts";
import { type LoadShape, measure, measureQuietly, type Sample } from "./measurement.ts";
import { findMissingOutput } from "./mesh-check.ts";
import type { DataPlaneOptions } from "./options.ts";
import type { MissingPeer, Peer } from "./peers.ts";
import { type PacedPhase, type ScenarioName, scenarios } from "./scenarios.ts";
import { startSubject, type Subject, type Surroundings, withIdleMemory } from "./subject.ts";

export type Bench = {
	readonly options: DataPlaneOptions;
	readonly wrk: string;
	readonly h2load: string | undefined;
	readonly around: Surroundings;
	readonly log: (line: string) => void;
	readonly signal: AbortSignal;
};

export type Outcome = { readonly samples: readonly Sample[]; readonly idle: readonly IdleSample[]; readonly missing: readonly MissingPeer[] };

// weft-proxy gives back what starting took after two seconds.
const settleMs = 3_000;
// A just-in-time compiler is done with a hot path after some seconds; all peers get the same.
const warmUpSeconds = 5;
const warmUpsMax = 5;
// Short of answers that a busy machine gives too late.
const failedShareMax = 0.1;

/** Starts all peers in all of the group's scenarios, measures them in turns, and stops them. A peer that cannot be measured is reported as missing. */
export async function runGroup(bench: Bench, group: readonly ScenarioName[], peers: readonly Peer[]): Promise<Outcome> {
	const { options, around } = bench;
	const shape: LoadShape = {
		wrk: bench.wrk,
		h2load: bench.h2load,
		backendPids: around.backends.pids,
		connections: options.connections,
		seconds: options.seconds,
		tries: options.tries,
		folder: around.folder,
	};
	const subjects = new Set<Subject>();
	const missing: MissingPeer[] = [];
	const samples: Sample[] = [];
	const idle: IdleSample[] = [];
	const attempt = async (peer: Peer, scenario: ScenarioName, work: () => Promise<unknown>): Promise<boolean> => {
		const problem = await problemOf(bench, work);
		if (problem !== undefined) missing.push({ name: `${peer.name} (${scenario})`, fix: problem });
		return problem === undefined;
	};
	const forEach = async (work: (subject: Subject) => Promise<unknown>): Promise<void> => {
		for (const subject of [...subjects]) {
			if (!(await attempt(subject.peer, subject.scenario, () => work(subject)))) await drop(subjects, subject);
		}
	};
	try {
		for (const { peer, scenario } of pairs(group, peers)) await attempt(peer, scenario, async () => subjects.add(await startPeer(bench, peer, scenario)));
		await delay(settleMs, undefined, { signal: bench.signal });
		await forEach(async (subject) => {
			const settled = withIdleMemory(subject);
			subjects.delete(subject);
			subjects.add(settled);
		});
		await forEach((subject) => warmUp(bench, subject, shape));
		await forEach(async (subject) => {
			const { idleConnections } = scenarios[subject.scenario];
			if (idleConnections === undefined) return;
			idle.push(await takeIdle(bench, subject, idleConnections));
			await drop(subjects, subject);
		});
		for (let round = 1; round <= options.rounds; round++) await forEach(async (subject) => samples.push(...(await takeTurn(bench, subject, round, shape))));
		return { samples, idle, missing };
	} finally {
		await Promise.all([...subjects].map((subject) => subject.stop()));
	}
}

/** Does it, and gives the first line of what went wrong. A run that was called off is over. */
async function problemOf({ log, signal }: Bench, work: () => Promise<unknown>): Promise<string | undefined> {
	try {
		await work();
		return undefined;
	} catch (error) {
		signal.throwIfAborted();
		const text = error instanceof Error ? error.message : String(error);
		log(text);
		return text.split("\n")[0];
	}
}

async function drop(subjects: Set<Subject>, subject: Subject): Promise<void> {
	subjects.delete(subject);
	await subject.stop();
}

/**
 * Puts a first load on a subject; on one with mesh features, until all that they write has come: on a busy machine one second is too few
 * requests for a sample of 1 %.
 * @throws Error when requests fail, or something does not come
 */
async function warmUp({ around, signal }: Bench, subject: Subject, shape: LoadShape): Promise<void> {
	const name = `${subject.peer.name}, ${subject.scenario}`;
	let missing: string | undefined;
	for (let load = 0; load < warmUpsMax; load++) {
		const { requests, failed } = await measure(subject, { round: 0, phase: "full" }, { ...shape, seconds: warmUpSeconds }, signal);
		if (requests === 0 || failed / requests > failedShareMax) throw new Error(`${name}: ${failed} of the first ${requests} requests failed`);
		missing = scenarios[subject.scenario].hasMesh ? await findMissingOutput(subject, around.backends.spansLog, signal) : undefined;
		if (missing === undefined) return;
	}
	throw new Error(`${name}: ${missing}`);
}

/** One subject's measurements of a round: all the load it takes, then the rates that the scenario asks for. */
async function takeTurn({ options, log, signal }: Bench, subject: Subject, round: number, shape: LoadShape): Promise<readonly Sample[]> {
	const full = await measureQuietly(subject, { round, phase: "full" }, shape, signal);
	const samples = [full];
	for (const phase of scenarios[subject.scenario].paced) {
		const requestsPerSecond = pacedRate(phase, full.requestsPerSecond);
		samples.push(await measureQuietly(subject, { round, phase, requestsPerSecond }, shape, signal));
	}
	for (const { scenario, peer, phase, requestsPerSecond, cpuUsPerRequest, failed } of samples) {
		const load = phase === "full" ? "" : `, ${phase}`;
		log(`${scenario}${load} ${round}/${options.rounds} ${peer}: ${Math.round(requestsPerSecond)}/s, ${cpuUsPerRequest.toFixed(1)} µs, ${failed} failed`);
	}
	return samples;
}

function pacedRate(phase: PacedPhase, reached: number): number {
	return phase === "half" ? reached / 2 : 1000;
}

async function takeIdle({ log, signal }: Bench, subject: Subject, connections: number): Promise<IdleSample> {
	const sample = await measureIdle(subject, connections, signal);
	log(`${sample.scenario} ${sample.peer}: ${sample.kbPerConnection.toFixed(1)} KB a connection`);
	return sample;
}

/** Who is to be measured in what. */
function pairs(group: readonly ScenarioName[], peers: readonly Peer[]): readonly { readonly peer: Peer; readonly scenario: ScenarioName }[] {
	return group.flatMap((scenario) => peers.filter(({ name }) => scenarios[scenario].peers.includes(name)).map((peer) => ({ peer, scenario })));
}

async function startPeer({ around }: Bench, peer: Peer, scenario: ScenarioName): Promise<Subject> {
	if (scenarios[scenario].protocol === "tcp" && peer.tcpFix !== undefined) throw new Error(peer.tcpFix);
	return startSubject(peer, scenario, around);
}
