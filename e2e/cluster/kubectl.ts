import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { stringify } from "yaml";

export interface Finished {
	readonly status: number | null;
	readonly stdout: string;
	readonly stderr: string;
}

export interface RunOptions {
	readonly input?: string | Buffer;
	readonly timeoutMs?: number;
	readonly env?: Readonly<Record<string, string>>;
}

/** Runs a program to its end; rejects only where it cannot be started or does not end in time. */
export async function run(program: string, args: readonly string[], { input, timeoutMs = 300_000, env }: RunOptions = {}): Promise<Finished> {
	const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env }, signal: AbortSignal.timeout(timeoutMs) });
	const closed = new Promise<number | null>((resolve, reject) => {
		child.once("error", (error) => reject(new Error(`${program} ${args.join(" ")}: ${error.message}`)));
		child.once("close", resolve);
	});
	// A program that does not read its input has ended, and says why by its status.
	child.stdin.on("error", () => undefined);
	child.stdin.end(input);
	const [stdout, stderr, status] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
	return { status, stdout, stderr };
}

/** What a command printed; rejects with its errors when it failed. */
export async function output(program: string, args: readonly string[], options?: RunOptions): Promise<string> {
	const { status, stdout, stderr } = await run(program, args, options);
	if (status !== 0) throw new Error(`${program} ${args.join(" ")} ended with status ${status}: ${stderr.trim() || stdout.trim()}`);
	return stdout;
}

export const kubectl = (...args: readonly string[]): Promise<string> => output("kubectl", args);

/** A JSON answer of kubectl; the caller says what it looks like. */
export async function kubectlJson<T>(...args: readonly string[]): Promise<T> {
	return JSON.parse(await kubectl(...args, "-o", "json")) as T;
}

/** Applies objects, or YAML as it is. */
export function apply(namespace: string, content: string | readonly object[]): Promise<string> {
	const input = typeof content === "string" ? content : content.map((object) => stringify(object)).join("---\n");
	return output("kubectl", ["apply", "-n", namespace, "-f", "-"], { input });
}

/** Tries until it holds; rejects with what it said last. */
export async function eventually<T>(what: string, attempt: () => Promise<T>, timeoutMs = 90_000, pauseMs = 250): Promise<T> {
	const until = Date.now() + timeoutMs;
	for (;;) {
		try {
			return await attempt();
		} catch (error) {
			if (Date.now() > until)
				throw new Error(`${what}: not within ${timeoutMs / 1000} s: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
			await delay(pauseMs);
		}
	}
}

/** A port of this machine that leads to a pod's, until the signal. */
export async function forwardPort(namespace: string, pod: string, port: number, signal: AbortSignal): Promise<number> {
	const args = ["port-forward", "-n", namespace, pod, `:${port}`, "--address", "127.0.0.1"];
	const child = spawn("kubectl", args, { stdio: ["ignore", "pipe", "pipe"], signal });
	// The signal ends it, which is an error to whoever listens to none.
	child.on("error", () => undefined);
	let said = "";
	return new Promise((resolve, reject) => {
		const read = (chunk: Buffer) => {
			said += chunk.toString();
			const found = /Forwarding from 127\.0\.0\.1:(\d+)/.exec(said)?.[1];
			if (found !== undefined) resolve(Number(found));
		};
		child.stdout.on("data", read);
		child.stderr.on("data", read);
		child.once("close", () => reject(new Error(`kubectl ${args.join(" ")} ended: ${said.trim()}`)));
	});
}
