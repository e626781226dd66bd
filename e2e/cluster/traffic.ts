import { readFileSync } from "node:fs";
import { join } from "node:path";
import { output } from "./kubectl.ts";

export interface LoadRequest {
	readonly url: string;
	/** How many, or for how long. */
	readonly requests?: number;
	readonly durationMs?: number;
	readonly concurrency?: number;
	readonly ratePerSecond?: number;
	readonly headers?: Readonly<Record<string, string>>;
	readonly timeoutMs?: number;
	/** The first group of this expression in a body names its class. */
	readonly pattern?: string;
	readonly keepAlive?: boolean;
}

export interface LoadResult {
	readonly sent: number;
	/** Status → how many. */
	readonly statuses: Readonly<Record<string, number>>;
	/** What the pattern found → how many. */
	readonly matches: Readonly<Record<string, number>>;
	/** Error code → how many. */
	readonly failures: Readonly<Record<string, number>>;
	/** When the first of them happened. */
	readonly failedAtMs: readonly number[];
}

const script = readFileSync(join(import.meta.dirname, "load.mjs"), "utf8");

/** Sends requests from inside a pod with the examples' image, such as `deploy/sleep`. */
export async function loadFrom(namespace: string, pod: string, request: LoadRequest): Promise<LoadResult> {
	const timeoutMs = (request.durationMs ?? 60_000) + 60_000;
	const args = ["exec", "-i", "-n", namespace, pod, "--", "node", "--input-type=module", "-", JSON.stringify(request)];
	return JSON.parse(await output("kubectl", args, { input: script, timeoutMs })) as LoadResult;
}

export interface CurlAnswer {
	/** 0: no answer. */
	readonly status: number;
	readonly headers: string;
	readonly body: string;
	/** curl's own exit status. */
	readonly exit: number;
}

/** One request by curl, from inside a pod. A refusal is an answer. */
export async function curlFrom(namespace: string, pod: string, ...args: readonly string[]): Promise<CurlAnswer> {
	const { run } = await import("./kubectl.ts");
	const { stdout, stderr, status } = await run("kubectl", [
		"exec",
		"-n",
		namespace,
		pod,
		"--",
		"curl",
		"-s",
		"-i",
		"-m",
		"15",
		"-w",
		"\n%{http_code}",
		...args,
	]);
	const exit = Number(/command terminated with exit code (\d+)/.exec(stderr)?.[1] ?? status ?? -1);
	const lines = stdout.split("\n");
	const code = Number(lines.pop() ?? "0");
	const whole = lines.join("\n");
	const split = whole.indexOf("\r\n\r\n");
	return { status: code, headers: whole.slice(0, Math.max(split, 0)), body: split < 0 ? whole : whole.slice(split + 4), exit };
}

export interface TlsRequest {
	readonly address: string;
	readonly host: string;
	readonly path: string;
	/** The client's own certificate. */
	readonly cert?: string;
	readonly key?: string;
}

export interface TlsAnswer {
	readonly status?: number;
	/** Organisation of the server's certificate. */
	readonly organisation?: string;
	readonly failure?: string;
}

const tlsScript = [
	"const { address, host, path, cert, key } = JSON.parse(process.argv[1]);",
	"const options = { host: address, port: 443, servername: host, headers: { host }, path, cert, key, rejectUnauthorized: false, agent: false, timeout: 10000 };",
	"const say = (answer) => { console.log(JSON.stringify(answer)); process.exit(0); };",
	"const sent = require('node:https').request(options, (response) => {",
	"  response.resume().on('end', () => say({ status: response.statusCode, organisation: response.socket.getPeerCertificate().subject?.O }));",
	"});",
	"sent.on('timeout', () => sent.destroy(new Error('timeout'))).on('error', (error) => say({ failure: error.code ?? error.message })).end();",
].join("\n");

/** One HTTPS request from inside a pod with the examples' image; whoever the server is. A refusal is an answer. */
export async function tlsFrom(namespace: string, pod: string, request: TlsRequest): Promise<TlsAnswer> {
	return JSON.parse(await output("kubectl", ["exec", "-n", namespace, pod, "--", "node", "-e", tlsScript, JSON.stringify(request)])) as TlsAnswer;
}

/** Share of one class among all answers of a load. */
export function share({ matches }: LoadResult, name: string): number {
	const total = Object.values(matches).reduce((a, b) => a + b, 0);
	return total === 0 ? 0 : (matches[name] ?? 0) / total;
}

/**
 * Fails with what went wrong, when not every request was answered 200. `planned` is how many there would be on a machine that
 * is fast enough; a slow one must send a third of them for the result to mean something. Returns a line that says how many it were.
 */
export function assertNoneFailed(result: LoadResult, planned: number): string {
	const answered = result.statuses["200"] ?? 0;
	if (answered !== result.sent)
		throw new Error(`${result.sent - answered} of ${result.sent} requests failed: ${JSON.stringify({ ...result, matches: undefined })}`);
	if (result.sent < planned / 3) throw new Error(`only ${result.sent} requests were sent of ${planned} that were meant to be`);
	return `${result.sent} requests sent, 0 failed`;
}
