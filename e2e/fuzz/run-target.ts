import { copyFileSync, createWriteStream, existsSync, readdirSync } from "node:fs";
import { spawn } from "node:child_process";
import { join } from "node:path";

/** Inputs are no longer than this; limits that lie beyond are met by targets that lower them. */
export const inputBytesMax = 4096;
/** Of the whole process, and of what JavaScript may use of it. */
const memoryMbMax = 2048;
const heapMbMax = 1024;
/** An input that keeps a target busy for longer is a finding; so long because other things may keep the machine busy. */
const timeoutMs = 30_000;

export interface FuzzRun {
	/** The fuzzer's command line. */
	readonly cli: string;
	readonly bundle: string;
	readonly name: string;
	readonly seconds: number;
	/** Read, and given what is found to be wrong. */
	readonly corpus: string;
	/** Gets what reached new code. */
	readonly found: string;
	/** Empty; gets what broke the target. */
	readonly findings: string;
	readonly work: string;
}

export interface FuzzResult {
	readonly executions: number;
	readonly perSecond: number;
	readonly coverage: number;
	readonly features: number;
	/** File of the input that broke the target, in the corpus. */
	readonly finding: string | undefined;
	/** What the fuzzer said of it. */
	readonly report: string;
}

/** Runs the fuzzer; what it is told is libFuzzer's. `output` goes to `log` as well. */
export function runFuzzer(cli: string, bundle: string, log: string, options: readonly string[]): Promise<{ readonly status: number; readonly output: string }> {
	const file = createWriteStream(log);
	const arguments_ = [
		`--max-old-space-size=${heapMbMax}`,
		"--stack-size=900",
		cli,
		bundle,
		"--sync",
		"--disableBugDetectors",
		".*",
		`--timeout=${timeoutMs}`,
		"--",
		...options,
	];
	return new Promise((resolve, reject) => {
		const child = spawn(process.execPath, arguments_, { stdio: ["ignore", "pipe", "pipe"], cwd: join(import.meta.dirname, "../..") });
		let output = "";
		for (const stream of [child.stdout, child.stderr]) {
			stream.setEncoding("utf8").on("data", (text: string) => {
				file.write(text);
				output = (output + text).slice(-64_000);
			});
		}
		child.on("error", reject);
		child.on("close", (code) => {
			file.end();
			resolve({ status: code ?? 1, output });
		});
	});
}

/** One target for a while. Throws when the fuzzer itself does not run. */
export async function fuzzTarget({ cli, bundle, name, seconds, corpus, found, findings, work }: FuzzRun): Promise<FuzzResult> {
	const dictionary = join(import.meta.dirname, "targets", `${name}.dict`);
	const { status, output } = await runFuzzer(cli, bundle, join(work, `${name}.log`), [
		found,
		corpus,
		`-max_total_time=${seconds}`,
		`-max_len=${inputBytesMax}`,
		`-rss_limit_mb=${memoryMbMax}`,
		`-artifact_prefix=${findings}/`,
		...(existsSync(dictionary) ? [`-dict=${dictionary}`] : []),
	]);
	const lines = output.split("\n").filter((line) => /^#\d+\s/.test(line));
	const last = lines.findLast((line) => /cov: \d+ ft: \d+/.test(line)) ?? "";
	const number = (pattern: RegExp, text: string) => Number(pattern.exec(text)?.[1] ?? 0);
	const executions = Math.max(number(/Done (\d+) runs/, output), number(/^#(\d+)/, lines.at(-1) ?? ""));
	const finding = keepFinding(findings, corpus);
	if (status !== 0 && finding === undefined) throw new Error(`the fuzzer ended with status ${status}:\n${output.slice(-4000)}`);
	return {
		executions,
		perSecond: number(/exec\/s: (\d+)/, last),
		coverage: number(/cov: (\d+)/, last),
		features: number(/ft: (\d+)/, last),
		finding,
		report: output.slice(Math.max(output.search(/^==\d+==/m), 0)).slice(0, 4000),
	};
}

/** What broke the target goes into the corpus. Slow is no finding, and it would slow down the tests. */
function keepFinding(findings: string, corpus: string): string | undefined {
	const [file] = readdirSync(findings).filter((name) => /^(crash|timeout|oom)-/.test(name));
	if (file === undefined) return undefined;
	const kept = join(corpus, file);
	copyFileSync(join(findings, file), kept);
	return kept;
}
