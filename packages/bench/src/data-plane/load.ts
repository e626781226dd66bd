import { spawn } from "node:child_process";

export type LoadResult = {
	readonly requests: number;
	readonly requestsPerSecond: number;
	readonly p99Us: number;
	/** Answers other than 2xx and 3xx, and socket errors of any kind. */
	readonly failed: number;
};

export type LoadOptions = {
	readonly wrk: string;
	readonly url: string;
	readonly connections: number;
	readonly seconds: number;
	readonly core: number;
	readonly signal: AbortSignal;
};

const unitUs: Readonly<Record<string, number>> = { us: 1, ms: 1_000, s: 1_000_000, m: 60_000_000 };

/** Runs wrk with one thread, pinned to a core. @throws Error when wrk fails or its output is not understood */
export async function runLoad(options: LoadOptions): Promise<LoadResult> {
	const { wrk, url, connections, seconds, core, signal } = options;
	const args = ["-c", String(core), wrk, "-t1", `-c${connections}`, `-d${seconds}s`, "--latency", url];
	const child = spawn("taskset", args, { stdio: ["ignore", "pipe", "inherit"], signal });
	let output = "";
	child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
		output += chunk;
	});
	const code = await new Promise<number | null>((resolve, reject) => {
		child.once("error", reject);
		child.once("close", resolve);
	});
	const result = decodeWrk(output);
	if (code !== 0 || result === undefined) throw new Error(`wrk ended with ${code} and said: ${output.slice(0, 500)}`);
	return result;
}

/** Reads what wrk prints with `--latency`; undefined when a figure is missing. */
export function decodeWrk(output: string): LoadResult | undefined {
	const requests = /(\d+) requests in/.exec(output)?.[1];
	const rate = /Requests\/sec:\s+([\d.]+)/.exec(output)?.[1];
	const p99 = /99%\s+([\d.]+)(us|ms|s|m)\b/.exec(output);
	if (requests === undefined || rate === undefined || p99 === null) return undefined;
	const statuses = Number(/Non-2xx or 3xx responses: (\d+)/.exec(output)?.[1] ?? 0);
	const sockets = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(output);
	const socketErrors = (sockets ?? []).slice(1).reduce((sum, count) => sum + Number(count), 0);
	return {
		requests: Number(requests),
		requestsPerSecond: Number(rate),
		p99Us: Number(p99[1]) * (unitUs[p99[2] ?? ""] ?? Number.NaN),
		failed: statuses + socketErrors,
	};
}
