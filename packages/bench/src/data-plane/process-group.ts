import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";

const stopTimeoutMs = 5_000;
const outputBytesMax = 65_536;

export type Running = {
	readonly pid: number;
	/** What it has printed so far, cut at 64 KiB. */
	readonly output: () => string;
	readonly exited: () => boolean;
	readonly stop: () => Promise<void>;
};

/** Starts a command pinned to one core. taskset becomes the command, so the pid is the command's own. */
export function startPinned(core: number, command: readonly string[], cwd: string, environment: Readonly<Record<string, string>> = {}): Running {
	const child = spawn("taskset", ["-c", String(core), ...command], { stdio: ["ignore", "pipe", "pipe"], cwd, env: { ...process.env, ...environment } });
	let output = "";
	const keep = (chunk: Buffer): void => {
		if (output.length < outputBytesMax) output += chunk.toString("utf8");
	};
	child.stdout.on("data", keep);
	child.stderr.on("data", keep);
	child.on("error", (error) => keep(Buffer.from(error.message)));
	if (child.pid === undefined) throw new Error(`cannot start ${command[0] ?? ""}: is taskset installed?`);
	const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
	const exited = () => child.exitCode !== null || child.signalCode !== null;
	return { pid: child.pid, output: () => output, exited, stop: () => stop(child, exited, ended) };
}

async function stop(child: ChildProcess, exited: () => boolean, ended: Promise<void>): Promise<void> {
	if (exited()) return;
	child.kill("SIGTERM");
	const abort = new AbortController();
	const patience = delay(stopTimeoutMs, undefined, { signal: abort.signal }).then(
		() => child.kill("SIGKILL"),
		// The process ended first and the wait was called off.
		() => false,
	);
	await ended;
	abort.abort();
	await patience;
}
