import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { findEnvoy } from "../../scripts/peers-find.mjs";
import { extension, loopback } from "./suite.ts";

export type Kind = "envoy" | "weft";

const startMsMax = 20_000;
const main = join(import.meta.dirname, "../../packages/proxy/src/main.ts");

const logFields = {
	status: "%RESPONSE_CODE%",
	details: "%RESPONSE_CODE_DETAILS%",
	flags: "%RESPONSE_FLAGS%",
	protocol: "%PROTOCOL%",
	method: "%REQ(:METHOD)%",
	path: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
	authority: "%REQ(:AUTHORITY)%",
	cluster: "%UPSTREAM_CLUSTER%",
	route: "%ROUTE_NAME%",
	received: "%BYTES_RECEIVED%",
	sent: "%BYTES_SENT%",
	attempts: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
	client: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
	failure: "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
};

/** One of the two proxies, running a bootstrap. */
export class ProxyUnderTest {
	readonly kind: Kind;
	readonly #child: ChildProcess;
	readonly #folder: string;
	readonly #admin: string;
	readonly #ports: ReadonlyMap<string, number>;
	#logLines = 0;

	private constructor(kind: Kind, child: ChildProcess, folder: string, admin: string, ports: ReadonlyMap<string, number>) {
		this.kind = kind;
		this.#child = child;
		this.#folder = folder;
		this.#admin = admin;
		this.#ports = ports;
	}

	/** `resources` gets the access log to put into its connection managers. */
	static async start(kind: Kind, resources: (accessLog: readonly object[]) => object, listeners: readonly string[]): Promise<ProxyUnderTest> {
		const folder = mkdtempSync(join(tmpdir(), "weft-differential-"));
		const file = (name: string) => join(folder, name);
		const accessLog = [
			extension("envoy.access_loggers.file", "extensions.access_loggers.file.v3.FileAccessLog", {
				path: file("access.log"),
				log_format: { json_format: logFields },
			}),
		];
		writeFileSync(file("access.log"), "");
		writeFileSync(file("bootstrap.json"), JSON.stringify({ admin: { address: loopback(0) }, static_resources: resources(accessLog) }));
		const args = [
			"-c",
			file("bootstrap.json"),
			"--concurrency",
			"1",
			"--admin-address-path",
			file("admin"),
			"--log-level",
			"warning",
			"--file-flush-interval-msec",
			"20",
		];
		const child = spawnProxy(kind, args);
		let output = "";
		for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk: Buffer) => void (output = (output + chunk.toString()).slice(-20_000)));
		try {
			const admin = await until(child, () => (existsSync(file("admin")) ? readFileSync(file("admin"), "utf8").trim() : ""));
			const ports = await until(child, () => listenerPorts(admin, listeners));
			return new ProxyUnderTest(kind, child, folder, admin, ports);
		} catch (error) {
			child.kill("SIGKILL");
			rmSync(folder, { recursive: true, force: true });
			throw new Error(`${kind} did not come up:\n${output}`, { cause: error });
		}
	}

	port(listener: string): number {
		return this.#ports.get(listener) as number;
	}

	/** Counters by name. */
	async stats(filter: RegExp): Promise<ReadonlyMap<string, number>> {
		const text = await (await fetch(`http://${this.#admin}/stats?type=Counters`)).text();
		const lines = text.split("\n").map((line) => [line.slice(0, line.lastIndexOf(": ")), Number(line.slice(line.lastIndexOf(": ") + 2))] as const);
		return new Map(lines.filter(([name, value]) => filter.test(name) && !Number.isNaN(value)));
	}

	/** The lines of this proxy's access log since the last call, once there are `count` of them or time is up. */
	async log(count: number): Promise<readonly unknown[]> {
		const end = performance.now() + 1_500;
		for (;;) {
			const lines = readFileSync(join(this.#folder, "access.log"), "utf8").split("\n").slice(0, -1);
			if (lines.length - this.#logLines >= count || performance.now() > end) {
				const fresh = lines.slice(this.#logLines);
				this.#logLines = lines.length;
				return fresh.map((line) => JSON.parse(line) as unknown);
			}
			await sleep(15);
		}
	}

	get isAlive(): boolean {
		return this.#child.exitCode === null && this.#child.signalCode === null;
	}

	async stop(): Promise<void> {
		if (this.isAlive) {
			this.#child.kill("SIGKILL");
			await once(this.#child, "exit");
		}
		rmSync(this.#folder, { recursive: true, force: true });
	}
}

function spawnProxy(kind: Kind, args: readonly string[]): ChildProcess {
	const [program = "", ...rest] =
		kind === "envoy" ? [findEnvoy() ?? "", ...args, "--use-dynamic-base-id"] : [process.execPath, "--max-semi-space-size=1", main, ...args];
	return spawn(program, rest, { stdio: ["ignore", "pipe", "pipe"] });
}

async function until<T>(child: ChildProcess, look: () => T | Promise<T>): Promise<NonNullable<T>> {
	const end = performance.now() + startMsMax;
	while (performance.now() < end && child.exitCode === null && child.signalCode === null) {
		const found = await look();
		if (found !== undefined && found !== null && found !== "") return found;
		await sleep(30);
	}
	throw new Error("it ended, or takes too long");
}

async function listenerPorts(admin: string, names: readonly string[]): Promise<ReadonlyMap<string, number> | undefined> {
	const text = await fetch(`http://${admin}/listeners`).then(
		(response) => response.text(),
		() => "",
	);
	const ports = new Map(
		text.split("\n").map((line) => {
			const [name = "", address = ""] = line.split("::", 2);
			return [name, Number(address.slice(address.lastIndexOf(":") + 1))] as const;
		}),
	);
	return names.every((name) => (ports.get(name) ?? 0) > 0) ? ports : undefined;
}
