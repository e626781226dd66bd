import { execFile } from "node:child_process";
import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs, promisify } from "node:util";
import { readMachineShape } from "../data-plane/machine.ts";
import { type ClusterApi, isProxyReady, isReady, openClusterApi, type PodObject, podsOf } from "./cluster-api.ts";
import { memoryOfPod, type ProcessMemory } from "./memory.ts";
import { renderReport } from "./report.ts";

// Figures of the mesh on a real cluster: that of KUBECONFIG, with the images loaded and nothing of the mesh installed.

const root = join(import.meta.dirname, "../../../..");
const system = "istio-system";
const [injected, plain] = ["bench-injected", "bench-plain"];
const podsPerSecond = 20;
const deadlineMs = 180_000;
const run = promisify(execFile);

export interface ClusterFigures {
	readonly shape: string;
	readonly installMs: number;
	readonly controlPlaneIdle: ProcessMemory;
	readonly controlPlaneLoaded: ProcessMemory & { readonly pods: number };
	/** Of creating a pod, as a client sees it. */
	readonly creationMs: { readonly injected: Quantiles; readonly plain: Quantiles; readonly pods: number };
	readonly startMs: Quantiles;
	readonly proxyIdle: ProcessMemory;
	readonly imageMb: Readonly<Record<string, number>>;
}

export interface Quantiles {
	readonly p50: number;
	readonly p99: number;
	readonly max: number;
	readonly count: number;
}

/** `npm run bench -- cluster [--images DIR] [--image IMAGE]`. */
export async function clusterBench(args: readonly string[], log: (line: string) => void): Promise<number> {
	const { values } = parseArgs({
		args: [...args],
		options: { images: { type: "string", default: join(root, "dist/images") }, image: { type: "string", default: "docker.io/curlimages/curl:8.16.0" } },
	});
	const api = await openClusterApi();
	try {
		const figures = await measure(api, values.images, values.image, log);
		const text = renderReport(figures, readMachineShape());
		writeFileSync(join(root, "packages/bench/results/cluster.md"), text);
		log(text);
		return 0;
	} finally {
		await kubectl("delete", "namespace", injected, plain, "--ignore-not-found", "--wait=false");
		api.close();
	}
}

async function measure(api: ClusterApi, images: string, image: string, log: (line: string) => void): Promise<ClusterFigures> {
	const installMs = await install();
	log(`installed in ${installMs} ms`);
	for (const [name, label] of [
		[injected, "istio-injection=enabled"],
		[plain, "istio-injection=disabled"],
	] as const) {
		await kubectl("create", "namespace", name);
		await kubectl("label", "namespace", name, label);
	}
	await delay(20_000);
	const [istiod] = await podsOf(api, system, "app=istiod");
	if (istiod === undefined) throw new Error("no istiod");
	const memory = () => memoryOfPod(api, system, istiod, 15_014, "weft-control-plane");
	const controlPlaneIdle = await memory();
	log(`control plane idle ${JSON.stringify(controlPlaneIdle)}`);
	const startMs = await startTimes(api, image);
	log(`sidecar ready ${JSON.stringify(startMs)}`);
	const proxyIdle = await idleProxy(api);
	log(`proxy idle ${JSON.stringify(proxyIdle)}`);
	const creationMs = { pods: 200, plain: await createPods(api, plain, 200), injected: await createPods(api, injected, 200) };
	log(`creation ${JSON.stringify(creationMs)}`);
	const controlPlaneLoaded = { ...(await loaded(api, memory)), pods: 100 };
	return { shape: await shapeOf(api), installMs, controlPlaneIdle, controlPlaneLoaded, creationMs, startMs, proxyIdle, imageMb: imageSizes(images) };
}

async function kubectl(...args: readonly string[]): Promise<string> {
	return (await run("kubectl", args)).stdout;
}

/** From the first helm command until the control plane is Ready. */
async function install(): Promise<number> {
	const started = Date.now();
	await run("helm", ["upgrade", "--install", "weft-base", join(root, "charts/base"), "-n", system, "--create-namespace"]);
	const values = ["--set", "resources.requests.cpu=10m", "--wait", "--timeout", "180s"];
	await run("helm", ["upgrade", "--install", "weft", join(root, "charts/control-plane"), "-n", system, ...values]);
	return Date.now() - started;
}

const podsPath = (namespace: string) => `/api/v1/namespaces/${namespace}/pods`;

