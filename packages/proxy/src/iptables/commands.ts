import { spawnSync } from "node:child_process";

export interface CommandResult {
	readonly status: number;
	readonly stdout: string;
	readonly stderr: string;
}

/** Runs programs of the system; tests give their own. */
export type RunCommand = (program: string, args: readonly string[], input?: string) => CommandResult;

/** iptables waits for others that hold its lock; it must not wait for ever. */
const commandTimeoutMs = 30_000;
const outputBytesMax = 16 * 1024 * 1024;

export function createCommandRunner({ networkNamespace }: { readonly networkNamespace?: string }): RunCommand {
	return (program, args, input) => {
		const [command, ...all] = networkNamespace === undefined ? [program, ...args] : ["nsenter", `--net=${networkNamespace}`, "--", program, ...args];
		const result = spawnSync(command, all, { input, encoding: "utf8", timeout: commandTimeoutMs, maxBuffer: outputBytesMax });
		const failure = result.error ? `${command}: ${result.error.message}` : "";
		return { status: result.status ?? 127, stdout: result.stdout ?? "", stderr: failure || (result.stderr ?? "") };
	};
}

/** The programs of one address family. */
export interface IptablesPrograms {
	readonly rules: string;
	readonly save: string;
	readonly restore: string;
}

export function iptablesPrograms(family: "v4" | "v6", binary: "legacy" | "nft" | undefined): IptablesPrograms {
	const name = `${family === "v4" ? "iptables" : "ip6tables"}${binary === undefined ? "" : `-${binary}`}`;
	return { rules: name, save: `${name}-save`, restore: `${name}-restore` };
}
