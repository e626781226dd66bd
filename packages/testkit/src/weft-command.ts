import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const entry = join(dirname(createRequire(import.meta.url).resolve("@weft/cli/package.json")), "bin", "weft.mjs");

export interface CommandResult {
	readonly status: number | null;
	readonly stdout: string;
	readonly stderr: string;
}

/** Runs `weft ARGS` to its end; at most `timeoutMs`. */
export async function runWeft(
	args: readonly string[],
	{ cwd, input, timeoutMs = 60_000 }: { readonly cwd?: string; readonly input?: string; readonly timeoutMs?: number } = {},
): Promise<CommandResult> {
	const child = spawn(process.execPath, [entry, ...args], { ...(cwd === undefined ? {} : { cwd }), stdio: ["pipe", "pipe", "pipe"], timeout: timeoutMs });
	const out = { stdout: "", stderr: "" };
	child.stdout.on("data", (chunk: Buffer) => (out.stdout += chunk.toString()));
	child.stderr.on("data", (chunk: Buffer) => (out.stderr += chunk.toString()));
	child.stdin.end(input ?? "");
	const [status] = (await once(child, "close")) as [number | null];
	return { status, ...out };
}

export interface RunningWeft {
	readonly child: ChildProcess;
	/** Everything written to standard error so far. */
	log(): string;
	/** Resolves with the first match in the log; rejects when the process ends before. */
	logged(pattern: RegExp): Promise<RegExpExecArray>;
	stop(): Promise<void>;
}

/** Starts `weft ARGS`, a command that goes on until it is stopped. */
export function startWeft(args: readonly string[]): RunningWeft {
	const child = spawn(process.execPath, [entry, ...args], { stdio: ["ignore", "ignore", "pipe"] });
	let text = "";
	child.stderr.on("data", (chunk: Buffer) => (text += chunk.toString()));
	return {
		child,
		log: () => text,
		logged: (pattern) =>
			new Promise((resolve, reject) => {
				const look = () => {
					const found = pattern.exec(text);
					if (!found) return;
					child.stderr.off("data", look);
					child.off("exit", ended);
					resolve(found);
				};
				const ended = () => reject(new Error(`weft ${args[0]} ended before it logged ${pattern}:\n${text}`));
				child.stderr.on("data", look);
				child.once("exit", ended);
				look();
			}),
		async stop() {
			if (child.exitCode !== null || child.signalCode !== null) return;
			child.kill("SIGTERM");
			await once(child, "exit");
		},
	};
}
