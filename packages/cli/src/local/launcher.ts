import { readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Diagnostic, hasErrors } from "@weft/api";
import { decodeYaml } from "@weft/galley";
import { type Clock, createLogger, type Logger } from "@weft/runtime";
import { readMeshConfig } from "../commands/mesh-config.ts";
import { CommandError, printDiagnostics } from "../output/errors.ts";
import { type Child, superviseChild } from "./child.ts";
import { type ImageMap, readImageMap } from "./images.ts";
import { endLeftovers } from "./leftovers.ts";
import { type MeshClient, meshClient, type SourceFile } from "./mesh-client.ts";
import { claimMeshNumber, meshesMax, preferredNumber } from "./mesh-number.ts";
import { createPortAllocator, type PortAllocator, portCount } from "./ports.ts";
import { weftProgram } from "./programs.ts";
import { createState, type MeshFile, readMesh, type StatePaths, writeAtomic } from "./state.ts";
import type { PodStatus } from "./pod-status.ts";
import { earlierPorts, Supervisor } from "./supervisor.ts";
import { desiredPods } from "./workloads.ts";

export interface LaunchOptions {
	readonly paths: StatePaths;
	readonly sources: readonly SourceFile[];
	readonly imageFiles: readonly string[];
	readonly meshConfigFile: string | undefined;
	readonly concurrency: number;
	/** Lifetime of workload certificates, e.g. "60s"; undefined: 24 h. */
	readonly certificateTtl: string | undefined;
	readonly envoy: string | undefined;
	readonly clock: Clock;
	readonly signal: AbortSignal;
	readonly progress: (line: string) => void;
}

/** A mesh that runs on this machine. */
export interface LocalMesh {
	readonly client: MeshClient;
	readonly httpAddress: string;
	readonly controlPlanePid: () => number | undefined;
	pods(): readonly PodStatus[];
	addresses(): Readonly<Record<string, string>>;
	readonly proxyAddress: string;
	stop(): Promise<void>;
}

/** Where each mesh starts to look for free ports: two that start at once do not look at the same ones. */
const portsPerMesh = Math.floor(portCount / meshesMax);

/** Starts control plane, certificate authority, sidecars and applications; resolves when every pod is ready and every proxy synced. */
export async function launchMesh(options: LaunchOptions): Promise<LocalMesh> {
	const { paths, clock, progress } = options;
	// Ends what goes on in the background, when the mesh is stopped and when it did not start.
	const ending = new AbortController();
	const signal = AbortSignal.any([options.signal, ending.signal]);
	const running = readMesh(paths);
	if (running && running.pid !== process.pid)
		throw new CommandError(`a mesh with state in ${paths.root} is running already (pid ${running.pid}): stop it with "weft down"`);
	createState(paths);
	const images: ImageMap = new Map(options.imageFiles.flatMap((file) => [...readImageMap(file)]));
	checkSources(options.sources, images);
	readMeshConfig(options.meshConfigFile);
	const logger = createLogger({ level: "warn" });
	const left = endLeftovers(paths.root);
	if (left > 0) logger.warn("processes of an earlier run of this mesh were ended", { processes: left });
	const claim = await claimMeshNumber(preferredNumber(paths.root));
	const meshNumber = claim.number;
	const ports = createPortAllocator(earlierPorts(paths.ports), meshNumber * portsPerMesh);
	rmSync(join(paths.root, "root-cert.pem"), { force: true });
	const started = clock.monotonicMs();
	const control = await startControlPlane(options, ports, logger);
	const tick = (what: string) => progress(`✔ ${what} (${((clock.monotonicMs() - started) / 1000).toFixed(1)} s)`);
	try {
		await answers(control, clock, signal, join(paths.logs, "control-plane.log"));
		tick("control plane and certificate authority");
		const client = meshClient(control.httpAddress, readFileSync(paths.apiToken, "utf8").trim());
		await applyAll(client, options.sources, progress);
		const sidecar = {
			paths,
			tokenKey: readFileSync(paths.tokenKey),
			discoveryAddress: control.discoveryAddress,
			concurrency: options.concurrency,
			certificateTtl: options.certificateTtl,
			envoy: options.envoy === undefined ? undefined : resolve(options.envoy),
		};
		const supervisor = new Supervisor({
			paths,
			images,
			folder: process.cwd(),
			ports,
			meshNumber,
			sidecar,
			controlPlanePid: () => control.child.pid,
			clock,
			logger,
			signal,
			onDiagnostics: printDiagnostics,
		});
		await supervisor.start();
		await allReady(supervisor, client, options, tick).catch(async (error: unknown) => {
			await supervisor.stop();
			throw error;
		});
		const mesh = {
			pid: process.pid,
			startedAt: new Date(clock.nowMs()).toISOString(),
			httpAddress: control.httpAddress,
			discoveryAddress: control.discoveryAddress,
			httpsAddress: control.httpsAddress,
		} as const;
		writeMesh(paths, { ...mesh, status: "running", message: "" });
		return {
			client,
			httpAddress: control.httpAddress,
			controlPlanePid: () => control.child.pid,
			pods: () => supervisor.status(),
			addresses: () => supervisor.addresses(),
			proxyAddress: supervisor.proxyAddress,
			async stop() {
				ending.abort();
				await supervisor.stop();
				await control.child.stop(5_000);
				rmSync(paths.mesh, { force: true });
				claim.release();
			},
		};
	} catch (error) {
		ending.abort();
		await control.child.stop(2_000);
		rmSync(paths.mesh, { force: true });
		claim.release();
		throw error;
	}
}

