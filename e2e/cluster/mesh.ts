import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findHelm } from "../../scripts/peers-find.mjs";
import { apply, eventually, kubectl, kubectlJson, output, run } from "./kubectl.ts";

const root = join(import.meta.dirname, "../..");

/** Why this suite cannot run here, or false. */
export const clusterMissing = process.env["WEFT_E2E_CLUSTER"] === undefined ? "no cluster: npm run e2e (or e2e:kind)" : false;

export const systemNamespace = "istio-system";
const helmTimeout = "180s";

export const helm = (...args: readonly string[]): Promise<string> => output(findHelm() ?? "helm", args);
export const weft = (...args: readonly string[]): Promise<string> => output(process.execPath, [join(root, "packages/cli/bin/weft.mjs"), ...args]);
export const example = (file: string): string => readFileSync(join(root, "examples", file), "utf8");

export interface MeshOptions {
	/** Beyond `profile=demo`. */
	readonly set?: readonly string[];
	/** Value → the file that holds it. */
	readonly setFile?: Readonly<Record<string, string>>;
	readonly revision?: string;
}

const release = (revision = "") => (revision === "" ? "weft" : `weft-${revision}`);

/** The mesh as a user installs it, with small requests so that a single node holds it. What is there already is upgraded. */
export async function installMesh({ set = [], setFile = {}, revision }: MeshOptions = {}): Promise<void> {
	const wait = ["--wait", "--timeout", helmTimeout];
	await helm("upgrade", "--install", "weft-base", join(root, "charts/base"), "-n", systemNamespace, "--create-namespace");
	const values = ["profile=demo", ...(revision === undefined ? [] : [`revision=${revision}`]), ...set];
	const files = Object.entries(setFile).flatMap(([value, file]) => ["--set-file", `${value}=${file}`]);
	const flags = [...values.flatMap((value) => ["--set", value]), ...files];
	await helm("upgrade", "--install", release(revision), join(root, "charts/control-plane"), "-n", systemNamespace, ...flags, ...wait);
}

export async function uninstallControlPlane(revision?: string): Promise<void> {
	await run(findHelm() ?? "helm", ["uninstall", release(revision), "-n", systemNamespace, "--wait"]);
}

/** A namespace of a case's own, empty at its start. */
export async function freshNamespace(name: string, labels: Readonly<Record<string, string>> = { "istio-injection": "enabled" }): Promise<void> {
	await kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=true", "--timeout=120s");
	await kubectl("create", "namespace", name);
	await kubectl("label", "namespace", name, ...Object.entries(labels).map(([key, value]) => `${key}=${value}`));
	// Namespaces get the root certificate from the control plane that leads; pods before that wait for their volume. After one
	// that was killed before it could give up its lease, the next leads when that has run out: 30 s after its own first look.
	await eventually(`istio-ca-root-cert in ${name}`, () => kubectl("get", "configmap", "-n", name, "istio-ca-root-cert"), 90_000);
}

export async function removeNamespace(name: string): Promise<void> {
	await kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false");
}

interface PodList {
	readonly items: readonly {
		readonly metadata: {
			readonly name: string;
			readonly deletionTimestamp?: string;
			readonly labels?: Readonly<Record<string, string>>;
			readonly annotations?: Readonly<Record<string, string>>;
		};
		readonly spec: { readonly containers: readonly { readonly name: string }[]; readonly initContainers?: readonly { readonly name: string }[] };
		readonly status: {
			readonly phase?: string;
			readonly podIP?: string;
			readonly containerStatuses?: readonly { readonly ready: boolean; readonly restartCount: number }[];
		};
	}[];
}

/** The pods that are there to stay. */
export async function pods(namespace: string, selector?: string): Promise<PodList["items"]> {
	const { items } = await kubectlJson<PodList>("get", "pods", "-n", namespace, ...(selector === undefined ? [] : ["-l", selector]));
	return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
}

export function hasProxy({ spec }: PodList["items"][number]): boolean {
	return [...spec.containers, ...(spec.initContainers ?? [])].some(({ name }) => name === "istio-proxy");
}

/** Until every Deployment of a namespace has its pods. */
export async function rolledOut(namespace: string, timeoutSeconds = 180): Promise<void> {
	const names = (await kubectl("get", "deployments", "-n", namespace, "-o", "name")).trim().split("\n");
	for (const name of names.filter((line) => line !== "")) await kubectl("rollout", "status", "-n", namespace, name, `--timeout=${timeoutSeconds}s`);
}

/** The sleep sample under another name, with changes to its pod. */
export function client(name: string, change: (yaml: string) => string = (yaml) => yaml): string {
	return change(example("sleep/sleep.yaml").replaceAll(/\bsleep$/gm, name));
}

/** Applies samples by their files and waits for their pods. */
export async function deploy(namespace: string, ...files: readonly string[]): Promise<void> {
	for (const file of files) await apply(namespace, example(file));
	await rolledOut(namespace);
}
