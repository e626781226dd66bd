import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findProgram } from "../../../../scripts/peers-find.mjs";
import { smallBodyBytes, startBackends } from "./backends.ts";
import { makeCertificates } from "./certificates.ts";
import { readMachineShape } from "./machine.ts";
import { type DataPlaneOptions, decodeOptions } from "./options.ts";
import { findPeers } from "./peers.ts";
import { formatReport, type Report } from "./report.ts";
import { type Bench, type Outcome, runGroup } from "./rounds.ts";
import { groupScenarios, needsH2load, scenarios } from "./scenarios.ts";
import { loadCore } from "./subject.ts";
import { summarize } from "./summary.ts";

const benchFolder = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const repository = dirname(dirname(benchFolder));

/**
 * Measures the proxies against each other on this machine and writes `results/data-plane.{md,json}`.
 * @returns 0, or 69 when a tool that the measurement cannot do without is missing
 */
export async function runDataPlane(args: readonly string[], log: (line: string) => void, signal: AbortSignal): Promise<number> {
	const options = decodeOptions(args);
	const [wrk, nginx, h2load, nghttpd] = ["wrk", "nginx", "h2load", "nghttpd"].map(findProgram);
	if (process.platform !== "linux" || wrk === undefined || nginx === undefined || findProgram("taskset") === undefined) {
		log("the data plane bench needs Linux with wrk (load), nginx (backend) and taskset: apt-get install wrk nginx-light util-linux");
		return 69;
	}
	const { found, missing: missingPeers } = findPeers(repository, options.peers);
	const wanted = chooseScenarios(options, h2load, nghttpd);
	const missing = [...missingPeers, ...wanted.missing];
	for (const { name, fix } of missing) log(`${name} is missing and left out: ${fix}`);
	const machine = readMachineShape();
	const folder = mkdtempSync(join(tmpdir(), "weft-bench-"));
	try {
		const backends = await startBackends(nginx, nghttpd, folder, loadCore);
		try {
			const around = { backends, certificates: makeCertificates(folder), folder };
			const bench: Bench = { options, wrk, h2load, around, log, signal };
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
		} finally {
			await backends.stop();
		}
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

/** The wanted scenarios whose tools are here; the others come back with what installs them. */
function chooseScenarios(options: DataPlaneOptions, h2load: string | undefined, nghttpd: string | undefined) {
	const missing = options.scenarios.flatMap((name) => {
		if (h2load === undefined && needsH2load(name)) return [{ name, fix: "apt-get install nghttp2-client" }];
		return nghttpd === undefined && scenarios[name].isGrpc ? [{ name, fix: "apt-get install nghttp2-server" }] : [];
	});
	return { scenarios: options.scenarios.filter((name) => !missing.some((left) => left.name === name)), missing };
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