function writeMesh(paths: StatePaths, mesh: MeshFile): void {
	writeAtomic(paths.mesh, `${JSON.stringify(mesh, null, 2)}\n`);
}

/** Everything wrong with the files, before anything is started. */
function checkSources(sources: readonly SourceFile[], images: ImageMap): void {
	const decoded = sources.map(({ file, text }) => decodeYaml(text, file));
	const objects = decoded.flatMap((d) => d.objects);
	const diagnostics: Diagnostic[] = [...decoded.flatMap((d) => d.diagnostics), ...desiredPods(objects, images, process.cwd()).diagnostics];
	if (!hasErrors(diagnostics)) return;
	printDiagnostics(diagnostics);
	throw new CommandError("nothing was started: mend what is listed above");
}

async function startControlPlane({ paths, meshConfigFile, certificateTtl, clock }: LaunchOptions, ports: PortAllocator, logger: Logger) {
	const httpAddress = `127.0.0.1:${await ports.take("control-plane/http")}`;
	const discoveryAddress = `127.0.0.1:${await ports.take("control-plane/xds")}`;
	const httpsAddress = `127.0.0.1:${await ports.take("control-plane/https")}`;
	writeMesh(paths, {
		pid: process.pid,
		status: "starting",
		message: "starting the control plane",
		httpAddress: "",
		discoveryAddress: "",
		httpsAddress: "",
		startedAt: new Date(clock.nowMs()).toISOString(),
	});
	const command = [
		...weftProgram(),
		"control-plane",
		...["--files", join(paths.root, "config"), "--http", httpAddress, "--secure-grpc", discoveryAddress, "--ca-dir", paths.ca, "--token-key", paths.tokenKey],
		...["--https", httpsAddress, "--api-token-file", paths.apiToken, "--api-dir", paths.config],
		...(meshConfigFile === undefined ? [] : ["--mesh-config", meshConfigFile]),
		...(certificateTtl === undefined ? [] : ["--certificate-ttl", certificateTtl]),
	];
	const child: Child = superviseChild(
		{ name: "control plane", command, env: {}, workingDir: paths.root, logFile: join(paths.logs, "control-plane.log") },
		{ mesh: paths.root, clock, logger },
	);
	return { child, httpAddress, discoveryAddress, httpsAddress };
}

async function answers(control: { readonly child: Child; readonly httpAddress: string }, clock: Clock, signal: AbortSignal, log: string): Promise<void> {
	const until = clock.monotonicMs() + 30_000;
	// A second end is no accident: it will not start as things are.
	while (clock.monotonicMs() < until && !signal.aborted && control.child.restarts < 2) {
		const response = await fetch(`http://${control.httpAddress}/ready`).catch(() => undefined);
		if (response?.ok) return;
		await clock.sleep(25, signal);
	}
	const end = readFileSync(log, "utf8").trimEnd().split("\n").slice(-5).join("\n");
	throw new CommandError(`the control plane did not become ready; the end of ${log}:\n${end}`);
}

async function applyAll(client: MeshClient, sources: readonly SourceFile[], progress: (line: string) => void): Promise<void> {
	const result = await client.apply(sources, { wait: false, dryRun: false, timeoutMs: 0 });
	printDiagnostics(result.diagnostics);
	if (hasErrors(result.diagnostics)) throw new CommandError("the configuration was refused");
	progress(`✔ ${result.objects.length} objects applied`);
}

/** Most time until every pod is ready; an application that needs longer is named. */
const readyTimeoutMs = 120_000;

async function allReady(supervisor: Supervisor, client: MeshClient, { clock, signal, paths }: LaunchOptions, tick: (what: string) => void): Promise<void> {
	const until = clock.monotonicMs() + readyTimeoutMs;
	let appsTold = false;
	while (!signal.aborted) {
		const pods = supervisor.status();
		const waiting = pods.filter((p) => !p.ready);
		if (waiting.length === 0 && !appsTold) {
			appsTold = true;
			tick(`${pods.length - 1} pods listen`);
		}
		const proxies = (await client.get("proxies")) as readonly { readonly proxy: string; readonly synced: boolean }[];
		const missing = pods.filter((p) => !proxies.some((x) => x.synced && x.proxy === `${p.name}.${p.namespace}`));
		if (waiting.length === 0 && missing.length === 0) return tick(`${pods.length} sidecars have their certificate and configuration`);
		const failing = pods.find((p) => p.restarts >= 3);
		if (failing) throw new CommandError(`${failing.name} ends again and again; its logs are ${paths.logs}/${failing.namespace}.${failing.name}.*`);
		if (clock.monotonicMs() > until)
			throw new CommandError(
				`not ready after ${readyTimeoutMs / 1000} s: ${[...waiting, ...missing].map((p) => p.name).join(", ")}; logs are in ${paths.logs}`,
			);
		await clock.sleep(25, signal);
	}
}
