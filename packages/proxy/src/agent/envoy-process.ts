import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import type { Logger } from "@weft/runtime";

export interface EnvoyProcessOptions {
	readonly path: string;
	readonly arguments: readonly string[];
	readonly bootstrapPath: string;
	readonly logger: Logger;
	/** Where signals to this process come from; `process` itself in production. */
	readonly signals: Pick<NodeJS.EventEmitter, "on" | "off">;
	/** Ends Envoy as SIGTERM does. */
	readonly signal?: AbortSignal;
}

// Envoy: TERM and INT end it, USR1 reopens its access logs, HUP is ignored by it but ends a process that does not listen.
const forwarded = ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"] as const;
// One host runs many sidecars; hot restart claims a shared memory region that only one of them could have.
const hotRestartFlags = /^--(disable-hot-restart|base-id|use-dynamic-base-id|base-id-path|restart-epoch)(=|$)/;

export function envoyCommandLine(bootstrapPath: string, given: readonly string[]): readonly string[] {
	const restart = given.some((argument) => hotRestartFlags.test(argument)) ? [] : ["--disable-hot-restart"];
	return ["-c", bootstrapPath, ...restart, ...given];
}

/** Runs Envoy to its end and forwards signals to it. Resolves to its exit code, 128 + n after signal n, 127 if it cannot be started. */
export function runEnvoy(options: EnvoyProcessOptions): Promise<number> {
	const { path, logger, signals, signal } = options;
	const child = spawn(path, envoyCommandLine(options.bootstrapPath, options.arguments), { stdio: "inherit" });
	const forward = (name: NodeJS.Signals) => void child.kill(name);
	const terminate = () => forward("SIGTERM");
	// Should this process end first for whatever reason that runs handlers, Envoy does not stay behind.
	const kill = () => void child.kill("SIGKILL");
	for (const name of forwarded) signals.on(name, forward);
	signals.on("exit", kill);
	signal?.addEventListener("abort", terminate, { once: true });
	return exitCodeOf(child, path, logger).finally(() => {
		for (const name of forwarded) signals.off(name, forward);
		signals.off("exit", kill);
		signal?.removeEventListener("abort", terminate);
	});
}

function exitCodeOf(child: ChildProcess, path: string, logger: Logger): Promise<number> {
	return new Promise((resolve) => {
		child.once("error", (error) => {
			logger.error("Envoy could not be started; name its binary with --envoy", { path, error });
			resolve(127);
		});
		child.once("exit", (code, signal) => {
			logger.info("Envoy ended", { code: code ?? "-", signal: signal ?? "-" });
			resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
		});
	});
}

/** What Envoy writes before it gives up, the end of it. */
const complaintMax = 2_000;
const validationTimeoutMs = 20_000;

/** Asks Envoy itself about a bootstrap; resolves to what it has against it. One that cannot be run is found out when it is started. */
export function validateEnvoyConfig(path: string, bootstrapPath: string, given: readonly string[]): Promise<string | undefined> {
	const child = spawn(path, [...envoyCommandLine(bootstrapPath, given), "--mode", "validate"], {
		stdio: ["ignore", "ignore", "pipe"],
		timeout: validationTimeoutMs,
		killSignal: "SIGKILL",
	});
	let complaint = "";
	child.stderr.on("data", (text: Buffer) => {
		complaint = (complaint + text.toString()).slice(-complaintMax);
	});
	return new Promise((resolve) => {
		child.once("error", () => resolve(undefined));
		child.once("close", (code) => resolve(code === 0 ? undefined : complaint.trim().split("\n").at(-1) || `validation ended with ${code ?? "a signal"}`));
	});
}
