import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { attacks, type Attack, type Damage, startAttack } from "./attackers.ts";
import { type MachineShape, readMachineShape } from "./machine.ts";
import { type LoadShape, measure, type Sample } from "./measurement.ts";
import { decodeOptions } from "./options.ts";
import { findPeers } from "./peers.ts";
import { loadCore, startSubject, type Subject } from "./subject.ts";
import { findTools, withSurroundings } from "./surroundings.ts";

const benchFolder = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const requestsPerSecond = 1_000;
const warmUpSeconds = 5;

type Attacked = {
	readonly peer: string;
	readonly attack: Attack;
	readonly alone: Sample;
	/** The attacker attacks somebody else, so that what it takes of the load's core is known. */
	readonly beside: Sample;
	readonly during: Sample;
	readonly damage: Damage;
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
					results.push({ peer: peer.name, attack, ...(await measureAttack(subject, attack, shape, signal)) });
				} finally {
					await subject.stop();
				}
				log(`${peer.name}: ${attack.name}`);
			}
		}
		return results;
	});
	const page = formatAttacks(machine, found.map(({ name, version }) => `${name} ${version}`).join(", "), options.seconds, taken);
	log(page);
	if (options.record) {
		mkdirSync(join(benchFolder, "results"), { recursive: true });
		writeFileSync(join(benchFolder, "results", "attacks.md"), page);
	}
	return 0;
}

async function measureAttack(subject: Subject, attack: Attack, shape: LoadShape, signal: AbortSignal): Promise<Omit<Attacked, "peer" | "attack">> {
	const steady = { round: 1, phase: "thousand", requestsPerSecond } as const;
	await measure(subject, { round: 1, phase: "full" }, { ...shape, seconds: warmUpSeconds }, signal);
	const alone = await measure(subject, steady, shape, signal);
	const attacked = async (port: number) => {
		const attacker = startAttack(attack, port);
		try {
			const sample = await measure(subject, steady, shape, signal);
			return { sample, damage: attacker.stop() };
		} finally {
			attacker.stop();
		}
	};
	const sink = createServer((socket) => socket.on("error", () => undefined).resume()).listen(0, "127.0.0.1");
	await once(sink, "listening");
	const { sample: beside } = await attacked((sink.address() as AddressInfo).port);
	sink.close();
	const { sample: during, damage } = await attacked(Number(new URL(subject.request.url).port));
	return { alone, beside, during, damage };
}

const latencies = ({ p50Us, p99Us }: Sample): string => `${(p50Us / 1_000).toFixed(2)} / ${(p99Us / 1_000).toFixed(2)}`;

function formatAttacks({ cores, kernel, loadBefore, model }: MachineShape, versions: string, seconds: number, taken: readonly Attacked[]): string {
	const rows = taken.map(({ alone, attack, beside, damage, during, peer }) => {
		const cells = [
			...[attack.name, attack.scenario === "h2c" ? "HTTP/2" : "HTTP/1.1", peer],
			...[latencies(alone), latencies(beside), latencies(during), (during.p99Us / beside.p99Us).toFixed(2)],
			...[(during.rssMb - alone.rssMb).toFixed(1), String(during.failed), String(damage.opened), damage.sentMb.toFixed(1)],
		];
		return `| ${cells.join(" | ")} |`;
	});
	const lines = [
		"# One hostile client",
		"",
		`Written by \`npm run bench -- attacks\`: ${requestsPerSecond} requests a second of others, for ${seconds} s each without the attacker, beside it (it attacks a port that takes and forgets everything), and under its attack. It opens closed connections again and sends what is taken, within 20 MB and 200 connections a second. It shares the load's core, and the times are those of the p99 beside it.`,
		"",
		`- ${new Date().toISOString()}`,
		`- ${cores} × ${model}, ${kernel}; load average at the start ${loadBefore.toFixed(2)}`,
		`- ${versions}`,
		"",
		"| attack | protocol | proxy | p50 / p99 ms alone | beside it | under attack | p99, times | RSS MB more | failed | opened | MB sent |",
		"|---|---|---|---|---|---|---|---|---|---|---|",
		...rows,
	];
	return `${lines.join("\n")}\n`;
}
