import type { MachineShape } from "./machine.ts";
import type { Phase, Sample } from "./measurement.ts";
import type { PeerName } from "./peers.ts";
import { type ScenarioName, scenarios } from "./scenarios.ts";
import { cpuClasses, type CpuShare, sumByClass } from "./stack-classes.ts";

/** Where one peer's CPU went in one scenario. */
export type Profile = {
	readonly peer: PeerName;
	readonly scenario: ScenarioName;
	readonly phase: Phase;
	readonly sample: Sample;
	readonly shares: readonly CpuShare[];
};

export type ProfileReport = {
	readonly date: string;
	readonly machine: MachineShape;
	readonly versions: Readonly<Record<string, string>>;
	readonly connections: number;
	readonly seconds: number;
	readonly profiles: readonly Profile[];
};

const hottestMax = 12;

/** A table a scenario: a row a peer, µs a request a class; then what weighs most in weft-proxy. */
export function formatProfiles({ date, machine, versions, connections, seconds, profiles }: ProfileReport): string {
	const groups = Map.groupBy(profiles, ({ scenario, phase }) => `${scenario}${phase === "full" ? "" : `, ${phase}`}`);
	const lines = [
		"# Where the data plane's CPU goes",
		"",
		"Written by `npm run bench -- profile`: perf's samples of each peer's own threads under load, after ten seconds of warming up.",
		"",
		`- ${date}`,
		`- ${machine.cores} × ${machine.model}, ${machine.kernel}; load average at the start ${machine.loadBefore.toFixed(2)}`,
		`- ${Object.entries(versions)
			.map(([name, version]) => `${name} ${version}`)
			.join(", ")}`,
		`- ${connections} connections, ${seconds} s; µs a request, of all proxies of a peer together. "program" is a peer's own code with what is linked into it.`,
		...[...groups].flatMap(([title, group]) => formatGroup(title, group)),
	];
	return `${lines.join("\n")}\n`;
}

function formatGroup(title: string, group: readonly Profile[]): readonly string[] {
	const summed = group.map((profile) => ({ profile, sums: sumByClass(profile.shares) }));
	const columns = cpuClasses.filter((name) => summed.some(({ sums }) => sums.has(name)));
	const ours = group.find(({ peer }) => peer === "weft-proxy");
	const scenario = group[0]?.scenario;
	return [
		"",
		`## ${title}${scenario === undefined ? "" : `: ${scenarios[scenario].title}`}`,
		"",
		`| proxy | µs a request | ${columns.join(" | ")} |`,
		`|---|---|${columns.map(() => "---|").join("")}`,
		...summed.map(({ profile: { peer, sample }, sums }) => {
			const cells = columns.map((name) => ((sums.get(name) ?? 0) * sample.cpuUsPerRequest).toFixed(1));
			return `| ${peer} | ${sample.cpuUsPerRequest.toFixed(1)} | ${cells.join(" | ")} |`;
		}),
		...(ours === undefined ? [] : ["", `weft-proxy's largest single entries: ${hottest(ours)}.`]),
	];
}

function hottest({ shares }: Profile): string {
	return shares
		.toSorted((a, b) => b.share - a.share)
		.slice(0, hottestMax)
		.map(({ symbol, share }) => `\`${symbol}\` ${(share * 100).toFixed(1)} %`)
		.join(", ");
}
