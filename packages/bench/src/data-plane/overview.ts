import { type Goal, judge, type Verdict } from "./goals.ts";
import type { Report } from "./report.ts";
import { type PeerName, peerNames } from "./peers.ts";
import { type ScenarioName, scenarioNames, scenarios } from "./scenarios.ts";
import { bulkBodyBytes } from "./backends.ts";
import { cpuRatioBetween, type Summary } from "./summary.ts";

type Row = {
	readonly scenario: ScenarioName;
	readonly figure: string;
	/** Of each peer; undefined where it takes no part. */
	readonly value: (peer: PeerName) => string | undefined;
	readonly ratios?: Pick<Summary, "toNginx" | "toHaproxy" | "toEnvoy"> | undefined;
	/** Those of the scenario's goals that belong to this row. */
	readonly goals: readonly Goal["figure"][];
};

const header = `| scenario | figure | ${peerNames.join(" | ")} | of nginx | of haproxy | of Envoy | goals |`;
const rule = header.replace(/[^|]+/g, "---");

/** The one table: what each peer reaches in each scenario, weft-proxy's ratios, and the goals with their verdicts. */
export function formatOverview(report: Report): readonly string[] {
	const verdicts = judge(report);
	const rows = scenarioNames.flatMap((scenario) => buildRows(report, scenario)).filter((row) => peerNames.some((peer) => row.value(peer) !== undefined));
	if (rows.length === 0) return [];
	return ["", "## All of it", "", header, rule, ...rows.map((row) => formatRow(row, verdicts)), "", formatTally(verdicts)];
}

function formatTally(verdicts: readonly Verdict[]): string {
	const count = (word: Verdict["verdict"]) => verdicts.filter(({ verdict }) => verdict === word).length;
	return `weft-proxy: ${count("reached")} of ${verdicts.length} goals reached, ${count("missed")} missed.`;
}

function formatRow({ scenario, figure, value, ratios, goals }: Row, verdicts: readonly Verdict[]): string {
	const ratio = (of: number | undefined) => of?.toFixed(2) ?? "–";
	const own = verdicts.filter(({ goal }) => goal.scenario === scenario && goals.includes(goal.figure));
	const judged = own.map(({ wanted, verdict }) => `${wanted}: ${verdict === "missed" ? "**missed**" : verdict}`).join("; ");
	const cells = [
		scenario,
		figure,
		...peerNames.map((peer) => value(peer) ?? "–"),
		ratio(ratios?.toNginx),
		ratio(ratios?.toHaproxy),
		ratio(ratios?.toEnvoy),
		judged === "" ? "–" : judged,
	];
	return `| ${cells.join(" | ")} |`;
}

function buildRows(report: Report, scenario: ScenarioName): readonly Row[] {
	const of = (peer: PeerName) => report.summaries.find((summary) => summary.scenario === scenario && summary.peer === peer);
	const idle = (peer: PeerName) => report.idle.find((sample) => sample.scenario === scenario && sample.peer === peer);
	const { body, closes, group } = scenarios[scenario];
	const perCoreSecond = (peer: PeerName): string | undefined => {
		const summary = of(peer);
		if (summary === undefined) return undefined;
		if (body === "bulk") return ((summary.requestsPerCoreSecond * bulkBodyBytes) / 1_048_576).toFixed(0);
		return summary.requestsPerCoreSecond.toFixed(0);
	};
	const unit = body === "bulk" ? "MB" : closes ? "TLS connections" : "requests";
	const flat = (peer: PeerName) => cpuRatioBetween(peer, scenario, "routes10", report.samples)?.toFixed(2);
	return [
		{ scenario, figure: `${unit} a core-second`, value: perCoreSecond, ratios: of("weft-proxy"), goals: ["toNginx", "toHaproxy", "toEnvoy"] },
		...(group === "routes" && scenario !== "routes10"
			? [{ scenario, figure: "CPU to that of 10 routes", value: flat, goals: ["cpuToTenRoutes" as const] }]
			: []),
		{ scenario, figure: "p50 / p99 ms at half load", value: (peer) => halfLatency(of(peer)), goals: [] },
		{ scenario, figure: "vCPU a proxy at 1 000 requests/s", value: (peer) => of(peer)?.paced.thousand?.vcpuPerProxy.toFixed(3), goals: ["vcpuAtThousand"] },
		{ scenario, figure: "RSS MB idle / loaded", value: (peer) => memory(of(peer)), goals: ["rssMb", "anonymousMb"] },
		{ scenario, figure: "KB an idle connection", value: (peer) => idle(peer)?.kbPerConnection.toFixed(1), goals: [] },
	];
}

function halfLatency(summary: Summary | undefined): string | undefined {
	const half = summary?.paced.half;
	return half && `${(half.p50Us / 1000).toFixed(2)} / ${(half.p99Us / 1000).toFixed(2)}`;
}

function memory(summary: Summary | undefined): string | undefined {
	return summary && `${summary.idleRssMb.toFixed(0)} / ${summary.rssMb.toFixed(0)}`;
}
