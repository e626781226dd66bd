import { streamsPerConnection } from "./load.ts";
import type { MachineShape } from "./machine.ts";
import { quietShareMax, type Sample } from "./measurement.ts";
import type { MissingPeer } from "./peers.ts";
import { scenarioNames, scenarioTitles } from "./scenario.ts";
import type { Summary } from "./summary.ts";

export type Report = {
	readonly date: string;
	readonly machine: MachineShape;
	readonly versions: Readonly<Record<string, string>>;
	readonly missing: readonly MissingPeer[];
	readonly connections: number;
	readonly secondsPerRound: number;
	readonly bodyBytes: number;
	readonly summaries: readonly Summary[];
	readonly samples: readonly Sample[];
};

type Goal = {
	readonly toNginx?: number;
	readonly toEnvoy?: number;
	/** Of CPU a request. */
	readonly cpuToHaproxy?: number;
	readonly cpuToEnvoy?: number;
	readonly rssMb: number;
	readonly anonymousMb?: number;
};

/** What weft-proxy is to reach: at least the ratios, at most the memory. */
const goals: Readonly<Record<Summary["scenario"], Goal>> = {
	plain: { toNginx: 0.85, toEnvoy: 2.1, rssMb: 72 },
	hop: { toNginx: 0.8, toEnvoy: 2.1, rssMb: 72 },
	ads: { toEnvoy: 2.1, rssMb: 100, anonymousMb: 40 },
	h2c: { cpuToHaproxy: 0.83, cpuToEnvoy: 3, rssMb: 80 },
	h2hop: { cpuToHaproxy: 0.83, cpuToEnvoy: 3, rssMb: 80 },
};

const header = "| proxy | requests/s | of nginx | of Envoy | CPU µs a request | p99 ms | core busy % | others % | RSS MB | anonymous MB | requests | failed |";
const rule = header.replace(/[^|]+/g, "---");

/** The report as a page. */
export function formatReport(report: Report): string {
	const { machine } = report;
	const versions = Object.entries(report.versions).map(([name, version]) => `${name} ${version}`);
	const lines = [
		"# Data plane",
		"",
		"Written by `npm run bench -- data-plane`. Medians over the rounds; the proxies take turns within each round.",
		"",
		`- ${report.date}`,
		`- ${machine.cores} × ${machine.model}, ${machine.memoryMb} MB, ${machine.kernel}; load average at the start ${machine.loadBefore.toFixed(2)}`,
		`- ${versions.join(", ")}`,
		`- One worker each, pinned to core 0; load (wrk, ${report.connections} connections; for HTTP/2 h2load, a quarter of them with ${streamsPerConnection} streams each; ${report.secondsPerRound} s a round) and backend on core 1; body ${report.bodyBytes} bytes.`,
		"- CPU: user and system time of all of the peer's proxies. Memory: the larger proxy of the peer, under load.",
		"- Core busy: what the peer used of core 0; well under 100, the load or the backend set the rate. Others: what anything else used of either core.",
		...disturbance(report.samples),
		...report.missing.map((peer) => `- Not measured: ${peer.name} (${peer.fix})`),
	];
	for (const scenario of scenarioNames) {
		const rows = report.summaries.filter((summary) => summary.scenario === scenario);
		if (rows.length === 0) continue;
		lines.push(
			"",
			`## ${scenarioTitles[scenario]}`,
			"",
			header,
			rule,
			...rows.map(formatRow),
			...rows.flatMap((row) =>
				formatVerdict(
					row,
					rows.some((other) => other.foreignShare > quietShareMax),
				),
			),
		);
	}
	return `${lines.join("\n")}\n`;
}

function disturbance(samples: readonly Sample[]): readonly string[] {
	const disturbed = samples.filter((sample) => sample.foreignShare > quietShareMax).length;
	if (disturbed === 0) return [];
	return [
		`- **Disturbed**: in ${disturbed} of ${samples.length} measurements others used more than ${quietShareMax * 100} % of a core; compare CPU, not rates.`,
	];
}

function formatRow(row: Summary): string {
	const ratio = (value: number | undefined) => (value === undefined ? "–" : value.toFixed(2));
	const percent = (share: number) => (share * 100).toFixed(0);
	const cells = [
		row.peer,
		Math.round(row.requestsPerSecond).toString(),
		ratio(row.toNginx),
		ratio(row.toEnvoy),
		row.cpuUsPerRequest.toFixed(1),
		Number.isNaN(row.p99Us) ? "–" : (row.p99Us / 1000).toFixed(2),
		percent(row.busyShare),
		percent(row.foreignShare),
		row.rssMb.toFixed(0),
		row.anonymousMb.toFixed(0),
		row.requests.toString(),
		row.failed.toString(),
	];
	return `| ${cells.join(" | ")} |`;
}

function formatVerdict(row: Summary, disturbed: boolean): readonly string[] {
	if (row.peer !== "weft-proxy") return [];
	const goal = goals[row.scenario];
	const parts = [
		...atLeast("nginx", row.toNginx, goal.toNginx, disturbed),
		...atLeast("Envoy", row.toEnvoy, goal.toEnvoy, disturbed),
		// CPU is each one's own, however disturbed the rate was.
		...atLeast("haproxy's CPU", row.cpuToHaproxy, goal.cpuToHaproxy, false),
		...atLeast("Envoy's CPU", row.cpuToEnvoy, goal.cpuToEnvoy, false),
		...atMost("RSS", row.rssMb, goal.rssMb),
		...atMost("anonymous", row.anonymousMb, goal.anonymousMb),
	];
	return ["", `weft-proxy: ${parts.join("; ")}.`];
}

function atLeast(name: string, value: number | undefined, goal: number | undefined, disturbed: boolean): readonly string[] {
	if (goal === undefined) return [];
	if (value === undefined) return [`${name} was not measured`];
	if (disturbed) return [`${value.toFixed(2)} of ${name} (goal ≥ ${goal}): not judged, the measurement was disturbed`];
	return [`${value.toFixed(2)} of ${name} (goal ≥ ${goal}): ${value >= goal ? "reached" : "missed"}`];
}

function atMost(name: string, megabytes: number, goal: number | undefined): readonly string[] {
	if (goal === undefined) return [];
	return [`${name} ${megabytes.toFixed(0)} MB (goal ≤ ${goal}): ${megabytes <= goal ? "reached" : "missed"}`];
}
