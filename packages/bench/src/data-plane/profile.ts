import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { findProgram } from "../../../../scripts/peers-find.mjs";
import { readMachineShape } from "./machine.ts";
import { type LoadShape, measure, type Phase } from "./measurement.ts";
import { decodeOptions } from "./options.ts";
import { findPeers, type Peer } from "./peers.ts";
import { formatProfiles, type Profile } from "./profile-report.ts";
import { type ScenarioName, scenarios } from "./scenarios.ts";
import { readCpuShares } from "./stack-classes.ts";
import { startSubject, type Subject } from "./subject.ts";
import { chooseScenarios, findTools, withSurroundings } from "./surroundings.ts";

const benchFolder = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const repository = dirname(dirname(benchFolder));
const run = promisify(execFile);

// A just-in-time compiler goes on for some seconds after the figures have settled, and is not what a profile is asked for.
const warmUpSeconds = 10;
const samplesPerSecond = 1_999;
const reportBytesMax = 64 * 1_048_576;

/**
 * Says what each peer's CPU goes into, in µs a request, and writes `results/data-plane-profile.md`: what `data-plane` finds missed is explained by it.
 * Takes its flags.
 * @returns 0, or 69 when a tool is missing
 */
export async function runProfile(args: readonly string[], log: (line: string) => void, signal: AbortSignal): Promise<number> {
	const options = decodeOptions(args);
	const tools = findTools(log);
	const perf = findProgram("perf");
	if (perf === undefined) log("the profile needs perf: apt-get install linux-perf");
	if (tools === undefined || perf === undefined) return 69;
	const { found, missing: missingPeers } = findPeers(repository, options.peers);
	const wanted = chooseScenarios(options, tools);
	for (const { name, fix } of [...missingPeers, ...wanted.missing]) log(`${name} is missing and left out: ${fix}`);
	const machine = readMachineShape();
	const profiles = await withSurroundings(tools, async (around) => {
		const shape: LoadShape = { ...options, wrk: tools.wrk, h2load: tools.h2load, backendPids: around.backends.pids, folder: around.folder };
		const taken: Profile[] = [];
		for (const scenario of wanted.scenarios.filter((name) => scenarios[name].idleConnections === undefined)) {
			for (const peer of found.filter(({ name }) => scenarios[scenario].peers.includes(name))) {
				const subject = await startSubject(peer, scenario, around);
				try {
					for (const phase of phasesOf(scenario)) taken.push(await profile(perf, peer, subject, phase, shape, signal));
				} finally {
					await subject.stop();
				}
				log(`${scenario}: ${peer.name} profiled`);
			}
		}
		return taken;
	});
	const page = formatProfiles({
		date: new Date().toISOString(),
		machine,
		versions: Object.fromEntries(found.map((peer) => [peer.name, peer.version])),
		connections: options.connections,
		seconds: options.seconds,
		profiles,
	});
	log(page);
	if (options.record) {
		mkdirSync(join(benchFolder, "results"), { recursive: true });
		writeFileSync(join(benchFolder, "results", "data-plane-profile.md"), page);
	}
	return 0;
}

/** Half load tells nothing that all of it does not; a low rate is another thing, as each request then wakes the process. */
function phasesOf(scenario: ScenarioName): readonly Phase[] {
	return scenarios[scenario].paced.includes("thousand") ? ["full", "thousand"] : ["full"];
}

async function profile(perf: string, peer: Peer, subject: Subject, phase: Phase, shape: LoadShape, signal: AbortSignal): Promise<Profile> {
	const turn = { round: 1, phase, ...(phase === "thousand" ? { requestsPerSecond: 1_000 } : {}) };
	await measure(subject, turn, { ...shape, seconds: warmUpSeconds }, signal);
	const file = join(shape.folder, "perf.data");
	const pids = subject.processes.map((process) => process.pid).join(",");
	// perf ends with the command that it is given.
	const recording = run(perf, ["record", "-q", "-e", "cpu-clock", "-F", `${samplesPerSecond}`, "-o", file, "-p", pids, "sleep", `${shape.seconds}`], {
		signal,
	});
	const [sample] = await Promise.all([measure(subject, turn, shape, signal), recording]);
	const { stdout } = await run(perf, ["report", "-i", file, "--stdio", "--no-children", "--sort", "dso,symbol"], { signal, maxBuffer: reportBytesMax });
	return { peer: peer.name, scenario: subject.scenario, phase, sample, shares: readCpuShares(stdout, programOf(peer)) };
}

function programOf(peer: Peer): string {
	return basename(peer.command("", "")[0] ?? "");
}
