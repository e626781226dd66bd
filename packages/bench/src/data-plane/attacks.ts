import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { attacks, type Attack, type Damage, startAttack } from "./attackers.ts";
import { type MachineShape, readMachineShape } from "./machine.ts";
import { type LoadShape, measure, type Sample } from "./measurement.ts";
import { type DataPlaneOptions, decodeOptions } from "./options.ts";
import { findPeers } from "./peers.ts";
import { loadCore, startSubject, type Subject } from "./subject.ts";
import { findTools, withSurroundings } from "./surroundings.ts";

const benchFolder = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const requestsPerSecond = 1_000;
const warmUpSeconds = 5;

/** What the others see of one round. */
type Round = {
	readonly alone: Sample;
	/** The attacker attacks somebody else, so that what it takes of the load's core is known. */
	readonly beside: Sample;
	readonly during: Sample;
	readonly damage: Damage;
};

type Attacked = {
	readonly peer: string;
	readonly attack: Attack;
	readonly rounds: readonly Round[];
};

/**
 * What one hostile client costs the others: latencies of a thousand requests a second without it, beside it and with it, and
 * the memory of the proxy. Takes the flags of `data-plane`; writes `results/attacks.md`.
 * @returns 0, or 69 when a tool is missing
 */
export async function runAttacks(args: readonly string[], log: (line: string) => void, signal: AbortSignal): Promise<number> {
	const options = decodeOptions(args);
	const tools = findTools(log);
	if (tools?.h2load === undefined) log("a steady rate needs h2load: apt-get install nghttp2-client");
	if (tools?.h2load === undefined) return 69;
	const { wrk, h2load } = tools;
	const wanted = options.peers.filter((name) => name === "envoy" || name === "weft-proxy");
	const { found, missing } = findPeers(dirname(dirname(benchFolder)), wanted);
	for (const { name, fix } of missing) log(`${name} is missing and left out: ${fix}`);
	const machine = readMachineShape();
	// The attacker runs in this process.
	execFileSync("taskset", ["-acp", String(loadCore), String(process.pid)], { stdio: "ignore" });
	const taken = await withSurroundings(tools, async (around) => {
		const shape: LoadShape = { ...options, wrk, h2load, backendPids: around.backends.pids, folder: around.folder };
		const results: Attacked[] = [];
		for (const peer of found) {
			for (const attack of attacks) {
				const subject = await startSubject(peer, attack.scenario, around);
				try {
					results.push({ peer: peer.name, attack, rounds: await measureAttack(subject, attack, shape, options.rounds, signal) });
				} finally {
					await subject.stop();
				}
				log(`${peer.name}: ${attack.name}`);
			}
		}
		return results;
	});
	const page = formatAttacks(machine, found.map(({ name, version }) => `${name} ${version}`).join(", "), options, taken);
	log(page);
	if (options.record) {
		mkdirSync(join(benchFolder, "results"), { recursive: true });
		writeFileSync(join(benchFolder, "results", "attacks.md"), page);
	}
	return 0;
}

/** In turns, so that what the machine's neighbours do for some seconds does not decide for one of the three. */
async function measureAttack(subject: Subject, attack: Attack, shape: LoadShape, count: number, signal: AbortSignal): Promise<readonly Round[]> {
	await measure(subject, { round: 1, phase: "full" }, { ...shape, seconds: warmUpSeconds }, signal);
	const port = Number(new URL(subject.request.url).port);
	const sink = createServer((socket) => socket.on("error", () => undefined).resume()).listen(0, "127.0.0.1");
	await once(sink, "listening");
	const sinkPort = (sink.address() as AddressInfo).port;
	const rounds: Round[] = [];
	for (let round = 1; round <= count; round++) {
		const steady = () => measure(subject, { round, phase: "thousand", requestsPerSecond }, shape, signal);
		const attacked = async (target: number) => {
			const attacker = startAttack(attack, target);
			try {
				const sample = await steady();
				return { sample, damage: attacker.stop() };
			} finally {
				attacker.stop();
			}
		};
		const alone = await steady();
		const { sample: beside } = await attacked(sinkPort);
		const { sample: during, damage } = await attacked(port);
		rounds.push({ alone, beside, during, damage });
	}
	sink.close();
	return rounds;
}

type Phase = "alone" | "beside" | "during";

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
const p99Us = (rounds: readonly Round[], phase: Phase): number => median(rounds.map((round) => round[phase].p99Us));
const latencies = (rounds: readonly Round[], phase: Phase): string =>
	`${(median(rounds.map((round) => round[phase].p50Us)) / 1_000).toFixed(2)} / ${(p99Us(rounds, phase) / 1_000).toFixed(2)}`;
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** Memory by the most of all rounds above the first that had no attacker yet. */
function formatRow({ attack, peer, rounds }: Attacked): string {
	const rssMb = Math.max(...rounds.map(({ during }) => during.rssMb)) - (rounds[0]?.alone.rssMb ?? 0);
	const cells = [
		...[attack.name, attack.scenario === "h2c" ? "HTTP/2" : "HTTP/1.1", peer],
		...[latencies(rounds, "alone"), latencies(rounds, "beside"), latencies(rounds, "during")],
		...[(p99Us(rounds, "during") / p99Us(rounds, "beside")).toFixed(2), rssMb.toFixed(1), String(sum(rounds.map(({ during }) => during.failed)))],
		...[String(sum(rounds.map(({ damage }) => damage.opened))), sum(rounds.map(({ damage }) => damage.sentMb)).toFixed(1)],
	];
	return `| ${cells.join(" | ")} |`;
}

function formatAttacks(
	{ cores, kernel, loadBefore, model }: MachineShape,
	versions: string,
	{ rounds, seconds }: DataPlaneOptions,
	taken: readonly Attacked[],
): string {
	const lines = [
		"# One hostile client",
		"",
		`Written by \`npm run bench -- attacks\`: ${requestsPerSecond} requests a second of others, in ${rounds} rounds of ${seconds} s each without the attacker, beside it (it attacks a port that takes and forgets everything), and under its attack; latencies are medians of the rounds. It opens closed connections again and sends what is taken, within 20 MB and 200 connections a second. It shares the load's core, and the times are those of the p99 beside it.`,
		"",
		`- ${new Date().toISOString()}`,
		`- ${cores} × ${model}, ${kernel}; load average at the start ${loadBefore.toFixed(2)}`,
		`- ${versions}`,
		"",
		"| attack | protocol | proxy | p50 / p99 ms alone | beside it | under attack | p99, times | RSS MB more | failed | opened | MB sent |",
		"|---|---|---|---|---|---|---|---|---|---|---|",
		...taken.map(formatRow),
	];
	return `${lines.join("\n")}\n`;
}
