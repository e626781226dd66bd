import type { IdleSample } from "./idle.ts";
import type { Report } from "./report.ts";
import { type PacedPhase, scenarioNames, scenarios } from "./scenarios.ts";
import type { PacedSummary, Summary } from "./summary.ts";

const header =
	"| proxy | requests/s | requests a core-second | CPU µs a request | p50 ms | p99 ms | core busy % | others % | RSS MB | anonymous MB | requests | failed |";
const pacedHeader = "| proxy | load | requests/s | CPU µs a request | vCPU a proxy | p50 ms | p99 ms | others % | requests | failed |";
const idleHeader = "| proxy | connections | RSS MB without | RSS MB with | KB a connection |";

const pacedNames: Readonly<Record<PacedPhase, string>> = { half: "half", thousand: "1 000 requests/s" };

/** The figures of each scenario that was run. */
export function formatDetails({ summaries, idle }: Report): readonly string[] {
	return scenarioNames.flatMap((scenario) => {
		const rows = summaries.filter((summary) => summary.scenario === scenario);
		const paced = rows.flatMap((row) => scenarios[scenario].paced.map((phase) => ({ row, phase, figures: row.paced[phase] })));
		const idleRows = idle.filter((sample) => sample.scenario === scenario);
		const tables = [
			...formatTable(header, rows.map(formatRow)),
			...formatTable(
				pacedHeader,
				paced.flatMap(({ row, phase, figures }) => (figures === undefined ? [] : [formatPaced(row.peer, phase, figures)])),
			),
			...formatTable(idleHeader, idleRows.map(formatIdle)),
		];
		return tables.length === 0 ? [] : ["", `## ${scenario}: ${scenarios[scenario].title}`, ...tables];
	});
}

function formatTable(head: string, rows: readonly (readonly string[])[]): readonly string[] {
	if (rows.length === 0) return [];
	return ["", head, head.replace(/[^|]+/g, "---"), ...rows.map((cells) => `| ${cells.join(" | ")} |`)];
}

function formatRow(row: Summary): readonly string[] {
	return [
		row.peer,
		row.requestsPerSecond.toFixed(0),
		row.requestsPerCoreSecond.toFixed(0),
		row.cpuUsPerRequest.toFixed(1),
		milliseconds(row.p50Us),
		milliseconds(row.p99Us),
		percent(row.busyShare),
		percent(row.foreignShare),
		row.rssMb.toFixed(0),
		row.anonymousMb.toFixed(0),
		String(row.requests),
		String(row.failed),
	];
}

function formatPaced(peer: string, phase: PacedPhase, row: PacedSummary): readonly string[] {
	return [
		peer,
		pacedNames[phase],
		row.requestsPerSecond.toFixed(0),
		row.cpuUsPerRequest.toFixed(1),
		row.vcpuPerProxy.toFixed(3),
		milliseconds(row.p50Us),
		milliseconds(row.p99Us),
		percent(row.foreignShare),
		String(row.requests),
		String(row.failed),
	];
}

function formatIdle(row: IdleSample): readonly string[] {
	return [row.peer, String(row.connections), row.rssBeforeMb.toFixed(1), row.rssAfterMb.toFixed(1), row.kbPerConnection.toFixed(1)];
}

function milliseconds(us: number): string {
	return Number.isNaN(us) ? "–" : (us / 1000).toFixed(2);
}

function percent(share: number): string {
	return (share * 100).toFixed(0);
}
