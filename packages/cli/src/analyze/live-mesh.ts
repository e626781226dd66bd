import { diagnosticCodes, type MeshConfig, parseDurationMs } from "@weft/api";
import { pathsOf, type StateOptions } from "../commands/state-options.ts";
import type { ClusterOptions } from "../kube/cluster.ts";
import { readSources } from "../local/mesh-client.ts";
import { readMesh, type StatePaths } from "../local/state.ts";
import { CommandError } from "../output/errors.ts";
import { type AnalyzedObjects, objectsOfFiles } from "./objects.ts";

export interface LiveMeshOptions extends ClusterOptions, StateOptions {
	readonly allNamespaces?: boolean;
	readonly namespace?: string;
	readonly istioNamespace: string;
	readonly revision: string;
	readonly timeout: string;
}

/** A day: timers cannot wait for a month. */
const timeoutMsMax = 86_400_000;

export interface LiveMesh {
	readonly objects: AnalyzedObjects;
	/** Where findings are looked for unless another one is named. */
	readonly namespace: string;
	/** Undefined: unknown. */
	readonly meshConfig?: MeshConfig;
	/** Codes of what cannot be mended there, or need not be. */
	readonly pointless?: ReadonlySet<string>;
}

/** Every pod on this machine has a sidecar unless it says otherwise: labels of namespaces are not asked. */
const pointlessHere: ReadonlySet<string> = new Set([diagnosticCodes.namespaceNotInjected]);

/** The mesh on this machine where one runs and no cluster is named, as with the other commands; else the cluster. */
export async function readLiveMesh(options: LiveMeshOptions): Promise<LiveMesh> {
	const timeoutMs = parseDurationMs(options.timeout);
	if (timeoutMs === undefined || !(timeoutMs > 0)) throw new CommandError(`--timeout ${options.timeout}: write a duration, such as 30s`, 64);
	const paths = pathsOf(options);
	const isLocal = options.kubeconfig === undefined && options.context === undefined && readMesh(paths) !== undefined;
	return isLocal ? readLocalMesh(paths) : readCluster(options, timeoutMs);
}

/** What was applied, and the pods that run. */
function readLocalMesh({ config, runtime }: StatePaths): LiveMesh {
	return { objects: objectsOfFiles(readSources([config, runtime]), "default"), namespace: "default", pointless: pointlessHere };
}

async function readCluster(options: LiveMeshOptions, timeoutMs: number): Promise<LiveMesh> {
	// Files alone are analyzed without a Kubernetes client.
	const [{ openCluster }, { objectsOfCluster }] = await Promise.all([import("../kube/cluster.ts"), import("./cluster-objects.ts")]);
	const { client, namespace: ofContext } = await openCluster(options);
	const { revision, istioNamespace, allNamespaces, namespace = ofContext } = options;
	const objects = await objectsOfCluster(client, { revision, istioNamespace, signal: AbortSignal.timeout(Math.min(Math.ceil(timeoutMs), timeoutMsMax)) });
	for (const problem of objects.problems) process.stderr.write(`${problem}\n`);
	const exists = objects.objects.some(({ kind, metadata }) => kind === "Namespace" && metadata.name === namespace);
	if (!allNamespaces && !exists) throw new CommandError(`namespace "${namespace}" not found: name one by -n, or all by -A`);
	return { objects, namespace, meshConfig: objects.meshConfig };
}
