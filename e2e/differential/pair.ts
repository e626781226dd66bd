import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { findEnvoy } from "../../scripts/peers-find.mjs";
import { listenerPorts, portOf } from "../security/proxy-process.ts";

/** What one proxy made of one request. */
export interface Observed {
	readonly status: number;
	readonly headers: readonly string[];
	readonly body: string;
	readonly log: Readonly<Record<string, unknown>> | undefined;
}

export interface Proxy {
	readonly name: "envoy" | "weft";
	port(listener: string): number;
	/** `name: value` lines of /stats that match and are not 0. */
	stats(pattern: RegExp): Promise<readonly string[]>;
	/** Counters whose name matches. */
	counters(pattern: RegExp): Promise<ReadonlyMap<string, number>>;
	/** The admin page at `path`. */
	admin(path: string): Promise<string>;
	/** The same with all of the answer. */
	askAdmin(path: string, method?: string): Promise<Response>;
	/** Lines written so far. */
	log(): readonly Readonly<Record<string, unknown>>[];
	isAlive(): boolean;
	stop(): Promise<void>;
}

const main = join(import.meta.dirname, "../../packages/proxy/src/main.ts");
const startMsMax = 60_000;

export const envoyPath = findEnvoy();
export const skipReason = envoyPath === undefined ? "no Envoy here: npm run peers" : false;

/** Makes a bootstrap; it is told where its access log goes, and which of the two will read it. */
export type BuildBootstrap = (accessLogPath: string, name: Proxy["name"]) => object;

/** The same bootstrap in a real Envoy and in weft-proxy. */
export async function startPair(build: BuildBootstrap, listeners: readonly string[]): Promise<readonly [Proxy, Proxy]> {
	const envoy = await startOne("envoy", envoyPath as string, ["--use-dynamic-base-id", "--log-level", "error"], build, listeners);
	try {
		return [envoy, await startOne("weft", process.execPath, [main], build, listeners)];
	} catch (error) {
		await envoy.stop();
		throw error;
	}
}

async function startOne(name: Proxy["name"], program: string, first: readonly string[], build: BuildBootstrap, listeners: readonly string[]): Promise<Proxy> {
	const folder = mkdtempSync(join(tmpdir(), `weft-differential-${name}-`));
	const path = (file: string) => join(folder, file);
	writeFileSync(path("bootstrap.json"), JSON.stringify(build(path("access.log"), name)));
	const args = ["-c", path("bootstrap.json"), "--concurrency", "1", "--admin-address-path", path("admin"), "--file-flush-interval-msec", "20"];
	const child = spawn(program, name === "envoy" ? [...args, ...first] : [...first, ...args], { stdio: ["ignore", "pipe", "pipe"] });
	let output = "";
	const append = (chunk: Buffer) => void (output = (output + chunk.toString("latin1")).slice(-20_000));
	child.stdout?.on("data", append);
	child.stderr?.on("data", append);
	const isAlive = () => child.exitCode === null && child.signalCode === null;
	const stop = async () => {
		if (isAlive()) {
			child.kill("SIGKILL");
			await once(child, "exit");
		}
		rmSync(folder, { recursive: true, force: true });
	};
	try {
		const adminPort = await waitFor(child, () => portOf(path("admin")));
		const ports = await waitFor(child, () => listenerPorts(adminPort, listeners));
		const statLines = async (query: string) => (await (await fetch(`http://127.0.0.1:${adminPort}/stats${query}`)).text()).split("\n");
		return {
			name,
			stop,
			isAlive,
			port: (listener) => ports.get(listener) ?? 0,
			stats: async (pattern) => (await statLines("")).filter((line) => pattern.test(line) && !line.endsWith(": 0")),
			counters: async (pattern) =>
				new Map((await statLines("?type=Counters")).map(splitStat).filter(([name, value]) => pattern.test(name) && !Number.isNaN(value))),
			admin: async (page) => (await fetch(`http://127.0.0.1:${adminPort}${page}`)).text(),
			askAdmin: (page, method = "GET") => fetch(`http://127.0.0.1:${adminPort}${page}`, { method }),
			// What follows the last line end is still being written.
			log: () => (existsSync(path("access.log")) ? readFileSync(path("access.log"), "utf8").split("\n").slice(0, -1) : []).map(parseLine),
		};
	} catch (error) {
		await stop();
		throw new Error(`${name} did not come up: ${(error as Error).message}\n${output.slice(-3000)}`, { cause: error });
	}
}

const parseLine = (line: string) => JSON.parse(line) as Record<string, unknown>;

function splitStat(line: string): readonly [name: string, value: number] {
	const at = line.lastIndexOf(": ");
	return [line.slice(0, at), Number(line.slice(at + 2))];
}

async function waitFor<T>(child: ChildProcess, look: () => T | undefined | Promise<T | undefined>): Promise<T> {
	const end = performance.now() + startMsMax;
	while (performance.now() < end && child.exitCode === null && child.signalCode === null) {
		const found = await look();
		if (found !== undefined) return found;
		await sleep(30);
	}
	throw new Error(`exit code ${child.exitCode ?? child.signalCode ?? "none"}`);
}
