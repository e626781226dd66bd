import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findProgram } from "../../../../scripts/peers-find.mjs";
import { makeCertificates } from "./certificates.ts";
import { readMachineShape } from "./machine.ts";
import { measure, measureQuietly, type Sample } from "./measurement.ts";
import { buildBackendConfig } from "./nginx-config.ts";
import { type DataPlaneOptions, decodeOptions } from "./options.ts";
import { findPeers, type MissingPeer, type Peer } from "./peers.ts";
import { type Running, startPinned } from "./process-group.ts";
import { freePorts, waitForBody } from "./readiness.ts";
import { formatReport, type Report } from "./report.ts";
import { loadCore, type ScenarioName, speaksHttp2, type Subject, startSubject, takesPart } from "./scenario.ts";
import { summarize } from "./summary.ts";
import type { CertificateFiles } from "./topology.ts";

const benchFolder = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const repository = dirname(dirname(benchFolder));
const bodyBytes = 1024;
const warmUpSeconds = 1;

type Bench = {
	readonly options: DataPlaneOptions;
	readonly wrk: string;
	readonly h2load: string | undefined;
	readonly folder: string;
	readonly backendPort: number;
	readonly http2BackendPort: number;
	readonly backendPid: number;
	readonly certificates: CertificateFiles;
	readonly log: (line: string) => void;
	readonly signal: AbortSignal;
};

type Outcome = { readonly samples: readonly Sample[]; readonly missing: readonly MissingPeer[] };

/**
 * Measures the proxies against each other on this machine and writes `results/data-plane.{md,json}`.
 * @returns 0, or 69 when a tool that the measurement cannot do without is missing
 */
export async function runDataPlane(args: readonly string[], log: (line: string) => void, signal: AbortSignal): Promise<number> {
	const options = decodeOptions(args);
	const [wrk, nginx] = [findProgram("wrk"), findProgram("nginx")];
	if (process.platform !== "linux" || wrk === undefined || nginx === undefined || findProgram("taskset") === undefined) {
		log("the data plane bench needs Linux with wrk (load), nginx (backend) and taskset: apt-get install wrk nginx-light util-linux");
		return 69;
	}
	const { found, missing: missingPeers } = findPeers(repository, options.peers);
	const missing = [...missingPeers];
	for (const peer of missing) log(`${peer.name} is missing and left out: ${peer.fix}`);
	const folder = mkdtempSync(join(tmpdir(), "weft-bench-"));
	const machine = readMachineShape();
	const [backendPort = 0, http2BackendPort = 0] = await freePorts(2);
	const backend = startBackend(nginx, folder, backendPort, http2BackendPort);
	try {
		await waitForBody(`http://127.0.0.1:${backendPort}/`, false, bodyBytes, backend.exited);
		const h2load = findProgram("h2load");
		const scenarios = options.scenarios.filter((scenario) => h2load !== undefined || !speaksHttp2(scenario));
		if (scenarios.length < options.scenarios.length) missing.push({ name: "HTTP/2", fix: "apt-get install nghttp2-client" });
		const bench = { options, wrk, h2load, folder, backendPort, http2BackendPort, backendPid: backend.pid, certificates: makeCertificates(folder), log, signal };
		const outcomes: Outcome[] = [];
		for (const scenario of scenarios) outcomes.push(await runScenario(bench, scenario, found));
		const samples = outcomes.flatMap((outcome) => outcome.samples);
		finish(options, log, {
			date: new Date().toISOString(),
			machine,
			versions: Object.fromEntries(found.map((peer) => [peer.name, peer.version])),
			missing: [...missing, ...outcomes.flatMap((outcome) => outcome.missing)],
			connections: options.connections,
			secondsPerRound: options.seconds,
			bodyBytes,
			summaries: summarize(samples),
			samples,
		});
		return 0;
	} finally {
		await backend.stop();
		rmSync(folder, { recursive: true, force: true });
	}
}

function startBackend(nginx: string, parent: string, port: number, http2Port: number): Running {
	const folder = join(parent, "backend");
	mkdirSync(folder);
	const file = join(folder, "nginx.cfg");
	writeFileSync(file, buildBackendConfig(port, http2Port, bodyBytes));
	return startPinned(loadCore, [nginx, "-p", folder, "-c", file, "-g", "daemon off;"], folder);
}

async function runScenario(bench: Bench, scenario: ScenarioName, peers: readonly Peer[]): Promise<Outcome> {
	const { options, wrk, h2load, backendPid, log, signal } = bench;
	const { subjects, missing } = await startSubjects(bench, scenario, peers);
	const samples: Sample[] = [];
	try {
		const shape = { wrk, h2load, backendPid, connections: options.connections, tries: options.tries, seconds: options.seconds };
		for (const subject of subjects) await measure(subject, scenario, 0, { ...shape, seconds: warmUpSeconds }, signal);
		for (let round = 1; round <= options.rounds; round++) {
			for (const subject of subjects) {
				const sample = await measureQuietly(subject, scenario, round, shape, signal);
				samples.push(sample);
				const { requestsPerSecond, cpuUsPerRequest, failed } = sample;
				log(`${scenario} ${round}/${options.rounds} ${sample.peer}: ${Math.round(requestsPerSecond)}/s, ${cpuUsPerRequest.toFixed(1)} µs, ${failed} failed`);
			}
		}
		return { samples, missing };
	} finally {
		await Promise.all(subjects.map((subject) => subject.stop()));
	}
}

/** A peer that does not start is reported as missing; the others are still measured. */
async function startSubjects(
	bench: Bench,
	scenario: ScenarioName,
	peers: readonly Peer[],
): Promise<{ readonly subjects: readonly Subject[]; readonly missing: readonly MissingPeer[] }> {
	const { certificates, folder, log } = bench;
	const backendPort = speaksHttp2(scenario) ? bench.http2BackendPort : bench.backendPort;
	const subjects: Subject[] = [];
	const missing: MissingPeer[] = [];
	for (const peer of peers.filter((candidate) => takesPart(candidate.name, scenario))) {
		try {
			subjects.push(await startSubject(peer, scenario, backendPort, bodyBytes, certificates, folder));
		} catch (error) {
			const text = error instanceof Error ? error.message : String(error);
			log(text);
			missing.push({ name: `${peer.name} (${scenario})`, fix: text.split("\n")[0] ?? "" });
		}
	}
	return { subjects, missing };
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
