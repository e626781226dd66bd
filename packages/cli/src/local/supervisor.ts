import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { AnyConfig, Diagnostic } from "@weft/api";
import { createStore, type Store, watchDirectory } from "@weft/galley";
import type { Clock, Logger } from "@weft/runtime";
import { stringify } from "yaml";
import { type Child, superviseChild } from "./child.ts";
import { containerEnvironment, expandVariables } from "./environment.ts";
import type { ImageMap } from "./images.ts";
import { endpointSlices, podObject, type RunningPod } from "./kube-objects.ts";
import { type Offered, offeredPorts, type Placement, placePod, podAddress } from "./placement.ts";
import type { PodStatus } from "./pod-status.ts";
import type { PortAllocator } from "./ports.ts";
import { type SidecarContext, sidecarSpec } from "./sidecar.ts";
import { type StatePaths, type StatusFile, writeAtomic, workloadSocket } from "./state.ts";
import { type DesiredPod, desiredPods } from "./workloads.ts";

/** The pod through which people and their tools on this machine enter the mesh; it has a sidecar and no application. */
export const laptop: DesiredPod = {
	name: "laptop",
	namespace: "default",
	generateName: undefined,
	labels: { app: "laptop", "security.istio.io/tlsMode": "istio", "service.istio.io/canonical-name": "laptop", "service.istio.io/canonical-revision": "latest" },
	annotations: {},
	serviceAccount: "laptop",
	workload: "laptop",
	containers: [],
	sidecar: true,
	foreignEnvoy: false,
};

/** How long an application may take until it listens before the launcher says so; it goes on waiting. */
const slowStartMs = 15_000;

interface Run {
	readonly pod: DesiredPod;
	readonly placement: Placement;
	readonly children: readonly Child[];
	readonly stop: AbortController;
	ready: boolean;
}

export interface SupervisorOptions {
	readonly paths: StatePaths;
	readonly images: ImageMap;
	/** Where commands of annotations run. */
	readonly folder: string;
	readonly ports: PortAllocator;
	/** Tells two meshes on one machine apart. */
	readonly meshNumber: number;
	readonly sidecar: Omit<SidecarContext, "nowMs">;
	readonly controlPlanePid: () => number | undefined;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly signal: AbortSignal;
	readonly onDiagnostics: (diagnostics: readonly Diagnostic[]) => void;
}

/** What a kubelet is to a cluster: runs the pods that the applied objects ask for, and reports them. */
export class Supervisor {
	readonly #options: SupervisorOptions;
	readonly #store: Store;
	readonly #runs = new Map<string, Run>();
	readonly #indexes = new Map<string, number>();
	#work: Promise<void> = Promise.resolve();

	constructor(options: SupervisorOptions) {
		this.#options = options;
		this.#store = createStore();
	}

