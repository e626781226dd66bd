import type { AnyConfig, Diagnostic, MeshConfig } from "@weft/api";
import { admitObjects, createStore } from "@weft/galley";
import type { AnalyzedObjects } from "./objects.ts";

export interface AnalysisInput {
	readonly files: AnalyzedObjects;
	/** What a cluster, or a mesh on this machine, holds. Undefined: the files are all there is. */
	readonly mesh?: AnalyzedObjects;
	/** Undefined: nobody knows it, and nothing is said that depends on it alone. */
	readonly meshConfig?: MeshConfig;
}

/** Kubernetes' own: nothing in them is the mesh's. */
const outside: ReadonlySet<string> = new Set(["kube-system", "kube-public", "kube-node-lease", "local-path-storage"]);

/** Of files alone these are never all, so none of them is looked at. */
const clusterKinds: ReadonlySet<string> = new Set(["Pod", "Service", "Namespace", "Node", "Secret", "MutatingWebhookConfiguration"]);

interface Named {
	readonly kind?: string;
	readonly namespace?: string;
	readonly name?: string;
}

/** What there is to say about the mesh as it would be with the files in it. */
export function findingsOf({ files, mesh, meshConfig }: AnalysisInput): readonly Diagnostic[] {
	const hasCluster = mesh !== undefined;
	const isAnalyzed = (one: Named) => (hasCluster || !clusterKinds.has(one.kind ?? "")) && !outside.has(homeOf(one));
	const rewritten = new Set([...files.objects.map(nameOf), ...files.diagnostics].map(keyOf));
	const stays = (one: Named) => !rewritten.has(keyOf(one));
	const objects = [...files.objects, ...(mesh?.objects ?? []).filter((object) => stays(nameOf(object)))];
	const { diagnostics } = admitObjects(
		objects.filter((object) => isAnalyzed(nameOf(object))),
		createStore().snapshot(),
		[],
		{ hasCluster, ...(meshConfig && { meshConfig }) },
	);
	return [...files.diagnostics, ...(mesh?.diagnostics ?? []).filter(stays), ...diagnostics].filter(isAnalyzed);
}

/** The namespace that an object belongs to; a Namespace belongs to itself, what else has none to all. */
export const homeOf = ({ kind, namespace, name }: Named): string => (kind === "Namespace" ? name : namespace) ?? "";

const nameOf = ({ kind, metadata }: AnyConfig): Named => ({ kind, namespace: metadata.namespace, name: metadata.name });
const keyOf = ({ kind, namespace = "", name = "" }: Named): string => `${kind}/${namespace}/${name}`;
