import type { Sample } from "./measurement.ts";
import { type PeerName, peerNames } from "./peers.ts";
import { type ScenarioName, scenarioNames } from "./scenario.ts";

/** Medians over the rounds; ratios are medians of the ratios within a round, so that what slows the whole machine cancels out. */
export type Summary = {
	readonly scenario: ScenarioName;
	readonly peer: PeerName;
	readonly rounds: number;
	readonly requestsPerSecond: number;
	readonly cpuUsPerRequest: number;
	readonly p99Us: number;
	readonly rssMb: number;
	readonly anonymousMb: number;
	readonly busyShare: number;
	readonly foreignShare: number;
	readonly toNginx: number | undefined;
	readonly toEnvoy: number | undefined;
	/** Of CPU a request: the other's over this one's. */
	readonly cpuToHaproxy: number | undefined;
	readonly cpuToEnvoy: number | undefined;
	readonly requests: number;
	readonly failed: number;
};

export function summarize(samples: readonly Sample[]): readonly Summary[] {
	const summaries: Summary[] = [];
	for (const scenario of scenarioNames) {
		for (const peer of peerNames) {
			const own = samples.filter((sample) => sample.scenario === scenario && sample.peer === peer);
			if (own.length > 0) summaries.push(summarizeOne(scenario, peer, own, samples));
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
	const middle = (pick: (sample: Sample) => number) => median(own.map(pick));
	const total = (pick: (sample: Sample) => number) => own.reduce((sum, sample) => sum + pick(sample), 0);
	return {
		scenario,
		peer,
		rounds: own.length,
		requestsPerSecond: middle((sample) => sample.requestsPerSecond),
		cpuUsPerRequest: middle((sample) => sample.cpuUsPerRequest),
		p99Us: middle((sample) => sample.p99Us),
		rssMb: middle((sample) => sample.rssMb),
		anonymousMb: middle((sample) => sample.anonymousMb),
		busyShare: middle((sample) => sample.busyShare),
		foreignShare: middle((sample) => sample.foreignShare),
		toNginx: ratioTo("nginx", own, all),
		toEnvoy: ratioTo("envoy", own, all),
		cpuToHaproxy: ratioTo("haproxy", own, all, cpuRatio),
		cpuToEnvoy: ratioTo("envoy", own, all, cpuRatio),
		requests: total((sample) => sample.requests),
		failed: total((sample) => sample.failed),
	};
}

const rateRatio = (own: Sample, other: Sample): number => own.requestsPerSecond / other.requestsPerSecond;
const cpuRatio = (own: Sample, other: Sample): number => other.cpuUsPerRequest / own.cpuUsPerRequest;

function ratioTo(
	other: PeerName,
	own: readonly Sample[],
	all: readonly Sample[],
	ratio: (own: Sample, other: Sample) => number = rateRatio,
): number | undefined {
	const ratios = own.flatMap((sample) => {
		const beside = all.find((candidate) => candidate.scenario === sample.scenario && candidate.peer === other && candidate.round === sample.round);
		return beside === undefined ? [] : [ratio(sample, beside)];
	});
	return ratios.length === 0 ? undefined : median(ratios);
}
