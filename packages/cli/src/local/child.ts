import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream, type WriteStream } from "node:fs";
import { delimiter, dirname } from "node:path";
import { type Clock, createBackoff, type Logger } from "@weft/runtime";
import { meshVariable } from "./leftovers.ts";

export interface ChildSpec {
	readonly name: string;
	readonly command: readonly string[];
	readonly env: Readonly<Record<string, string>>;
	readonly workingDir: string;
	readonly logFile: string;
}

export interface ChildContext {
	/** Folder of the mesh's state, by which its processes are known if their launcher is killed. */
	readonly mesh: string;
	readonly clock: Clock;
	readonly logger: Logger;
}

export interface Child {
	readonly name: string;
	readonly pid: number | undefined;
	readonly restarts: number;
	/** SIGTERM, and SIGKILL after `graceMs`. Resolves when it is gone. */
	stop(graceMs: number): Promise<void>;
}

/** Processes that run now: they end with the launcher, however it ends, short of SIGKILL (see leftovers.ts). */
const running = new Set<ChildProcess>();

function endRunning(): void {
	for (const child of running) child.kill("SIGTERM");
}

/** Runs a process and starts it again when it ends, with back-off, until it is stopped. Its output goes to its log file. */
export function superviseChild(spec: ChildSpec, { mesh, clock, logger }: ChildContext): Child {
	const log = createWriteStream(spec.logFile, { flags: "a" });
	log.on("error", (error) => logger.warn("log file failed", { child: spec.name, error }));
	const backoff = createBackoff({ minMs: 200, maxMs: 30_000 });
	const stopping = new AbortController();
	let current: ChildProcess | undefined;
	let restarts = 0;
	let ended: Promise<void> = Promise.resolve();

	async function keep(): Promise<void> {
		while (!stopping.signal.aborted) {
			const startedMs = clock.monotonicMs();
			const child = start(spec, mesh, log);
			current = child;
			if (running.size === 0) process.on("exit", endRunning);
			running.add(child);
			ended = new Promise((resolve) => child.once("close", () => resolve()));
			const why = await new Promise<string>((resolve) => {
				child.once("error", (error) => resolve(error.message));
				child.once("exit", (code, signal) => resolve(signal ? `signal ${signal}` : `exit status ${code}`));
			});
			running.delete(child);
			if (running.size === 0) process.off("exit", endRunning);
			if (stopping.signal.aborted) return;
			if (clock.monotonicMs() - startedMs > 10_000) backoff.reset();
			const delayMs = Math.round(backoff.nextMs());
			logger.warn(`${spec.name} ended, starting it again`, { why, delayMs, log: spec.logFile });
			restarts++;
			await clock.sleep(delayMs, stopping.signal);
		}
	}
	void keep();

	return {
		name: spec.name,
		get pid() {
			return current?.pid;
		},
		get restarts() {
			return restarts;
		},
		async stop(graceMs) {
			stopping.abort();
			const child = current;
			if (child && child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
				child.kill("SIGTERM");
				const kill = setTimeout(() => child.kill("SIGKILL"), graceMs);
				await ended;
				clearTimeout(kill);
			}
			log.end();
		},
	};
}

function start(spec: ChildSpec, mesh: string, log: WriteStream): ChildProcess {
	const [program = "", ...args] = spec.command;
	// A command "node …" means the Node that runs the mesh, not an older one that happens to come first.
	const path = [dirname(process.execPath), process.env["PATH"]].join(delimiter);
	const child = spawn(program, args, {
		cwd: spec.workingDir,
		env: { ...process.env, PATH: path, ...spec.env, [meshVariable]: mesh },
		stdio: ["ignore", "pipe", "pipe"],
	});
	child.stdout?.pipe(log, { end: false });
	child.stderr?.pipe(log, { end: false });
	return child;
}
