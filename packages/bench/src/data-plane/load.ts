import { spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { decodeH2load, decodeH2loadLog, decodeWrk, type LoadResult } from "./load-output.ts";

/** What is asked for, again and again. */
export type LoadRequest = {
	readonly url: string;
	readonly http2: boolean;
	/** Where it is not that of the URL. */
	readonly host?: string;
	/** As `name: value`. */
	readonly headers: readonly string[];
	/** A file to be posted. */
	readonly postFile?: string;
	/** Of the connections, where not all are wanted: bulk keeps fewer answers on their way. */
	readonly connectionShare: number;
};

export type LoadOptions = {
	readonly wrk: string;
	readonly h2load: string | undefined;
	readonly request: LoadRequest;
	readonly connections: number;
	readonly seconds: number;
	/** A rate to keep to; undefined: as many as are answered. */
	readonly requestsPerSecond?: number;
	/** Where a log of each request may be written meanwhile. */
	readonly folder: string;
	readonly core: number;
	readonly signal: AbortSignal;
};

const patienceSeconds = 30;

/** As many requests at once on an HTTP/2 connection, and fewer connections for it. */
export const streamsPerConnection = 16;

/**
 * Runs wrk, or h2load for HTTP/2 and for a given rate, with one thread, pinned to a core.
 * @throws Error when that fails or its output is not understood
 */
export async function runLoad(options: LoadOptions): Promise<LoadResult> {
	const { request, requestsPerSecond, folder } = options;
	if (!request.http2 && requestsPerSecond === undefined) return run(wrkCommand(options), decodeWrk, options);
	if (requestsPerSecond === undefined) return run(h2loadCommand(options), decodeH2load, options);
	const log = `${folder}/h2load.log`;
	const command = [...h2loadCommand(options), `--rps=${requestsPerSecond / h2loadConnections(options)}`, `--log-file=${log}`];
	try {
		const result = await run(command, decodeH2load, options);
		return { ...result, ...decodeH2loadLog(readFileSync(log, "utf8")) };
	} finally {
		rmSync(log, { force: true });
	}
}

function wrkCommand({ wrk, request, connections, seconds }: LoadOptions): readonly string[] {
	const count = Math.max(1, Math.floor(connections * request.connectionShare));
	return [wrk, "-t1", `-c${count}`, `-d${seconds}s`, "--latency", ...headerFlags(request, "Host"), request.url];
}

function h2loadCommand(options: LoadOptions): readonly string[] {
	const { h2load, request, seconds } = options;
	const protocol = request.http2 ? [`-m${streamsPerConnection}`] : ["--h1"];
	const post = request.postFile === undefined ? [] : ["-d", request.postFile];
	return [
		h2load ?? "h2load",
		"-t1",
		`-c${h2loadConnections(options)}`,
		...protocol,
		`-D${seconds}`,
		...post,
		...headerFlags(request, ":authority"),
		request.url,
	];
}

function h2loadConnections({ request, connections }: LoadOptions): number {
	return request.http2 ? Math.max(1, Math.floor(connections / 4)) : connections;
}

/** @param hostName what the tool must be given to put it in place of its own */
function headerFlags({ host, headers }: LoadRequest, hostName: string): readonly string[] {
	return [...(host === undefined ? [] : [`${hostName}: ${host}`]), ...headers].flatMap((header) => ["-H", header]);
}

async function run(
	command: readonly string[],
	decode: (output: string) => LoadResult | undefined,
	{ core, seconds, signal: stop }: LoadOptions,
): Promise<LoadResult> {
	// A tool whose connections are closed again and again may not end by itself.
	const signal = AbortSignal.any([stop, AbortSignal.timeout((seconds + patienceSeconds) * 1000)]);
	const child = spawn("taskset", ["-c", String(core), ...command], { stdio: ["ignore", "pipe", "inherit"], signal });
	let output = "";
	child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
		output += chunk;
	});
	const code = await new Promise<number | null>((resolve, reject) => {
		child.once("error", reject);
		child.once("close", resolve);
	});
	const result = decode(output);
	if (code !== 0 || result === undefined) throw new Error(`${command[0]} ended with ${code} and said: ${output.slice(0, 500)}`);
	return result;
}
