import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { smallBodyBytes } from "./backends.ts";
import { readMachineShape } from "./machine.ts";
import { type DataPlaneOptions, decodeOptions } from "./options.ts";
import { findPeers } from "./peers.ts";
import { formatReport, type Report } from "./report.ts";
import { type Bench, type Outcome, runGroup } from "./rounds.ts";
import { groupScenarios } from "./scenarios.ts";
import { summarize } from "./summary.ts";
import { chooseScenarios, findTools, withSurroundings } from "./surroundings.ts";

const benchFolder = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const repository = dirname(dirname(benchFolder));

/**
 * Measures the proxies against each other on this machine and writes `results/data-plane.{md,json}`.
 * @returns 0, or 69 when a tool that the measurement cannot do without is missing
 */
export async function runDataPlane(args: readonly string[], log: (line: string) => void, signal: AbortSignal): Promise<number> {
	const options = decodeOptions(args);
	const tools = findTools(log);
	if (tools === undefined) return 69;
	const { found, missing: missingPeers } = findPeers(repository, options.peers);
	const wanted = chooseScenarios(options, tools);
	const missing = [...missingPeers, ...wanted.missing];
	for (const { name, fix } of missing) log(`${name} is missing and left out: ${fix}`);
	const machine = readMachineShape();
	return withSurroundings(tools, async (around) => {
		const bench: Bench = { options, wrk: tools.wrk, h2load: tools.h2load, around, log, signal };
		const outcomes: Outcome[] = [];
		for (const group of groupScenarios(wanted.scenarios)) outcomes.push(await runGroup(bench, group, found));
		const samples = outcomes.flatMap((outcome) => outcome.samples);
		finish(options, log, {
			date: new Date().toISOString(),
			machine,
			versions: Object.fromEntries(found.map((peer) => [peer.name, peer.version])),
			missing: [...missing, ...outcomes.flatMap((outcome) => outcome.missing)],
			connections: options.connections,
			secondsPerRound: options.seconds,
			bodyBytes: smallBodyBytes,
			summaries: summarize(samples),
			samples,
			idle: outcomes.flatMap((outcome) => outcome.idle),
		});
		return 0;
	});
}

function finish(options: DataPlaneOptions, log: (line: string) => void, report: Report): void {
	const page = formatReport(report);
	log(page);
	if (!options.record) return;
	const results = join(benchFolder, "results");
	mkdirSync(results, { recursive: true });
	writeFileSync(join(results, "data-plane.md"), page);
	writeFileSync(join(results, "data-plane.json"), `${JSON.stringify(report, undefined, 2)}\n`);
	log(`written to ${join("packages", "bench", "results")}`);
}
