import { isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";
import type { Clock, Logger } from "@weft/runtime";
import { runProbe } from "./app-probe.ts";
import type { ProbeTarget } from "./http-probe.ts";
import type { ReadinessProbe } from "./readiness-probe.ts";

export interface WorkloadHealthOptions {
	readonly probe: ReadinessProbe;
	/** Asks the workload once: undefined is healthy, else why not. Never rejects. */
	readonly ask: (signal: AbortSignal) => Promise<string | undefined>;
	/** Called with the first state, and with each change. */
	readonly report: (problem: string | undefined) => void;
	readonly clock: Clock;
	readonly signal: AbortSignal;
}

/** As Istio's agent probes a workload outside of Kubernetes: its state changes after so many like answers in a row. Ends with `signal`. */
export async function watchWorkloadHealth({ probe, ask, report, clock, signal }: WorkloadHealthOptions): Promise<void> {
	let isHealthy: boolean | undefined;
	let inRow = 0;
	let wasGood: boolean | undefined;
	await clock.sleep(probe.initialDelayMs, signal);
	while (!signal.aborted) {
		const problem = await ask(signal);
		if (signal.aborted) return;
		const isGood = problem === undefined;
		inRow = isGood === wasGood ? inRow + 1 : 1;
		wasGood = isGood;
		if (isGood !== isHealthy && inRow >= (isGood ? probe.successThreshold : probe.failureThreshold)) {
			isHealthy = isGood;
			report(problem);
		}
		await clock.sleep(probe.periodMs, signal);
	}
}

export interface WorkloadProbeOptions {
	readonly probe: ReadinessProbe;
	/** The workload's own addresses, the first one is asked. */
	readonly instanceIps: readonly string[];
	/** undefined: the proxy serves; else why not. A workload behind a proxy that does not serve is not healthy. */
	readonly proxyNotReady: () => string | undefined | Promise<string | undefined>;
	readonly logger: Logger;
}

export interface RunWorkloadHealthOptions extends WorkloadProbeOptions, Pick<WorkloadHealthOptions, "report" | "clock" | "signal"> {}

/** Probes the workload of this machine and reports its health, until `signal` aborts. */
export async function runWorkloadHealth(options: RunWorkloadHealthOptions): Promise<void> {
	const { report, logger } = options;
	await watchWorkloadHealth({
		...options,
		ask: createWorkloadProbe(options),
		report(problem) {
			logger.info("workload health", { healthy: problem === undefined, reason: problem ?? "" });
			report(problem);
		},
	});
}

/** The question of `watchWorkloadHealth`: the proxy first, then the application. */
export function createWorkloadProbe({ probe, instanceIps, proxyNotReady, logger }: WorkloadProbeOptions): WorkloadHealthOptions["ask"] {
	const target = targetOf(probe, instanceIps);
	return async (signal) => {
		const notReady = await proxyNotReady();
		if (notReady !== undefined) return `the proxy is not ready: ${notReady}`;
		const problem = await askWorkload(probe, target, signal);
		if (problem !== undefined) logger.debug("workload probe failed", { reason: problem });
		return problem;
	};
}

async function askWorkload(probe: ReadinessProbe, target: ProbeTarget, signal: AbortSignal): Promise<string | undefined> {
	const { action, timeoutMs } = probe;
	if (action.kind === "exec") return runCommand(action.command, timeoutMs, signal);
	const rawHeaders = ["user-agent", "istio-probe/1.0", ...probe.headers];
	const { status, error } = await runProbe({ ...action, timeoutMs }, target, { rawHeaders, statusPort: action.port, signal });
	if (error !== undefined) return error.message;
	return status >= 200 && status < 400 ? undefined : `HTTP status ${status}`;
}

/** From an address that is never captured, so that the application is asked and not the proxy; only to this machine is there a way from it. */
function targetOf({ host }: ReadinessProbe, instanceIps: readonly string[]): ProbeTarget {
	const address = host === "localhost" ? "127.0.0.1" : (host ?? instanceIps[0] ?? "127.0.0.1");
	const isOwn = instanceIps.includes(address) || address.startsWith("127.");
	return { address, localAddress: isOwn ? uncapturedAddress(address) : undefined };
}

function uncapturedAddress(address: string): string | undefined {
	if (process.platform !== "linux") return undefined;
	if (!isIPv6(address)) return "127.0.0.6";
	// Unlike its sibling it has to be given to the loopback device first, as weft-proxy iptables does.
	return Object.values(networkInterfaces()).some((list) => list?.some((one) => one.address === "::6")) ? "::6" : undefined;
}

const outputBytesMax = 64 * 1024;
const messageMax = 256;

function runCommand([program, ...args]: readonly [string, ...string[]], timeoutMs: number, signal: AbortSignal): Promise<string | undefined> {
	const { execFile } = process.getBuiltinModule("node:child_process");
	return new Promise((resolve) => {
		execFile(program, args, { timeout: timeoutMs, killSignal: "SIGKILL", maxBuffer: outputBytesMax, signal }, (error, _, stderr) => {
			if (error === null) return resolve(undefined);
			const said = stderr.trim().slice(0, messageMax);
			const end = error.killed ? `no end within ${timeoutMs} ms` : typeof error.code === "number" ? `exit status ${error.code}` : error.message;
			resolve(said === "" ? end : `${end}: ${said}`);
		});
	});
}
