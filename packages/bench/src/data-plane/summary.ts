import type { Phase, Sample } from "./measurement.ts";
import { type PeerName, peerNames } from "./peers.ts";
import { type PacedPhase, type ScenarioName, scenarioNames } from "./scenarios.ts";

/** At a given rate: medians over the rounds. */
export type PacedSummary = {
	readonly requestsPerSecond: number;
	readonly p50Us: number;
	readonly p99Us: number;
	readonly cpuUsPerRequest: number;
	/** Of a core, by the busiest of the peer's proxies. */
	readonly vcpuPerProxy: number;
	readonly foreignShare: number;
	readonly requests: number;
	readonly failed: number;
};

/**
 * Medians over the rounds under full load. Ratios are of requests a core-second, medians of the ratios within a round, so that what
 * slows the whole machine cancels out: above 1, this peer needs less CPU than the other.
 */
export type Summary = {
	readonly scenario: ScenarioName;
	readonly peer: PeerName;
	readonly rounds: number;
	readonly requestsPerSecond: number;
	readonly requestsPerCoreSecond: number;
	readonly cpuUsPerRequest: number;
	readonly p50Us: number;
	readonly p99Us: number;
	readonly idleRssMb: number;
	readonly rssMb: number;
	readonly anonymousMb: number;
	readonly busyShare: number;
	readonly foreignShare: number;
	readonly toNginx: number | undefined;
	readonly toHaproxy: number | undefined;
	readonly toEnvoy: number | undefined;
	readonly requests: number;
	readonly failed: number;
	readonly paced: Readonly<Partial<Record<PacedPhase, PacedSummary>>>;
};

export function summarize(samples: readonly Sample[]): readonly Summary[] {
	const summaries: Summary[] = [];
	for (const scenario of scenarioNames) {
		for (const peer of peerNames) {
			const own = samples.filter((sample) => sample.scenario === scenario && sample.peer === peer);
			if (own.some((sample) => sample.phase === "full")) summaries.push(summarizeOne(scenario, peer, own, samples));
		}
	}
	return summaries;
}

/** The middle value, or the mean of the two middle ones. NaN for nothing. */
export function median(values: readonly number[]): number {
	const sorted = values.toSorted((a, b) => a - b);
	const middle = sorted.length / 2;
	if (sorted.length % 2 === 1) return sorted[Math.floor(middle)] ?? Number.NaN;
	return ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

function summarizeOne(scenario: ScenarioName, peer: PeerName, own: readonly Sample[], all: readonly Sample[]): Summary {
	const full = inPhase(own, "full");
	const middle = (pick: (sample: Sample) => number) => median(full.map(pick));
	const cpuUsPerRequest = middle((sample) => sample.cpuUsPerRequest);
	return {
		scenario,
		peer,
		rounds: full.length,
		requestsPerSecond: middle((sample) => sample.requestsPerSecond),
		requestsPerCoreSecond: 1_000_000 / cpuUsPerRequest,
		cpuUsPerRequest,
		p50Us: middle((sample) => sample.p50Us),
		p99Us: middle((sample) => sample.p99Us),
		idleRssMb: middle((sample) => sample.idleRssMb),
		rssMb: middle((sample) => sample.rssMb),
		anonymousMb: middle((sample) => sample.anonymousMb),
		busyShare: middle((sample) => sample.busyShare),
		foreignShare: middle((sample) => sample.foreignShare),
		toNginx: ratioTo("nginx", full, all),
		toHaproxy: ratioTo("haproxy", full, all),
		toEnvoy: ratioTo("envoy", full, all),
		requests: total(full, (sample) => sample.requests),
		failed: total(full, (sample) => sample.failed),
		paced: { ...summarizePaced("half", own), ...summarizePaced("thousand", own) },
	};
}

function summarizePaced(phase: PacedPhase, own: readonly Sample[]): Summary["paced"] {
	const samples = inPhase(own, phase);
	if (samples.length === 0) return {};
	const middle = (pick: (sample: Sample) => number) => median(samples.map(pick));
	const summary = {
		requestsPerSecond: middle((sample) => sample.requestsPerSecond),
		p50Us: middle((sample) => sample.p50Us),
		p99Us: middle((sample) => sample.p99Us),
		cpuUsPerRequest: middle((sample) => sample.cpuUsPerRequest),
		vcpuPerProxy: middle((sample) => sample.vcpuPerProxy),
		foreignShare: middle((sample) => sample.foreignShare),
		requests: total(samples, (sample) => sample.requests),
		failed: total(samples, (sample) => sample.failed),
	};
	return { [phase]: summary };
}

function inPhase(samples: readonly Sample[], phase: Phase): readonly Sample[] {
	return samples.filter((sample) => sample.phase === phase);
}

function total(samples: readonly Sample[], pick: (sample: Sample) => number): number {
	return samples.reduce((sum, sample) => sum + pick(sample), 0);
}

function ratioTo(other: PeerName, own: readonly Sample[], all: readonly Sample[]): number | undefined {
	const ratios = own.flatMap((sample) => {
		const beside = all.find(
			({ scenario, peer, round, phase }) => scenario === sample.scenario && peer === other && round === sample.round && phase === sample.phase,
		);
		return beside === undefined ? [] : [beside.cpuUsPerRequest / sample.cpuUsPerRequest];
	});
	return ratios.length === 0 ? undefined : median(ratios);
}

/**
 * How CPU a request in one scenario compares with that in another of the same rounds, for one peer: the median over the rounds.
 * Undefined when no round has both.
 */
export function cpuRatioBetween(peer: PeerName, scenario: ScenarioName, other: ScenarioName, samples: readonly Sample[]): number | undefined {
	const own = samples.filter((sample) => sample.peer === peer && sample.phase === "full");
	const ratios = own.flatMap((sample) => {
		const beside = sample.scenario === scenario ? own.find((candidate) => candidate.scenario === other && candidate.round === sample.round) : undefined;
		return beside === undefined ? [] : [sample.cpuUsPerRequest / beside.cpuUsPerRequest];
	});
	return ratios.length === 0 ? undefined : median(ratios);
}
