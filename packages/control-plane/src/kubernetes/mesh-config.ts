import { readFile } from "node:fs/promises";
import { formatDiagnostic, hasErrors, isKindOf, type AnyConfig, type MeshConfig } from "@weft/api";
import { decodeMeshConfig, type Store } from "@weft/galley";
import { type KubeClient, type KubeObject, type ResourceWatch, resources, watchResource } from "@weft/kube";
import type { Clock, Logger } from "@weft/runtime";

export interface MeshConfigWatchOptions {
	readonly client: KubeClient;
	readonly store: Store;
	readonly namespace: string;
	/** `istio`, or `istio-REVISION`. */
	readonly name: string;
	/** The same ConfigMap as kubelet mounts it: read first, and alone where there is no such ConfigMap. */
	readonly file: string;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

export interface MeshConfigWatch {
	current(): MeshConfig;
	/** Called after another one is in force. Returns the way to stop. */
	onChanged(listener: () => void): () => void;
	isSettled(): boolean;
}

/** The source of the ConfigMap in the store: its change is what makes Pilot push. */
const source = "kubernetes-mesh-config";

/** MeshConfig of the ConfigMap's key `mesh`, live. One with errors changes nothing and is told of. Rejects on a file with errors. */
export async function watchMeshConfig(options: MeshConfigWatchOptions): Promise<MeshConfigWatch> {
	const { client, namespace, name, logger } = options;
	const place = `ConfigMap ${namespace}/${name}`;
	const fromFile = await readMeshFile(options.file);
	let current = fromFile;
	const listeners = new Set<() => void>();
	const take = (object: KubeObject | undefined): void => {
		const text = object && (object["data"] as Readonly<Record<string, unknown>> | undefined)?.["mesh"];
		const next = typeof text === "string" ? decode(text, place, logger) : fromFile;
		if (next === undefined) return;
		if (next.trustDomain !== current.trustDomain)
			logger.warn("another trustDomain needs a restart of the control plane", { trustDomain: next.trustDomain ?? "cluster.local" });
		current = next;
		tellStore(options, object);
		for (const listener of listeners) listener();
	};
	const watch: ResourceWatch = watchResource(client, resources.configMaps, {
		namespace,
		fieldSelector: `metadata.name=${name}`,
		signal: options.signal,
		clock: options.clock,
		logger,
		onList: (objects) => take(objects[0]),
		onEvents: (events) => {
			const last = events.at(-1);
			take(last?.type === "upsert" ? last.object : undefined);
		},
	});
	let isSettled = false;
	return {
		current: () => current,
		onChanged(listener) {
			listeners.add(listener);
			return () => void listeners.delete(listener);
		},
		isSettled: () => (isSettled ||= watch.state === "synced"),
	};
}

function decode(text: string, place: string, logger: Logger): MeshConfig | undefined {
	const { value, diagnostics } = decodeMeshConfig(text, place);
	for (const diagnostic of diagnostics) logger.warn("mesh config", { problem: formatDiagnostic(diagnostic) });
	if (!hasErrors(diagnostics)) {
		logger.info("mesh config read", { from: place });
		return value;
	}
	logger.error("the mesh config has errors; the last good one stays in force", { from: place });
	return undefined;
}

function tellStore({ store, namespace, name }: MeshConfigWatchOptions, object: KubeObject | undefined): void {
	const config: AnyConfig | undefined = object && {
		apiVersion: "v1",
		kind: "ConfigMap",
		metadata: { name, namespace, labels: object.metadata.labels ?? {}, annotations: {} },
		spec: { data: object["data"] as Readonly<Record<string, string>> },
	};
	store.replaceSource(source, config && isKindOf(config, "ConfigMap") ? [config] : []);
}

async function readMeshFile(file: string): Promise<MeshConfig> {
	let text: string;
	try {
		text = await readFile(file, "utf8");
	} catch (error) {
		if (error instanceof Error && "code" in error && error.code === "ENOENT") return {};
		throw error;
	}
	const { value, diagnostics } = decodeMeshConfig(text, file);
	if (hasErrors(diagnostics)) throw new Error(diagnostics.map(formatDiagnostic).join("\n"));
	return value;
}
