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
	readonly h2load: string | undefined;
	/** By h2load. */
	readonly http2: boolean;
	readonly url: string;
	readonly connections: number;
	readonly seconds: number;
	readonly core: number;
	readonly signal: AbortSignal;
};

const unitUs: Readonly<Record<string, number>> = { us: 1, ms: 1_000, s: 1_000_000, m: 60_000_000 };

/** As many requests at once on a connection, and fewer connections for it. */
export const streamsPerConnection = 16;

/** Runs wrk, or h2load, with one thread, pinned to a core. @throws Error when that fails or its output is not understood */
export async function runLoad(options: LoadOptions): Promise<LoadResult> {
	const { wrk, h2load, http2, url, connections, seconds, core, signal } = options;
	const http2Connections = Math.max(1, Math.floor(connections / 4));
	const command = http2
		? [h2load ?? "h2load", "-t1", `-c${http2Connections}`, `-m${streamsPerConnection}`, `-D${seconds}`, url]
		: [wrk, "-t1", `-c${connections}`, `-d${seconds}s`, "--latency", url];
	const args = ["-c", String(core), ...command];
	const child = spawn("taskset", args, { stdio: ["ignore", "pipe", "inherit"], signal });
	let output = "";
	child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
		output += chunk;
	});
	const code = await new Promise<number | null>((resolve, reject) => {
		child.once("error", reject);
		child.once("close", resolve);
	});
	const result = http2 ? decodeH2load(output) : decodeWrk(output);
	if (code !== 0 || result === undefined) throw new Error(`${http2 ? "h2load" : "wrk"} ended with ${code} and said: ${output.slice(0, 500)}`);
	return result;
}

/** Reads what h2load prints, which knows no percentiles; undefined when a figure is missing. */
export function decodeH2load(output: string): LoadResult | undefined {
	const rate = /finished in [\d.]+m?s, ([\d.]+) req\/s/.exec(output)?.[1];
	const counts = /requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(output);
	if (rate === undefined || counts === null) return undefined;
	const [done = 0, succeeded = 0, , errored = 0, timeouts = 0] = counts.slice(1).map(Number);
	return { requests: done, requestsPerSecond: Number(rate), p99Us: Number.NaN, failed: done - succeeded + errored + timeouts };
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