	async start(): Promise<void> {
		const { paths, signal, clock, logger } = this.#options;
		for (const file of readdirSync(paths.runtime)) rmSync(join(paths.runtime, file));
		// What is wrong with the files was said by `apply`; only what concerns running them is said here.
		await watchDirectory(paths.config, this.#store, { signal, clock, logger });
		await this.#reconcile();
		this.#store.subscribe(() => this.#schedule());
	}

	/** Pods in the order of their start. */
	status(): PodStatus[] {
		return [...this.#runs.values()].map(({ pod, placement, children, ready }) => ({
			name: pod.name,
			namespace: pod.namespace,
			workload: pod.workload,
			ready,
			restarts: children.reduce((n, c) => n + c.restarts, 0),
			ip: placement.podIp,
			adminAddress: `127.0.0.1:${placement.adminPort}`,
			pids: children.flatMap((c) => c.pid ?? []),
		}));
	}

	/** `host:port` of each Service port → the loopback address at which this machine reaches it. */
	addresses(): Readonly<Record<string, string>> {
		return this.#runs.get(id(laptop))?.placement.outbound ?? {};
	}

	get proxyAddress(): string {
		return `127.0.0.1:${this.#runs.get(id(laptop))?.placement.httpProxyPort ?? 0}`;
	}

	async stop(): Promise<void> {
		await this.#work;
		await Promise.all([...this.#runs.values()].map((run) => this.#end(run)));
	}

	#schedule(): void {
		this.#work = this.#work.then(() => this.#reconcile()).catch((error: unknown) => this.#options.logger.error("pods could not be brought in line", { error }));
	}

	async #reconcile(): Promise<void> {
		if (this.#options.signal.aborted) return;
		const snapshot = this.#store.snapshot();
		const objects = (["Deployment", "StatefulSet", "Pod"] as const).flatMap((kind) => snapshot.all(kind) as readonly AnyConfig[]);
		const { pods, diagnostics } = desiredPods(objects, this.#options.images, this.#options.folder);
		if (diagnostics.length > 0) this.#options.onDiagnostics(diagnostics);
		const offered = offeredPorts(snapshot.all("Service"));
		const wanted = new Map([...pods, laptop].map((pod) => [id(pod), pod]));
		for (const [key, run] of this.#runs) {
			const pod = wanted.get(key);
			const same = pod && fingerprint(pod) === fingerprint(run.pod) && (await this.#samePlace(run, offered));
			if (same) continue;
			await this.#end(run);
			this.#runs.delete(key);
		}
		for (const [key, pod] of wanted) if (!this.#runs.has(key)) this.#runs.set(key, await this.#begin(pod, offered));
		this.#report();
		this.#keepPorts();
	}

	/** A new Service needs an address in the sidecars that offer it. */
	async #samePlace(run: Run, offered: readonly Offered[]): Promise<boolean> {
		const placement = await this.#place(run.pod, offered);
		return JSON.stringify(placement) === JSON.stringify(run.placement);
	}

	#place(pod: DesiredPod, offered: readonly Offered[]): Promise<Placement> {
		const index = this.#indexes.get(id(pod)) ?? this.#indexes.size;
		this.#indexes.set(id(pod), index);
		const ip = podAddress(index, this.#options.meshNumber, process.platform);
		return placePod(pod, ip, offered, this.#options.ports, pod === laptop);
	}

	async #begin(pod: DesiredPod, offered: readonly Offered[]): Promise<Run> {
		const { paths, clock, logger, sidecar } = this.#options;
		const placement = await this.#place(pod, offered);
		const context = { mesh: paths.root, clock, logger };
		const specs = pod.containers.map((container) => {
			const env = containerEnvironment(pod, container, placement, offered, workloadSocket(paths, pod));
			const command = [...container.process.command, ...container.args].map((part) => expandVariables(part, env));
			return {
				name: `${pod.name}/${container.name}`,
				command,
				env,
				workingDir: container.process.workingDir,
				logFile: join(paths.logs, `${pod.namespace}.${pod.name}.${container.name}.log`),
			};
		});
		if (pod.sidecar) {
			mkdirSync(join(paths.root, "proxies", `${pod.namespace}.${pod.name}`), { recursive: true });
			specs.push(sidecarSpec(pod, placement, { ...sidecar, nowMs: clock.nowMs() }) as (typeof specs)[number]);
		}
		const run: Run = { pod, placement, children: specs.map((spec) => superviseChild(spec, context)), stop: new AbortController(), ready: false };
		void this.#awaitReady(run);
		return run;
	}

	/** Ready once every declared port of the application takes connections; a pod without ports is ready when it runs. */
	async #awaitReady(run: Run): Promise<void> {
		const { clock, logger } = this.#options;
		const startedMs = clock.monotonicMs();
		let told = false;
		for (const { endpoint } of Object.values(run.placement.inbound)) {
			while (!run.stop.signal.aborted && !(await accepts(endpoint))) {
				if (!told && clock.monotonicMs() - startedMs > slowStartMs) {
					told = true;
					logger.warn(`${run.pod.name} does not listen on ${endpoint} yet`, {
						hint: "the application must listen on the port in the environment variable PORT",
						logs: this.#options.paths.logs,
					});
				}
				await clock.sleep(20, run.stop.signal);
			}
		}
		if (run.stop.signal.aborted) return;
		run.ready = true;
		this.#report();
	}

	async #end(run: Run): Promise<void> {
		run.stop.abort();
		run.ready = false;
		this.#report();
		await Promise.all(run.children.map((child) => child.stop(5_000)));
	}

	/** Writes what the cluster's API would hold about the pods; the control plane watches the folder. */
	#report(): void {
		const { paths } = this.#options;
		const services = this.#store.snapshot().all("Service");
		const running: RunningPod[] = [...this.#runs.values()].filter((run) => !run.stop.signal.aborted);
		const objects = [...running.map(podObject), ...endpointSlices(services, running)];
		writeAtomic(join(paths.runtime, "pods.yaml"), objects.map((o) => stringify(o)).join("---\n"));
		const status: StatusFile = {
			controlPlanePid: this.#options.controlPlanePid(),
			proxyAddress: this.proxyAddress,
			addresses: this.addresses(),
			pods: this.status(),
		};
		writeAtomic(paths.status, `${JSON.stringify(status, null, 1)}\n`);
	}

	#keepPorts(): void {
		writeAtomic(this.#options.paths.ports, `${JSON.stringify(this.#options.ports.taken(), null, 1)}\n`);
	}
}

function id(pod: DesiredPod): string {
	return `${pod.namespace}/${pod.name}`;
}

function fingerprint(pod: DesiredPod): string {
	return JSON.stringify(pod);
}

function accepts(endpoint: string): Promise<boolean> {
	const [host = "", port = ""] = endpoint.split(":");
	return new Promise((resolve) => {
		const socket = connect({ host, port: Number(port) });
		const done = (open: boolean) => () => {
			socket.destroy();
			resolve(open);
		};
		socket.once("connect", done(true));
		socket.once("error", done(false));
		socket.setTimeout(1_000, done(false));
	});
}

/** The ports that an earlier run of this mesh took. */
export function earlierPorts(file: string): Readonly<Record<string, number>> {
	try {
		return JSON.parse(readFileSync(file, "utf8")) as Record<string, number>;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
		throw error;
	}
}
