import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { findEnvoy } from "../../scripts/peers-find.mjs";
import { type BootstrapOptions, buildBootstrap } from "./bootstrap.ts";

/** WEFT_SECURITY_PROXY=envoy runs the same tests against a real Envoy, to see where an expectation is ours alone. */
export const isEnvoy = process.env["WEFT_SECURITY_PROXY"] === "envoy";

const main = join(import.meta.dirname, "../../packages/proxy/src/main.ts");
const startMsMax = 20_000;
/** What a process says when something was thrown that nobody expected. */
const crashWords = /uncaught|unhandled|internal error|FATAL ERROR|Assertion|panic|\bat .*\.ts:\d+/i;

export interface ProxyProcess {
	readonly pid: number;
	/** By listener name. */
	port(listener: string): number;
	readonly adminPort: number;
	admin(path: string): Promise<Response>;
	/**
	 * Memory of its own, in bytes. Where the system tells it apart, pages of the program's file do not count: the system
	 * takes and brings them as it likes, 30 MB at a time.
	 */
	privateBytes(): number;
	/** The most of it at any call of this so far: what a collection has just given back comes again with the next requests of anybody. */
	workingSetBytes(): number;
	/** What the process wrote, for messages of failed assertions. */
	log(): string;
	/** undefined: it runs, and nothing in it was thrown that nobody caught. */
	trouble(): string | undefined;
	/** Parsed lines; throws when a line is not one JSON object. */
	accessLog(): readonly Readonly<Record<string, unknown>>[];
	stop(): Promise<void>;
}

export type ProxyOptions = Omit<BootstrapOptions, "accessLogPath"> & {
	/** Limit of open files. */
	readonly descriptorsMax?: number;
};

/** Starts the proxy on ports of its own choice and waits until it serves. */
export async function startProxy({ descriptorsMax, ...options }: ProxyOptions): Promise<ProxyProcess> {
	const folder = mkdtempSync(join(tmpdir(), "weft-security-"));
	const path = (name: string) => join(folder, name);
	writeFileSync(path("bootstrap.json"), buildBootstrap({ ...options, accessLogPath: path("access.log") }));
	const child = spawnProxy(["-c", path("bootstrap.json"), "--concurrency", "1", "--admin-address-path", path("admin")], descriptorsMax);
	let log = "";
	const append = (chunk: Buffer) => {
		if (log.length < 1_000_000) log += chunk.toString("latin1");
	};
	child.stdout?.on("data", append);
	child.stderr?.on("data", append);
	try {
		const adminPort = await waitFor(
			child,
			() => log,
			() => portOf(path("admin")),
		);
		const ports = await waitFor(
			child,
			() => log,
			() => listenerPorts(adminPort, [...Object.keys(options.listeners), ...(options.moreListeners ?? []).map(({ name }) => name)]),
		);
		return createProxy(child, folder, { adminPort, ports, log: () => log });
	} catch (error) {
		child.kill("SIGKILL");
		rmSync(folder, { recursive: true, force: true });
		throw error;
	}
}

function spawnProxy(args: readonly string[], descriptorsMax: number | undefined): ChildProcess {
	const envoy = findEnvoy();
	if (isEnvoy && envoy === undefined) throw new Error("no Envoy here: npm run peers");
	const command = isEnvoy
		? [envoy as string, ...args, "--use-dynamic-base-id", "--log-level", "warning"]
		: [process.execPath, "--max-semi-space-size=1", main, ...args];
	const [program = "", ...rest] = descriptorsMax === undefined ? command : ["/bin/sh", "-c", `ulimit -n ${descriptorsMax} && exec "$@"`, "sh", ...command];
	return spawn(program, rest, { stdio: ["ignore", "pipe", "pipe"] });
}

async function waitFor<T>(child: ChildProcess, log: () => string, look: () => T | undefined | Promise<T | undefined>): Promise<T> {
	const end = performance.now() + startMsMax;
	while (performance.now() < end && child.exitCode === null && child.signalCode === null) {
		const found = await look();
		if (found !== undefined) return found;
		await sleep(30);
	}
	throw new Error(`the proxy did not come up:\n${log().slice(-3000)}`);
}

/** Of an address that the proxy wrote into a file; undefined as long as it has not. */
export function portOf(file: string): number | undefined {
	const text = existsSync(file) ? readFileSync(file, "utf8").trim() : "";
	return text === "" ? undefined : Number(text.slice(text.lastIndexOf(":") + 1));
}

/** By name, as the admin interface tells; undefined as long as one is missing. */
export async function listenerPorts(adminPort: number, names: readonly string[]): Promise<ReadonlyMap<string, number> | undefined> {
	const text = await fetch(`http://127.0.0.1:${adminPort}/listeners`).then(
		(response) => response.text(),
		() => "",
	);
	const ports = new Map<string, number>();
	for (const line of text.split("\n")) {
		const [name = "", address = ""] = line.split("::", 2);
		const port = Number(address.slice(address.lastIndexOf(":") + 1));
		if (port > 0) ports.set(name, port);
	}
	return names.every((name) => ports.has(name)) ? ports : undefined;
}

function privateBytes(pid: number): number {
	const status = `/proc/${pid}/status`;
	const anonymous = existsSync(status) ? /^RssAnon:\s+(\d+) kB/m.exec(readFileSync(status, "utf8"))?.[1] : undefined;
	return Number(anonymous ?? execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" }).trim()) * 1024;
}

interface Started {
	readonly adminPort: number;
	readonly ports: ReadonlyMap<string, number>;
	log(): string;
}

function createProxy(child: ChildProcess, folder: string, { adminPort, ports, log }: Started): ProxyProcess {
	const pid = child.pid as number;
	let workingSetBytes = 0;
	return {
		pid,
		adminPort,
		log,
		port(listener) {
			const port = ports.get(listener);
			if (port === undefined) throw new Error(`no listener ${listener}`);
			return port;
		},
		admin: (path) => fetch(`http://127.0.0.1:${adminPort}${path}`),
		privateBytes: () => privateBytes(pid),
		workingSetBytes: () => (workingSetBytes = Math.max(workingSetBytes, privateBytes(pid))),
		trouble() {
			if (child.exitCode !== null || child.signalCode !== null) return `ended with ${child.exitCode ?? child.signalCode}:\n${log().slice(-2000)}`;
			const at = log().search(crashWords);
			return at < 0 ? undefined : log().slice(Math.max(0, at - 200), at + 1500);
		},
		accessLog: () =>
			readFileSync(join(folder, "access.log"), "utf8")
				.split("\n")
				.filter((line) => line !== "")
				.map((line) => JSON.parse(line) as Record<string, unknown>),
		async stop() {
			if (child.exitCode === null && child.signalCode === null) {
				child.kill("SIGKILL");
				await once(child, "exit");
			}
			rmSync(folder, { recursive: true, force: true });
		},
	};
}