function podOf(name: string, spec: object, labels: Readonly<Record<string, string>> = {}): object {
	return { apiVersion: "v1", kind: "Pod", metadata: { generateName: name, labels }, spec: { terminationGracePeriodSeconds: 1, ...spec } };
}

/** From asking for a pod until its sidecar is ready, one after the other. */
async function startTimes(api: ClusterApi, image: string): Promise<Quantiles> {
	const times: number[] = [];
	const command = ["node", "-e", "setInterval(() => {}, 1e6)"];
	for (let i = 0; i < 5; i++) {
		const started = Date.now();
		const pod = await api.call<PodObject>("POST", podsPath(injected), podOf("start-", { containers: [{ name: "app", image, command }] }, { run: "start" }));
		await until(async () => isProxyReady(await api.call<PodObject>("GET", `${podsPath(injected)}/${pod.metadata.name}`)));
		times.push(Date.now() - started);
	}
	return quantiles(times);
}

/** The least of them after a rest: what a sidecar needs that nobody talks to. */
async function idleProxy(api: ClusterApi): Promise<ProcessMemory> {
	await delay(30_000);
	const all = await Promise.all((await podsOf(api, injected, "run=start")).map((pod) => memoryOfPod(api, injected, pod, 15_020, "weft-proxy")));
	const [middle] = all.toSorted((a, b) => a.rss - b.rss).slice(Math.floor(all.length / 2));
	if (middle === undefined) throw new Error("no sidecars");
	return middle;
}

/** Pods that nobody schedules, at a steady rate: what counts is what admission costs. */
async function createPods(api: ClusterApi, namespace: string, count: number): Promise<Quantiles> {
	const pod = podOf("create-", { schedulerName: "nobody", containers: [{ name: "app", image: "weft.dev/absent:1" }] });
	const started = Date.now();
	const times = await Promise.all(
		Array.from({ length: count }, async (_, i) => {
			await delay(Math.max(0, started + (i * 1_000) / podsPerSecond - Date.now()));
			const before = performance.now();
			await api.call("POST", podsPath(namespace), pod);
			return performance.now() - before;
		}),
	);
	return quantiles(times);
}

/** With a hundred running pods; they have no sidecars, since a hundred of those would measure this machine. */
async function loaded(api: ClusterApi, memory: () => Promise<ProcessMemory>): Promise<ProcessMemory> {
	await kubectl("delete", "pods", "-n", plain, "--all", "--wait=false");
	await kubectl("delete", "pods", "-n", injected, "--all", "--wait=false");
	const containers = [{ name: "pause", image: "localhost/weft/pause:1", imagePullPolicy: "Never" }];
	await Promise.all(Array.from({ length: 100 }, () => api.call("POST", podsPath(plain), podOf("pause-", { containers }, { app: "pause" }))));
	await until(async () => (await podsOf(api, plain, "app=pause")).filter(isReady).length === 100);
	await delay(10_000);
	return memory();
}

async function until(holds: () => Promise<boolean>): Promise<void> {
	const deadline = Date.now() + deadlineMs;
	while (!(await holds())) {
		if (Date.now() > deadline) throw new Error(`not within ${deadlineMs / 1_000} s`);
		await delay(50);
	}
}

function quantiles(values: readonly number[]): Quantiles {
	const sorted = values.toSorted((a, b) => a - b);
	const at = (share: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? 0);
	return { p50: at(0.5), p99: at(0.99), max: at(1), count: values.length };
}

async function shapeOf(api: ClusterApi): Promise<string> {
	interface Node {
		readonly status: { readonly capacity: Readonly<Record<string, string>>; readonly nodeInfo: Readonly<Record<string, string>> };
	}
	const { items } = await api.call<{ readonly items: readonly Node[] }>("GET", "/api/v1/nodes");
	const one = items[0]?.status;
	return `${items.length} node of Kubernetes ${one?.nodeInfo["kubeletVersion"]}, ${one?.capacity["cpu"]} cores, ${one?.nodeInfo["containerRuntimeVersion"]}`;
}

/** Layers are compressed already, so a tarball is as large as what a registry would be sent. */
function imageSizes(folder: string): Readonly<Record<string, number>> {
	if (!existsSync(folder)) return {};
	const tars = readdirSync(folder).filter((name) => name.endsWith(".tar"));
	return Object.fromEntries(tars.map((name) => [name.replace(/\.tar$/, ""), Math.round(statSync(join(folder, name)).size / 1e5) / 10]));
}
