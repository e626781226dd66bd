import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { apps, type RunningApp } from "@weft/example-apps";
import { type Example, examplesFolder } from "./example.ts";
import { writeFiles } from "./files.ts";
import { services } from "./services/services.ts";

export interface StartOptions {
	/** Of a real Envoy; undefined: weft-proxy. */
	readonly envoy?: string | undefined;
	/** Free ports instead of those in the files, for tests. */
	readonly usesFreePorts?: boolean;
	/** Lines of the proxy and of the services. */
	readonly log: (line: string) => void;
}

export interface RunningExample {
	/** The folder that the proxy runs in: the example's files, with certificates and tokens. */
	readonly folder: string;
	/** The port that stands for this one of the files. */
	port(port: number): number;
	/** The proxy ended by itself. */
	readonly ended: Promise<void>;
	stop(): Promise<void>;
}

const adminPort = 9901;
const startMsMax = 30_000;
const weftProxy = join(examplesFolder, "../../packages/proxy/src/main.ts");

/** The example's services in this process and its proxy as a child, ready to be asked. Rejects when one does not come up. */
export async function startExample(example: Example, { envoy, usesFreePorts = false, log }: StartOptions): Promise<RunningExample> {
	const ports = usesFreePorts ? await freePorts(portsOf(example)) : new Map<number, number>();
	const port = (wanted: number) => ports.get(wanted) ?? wanted;
	const folder = writeFiles(example, ports);
	const running: RunningApp[] = [];
	let proxy: ChildProcess | undefined;
	const stop = async () => {
		if (proxy !== undefined && proxy.exitCode === null && proxy.signalCode === null) {
			proxy.kill("SIGTERM");
			await Promise.race([once(proxy, "exit"), sleep(10_000).then(() => proxy?.kill("SIGKILL"))]);
		}
		await Promise.all(running.map((app) => app.close()));
		rmSync(folder, { recursive: true, force: true });
	};
	try {
		for (const service of example.services) {
			const start = services.get(service.app) ?? apps.get(service.app);
			if (start === undefined) throw new Error(`${example.name}: no app ${service.app}`);
			const translated = Object.entries(service.env).map(([key, value]) => [key, key.endsWith("_PORT") ? String(port(Number(value))) : value] as const);
			const env = { HOST: "127.0.0.1", PORT: String(port(service.port)), ...Object.fromEntries(translated) };
			running.push(await start({ env, args: [], log: (line) => log(`${service.app}: ${line}`) }));
		}
		proxy = startProxy(folder, envoy, log);
		await untilReady(proxy, port(adminPort));
	} catch (error) {
		await stop();
		throw error;
	}
	return { folder, port, ended: once(proxy, "exit").then(() => undefined), stop };
}

function startProxy(folder: string, envoy: string | undefined, log: (line: string) => void): ChildProcess {
	const args = ["-c", "envoy.yaml", "--concurrency", "1", "--drain-time-s", "1"];
	const child =
		envoy === undefined
			? spawn(process.execPath, [weftProxy, ...args], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] })
			: spawn(envoy, [...args, "--use-dynamic-base-id", "--log-level", "warning"], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
	for (const stream of [child.stdout, child.stderr]) {
		stream?.on("data", (chunk: Buffer) => {
			for (const line of chunk.toString().trimEnd().split("\n")) log(`proxy: ${line}`);
		});
	}
	return child;
}

async function untilReady(proxy: ChildProcess, port: number): Promise<void> {
	const end = performance.now() + startMsMax;
	while (performance.now() < end) {
		if (proxy.exitCode !== null || proxy.signalCode !== null) throw new Error(`the proxy ended with ${proxy.exitCode ?? proxy.signalCode}`);
		const ready = await fetch(`http://127.0.0.1:${port}/ready`).then(
			({ ok }) => ok,
			() => false,
		);
		if (ready) return;
		await sleep(50);
	}
	throw new Error(`the proxy was not ready within ${startMsMax / 1000} s`);
}

/** Every port in the example's files. */
function portsOf(example: Example): ReadonlySet<number> {
	const files = readdirSync(example.folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".yaml"));
	const written = files.flatMap((file) => [...readFileSync(join(example.folder, file), "utf8").matchAll(/port_value: (\d+)/g)].map(([, port]) => Number(port)));
	const ofServices = example.services.flatMap(({ env, port }) => [
		port,
		...Object.entries(env).flatMap(([key, value]) => (key.endsWith("_PORT") ? [Number(value)] : [])),
	]);
	return new Set([...written, ...ofServices, adminPort]);
}

/** All are held until all are found, so that none comes twice. */
async function freePorts(wanted: ReadonlySet<number>): Promise<ReadonlyMap<number, number>> {
	const held = await Promise.all(
		[...wanted].map(async (port) => {
			const server = createServer().listen(0, "127.0.0.1");
			await once(server, "listening");
			return { port, server, free: (server.address() as AddressInfo).port };
		}),
	);
	await Promise.all(held.map(({ server }) => new Promise((resolve) => server.close(resolve))));
	return new Map(held.map(({ port, free }) => [port, free]));
}
