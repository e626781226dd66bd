import { readFile } from "node:fs/promises";
import { type AnyConfig, type ConfigObject, formatDiagnostic, hasErrors, isKindOf, mergeMeshConfig, type MeshConfig } from "@weft/api";
import { decodeMeshConfig, type Store } from "@weft/galley";
import { type KubeClient, type KubeObject, type ResourceWatch, resources, watchResource } from "@weft/kube";
import type { Clock, Logger } from "@weft/runtime";

export interface MeshConfigWatchOptions {
	readonly client: KubeClient;
	readonly store: Store;
	readonly namespace: string;
	/** `istio`, or `istio-REVISION`. */
	readonly name: string;
	/** SHARED_MESH_CONFIG: a ConfigMap whose settings count where the own one says nothing; undefined: none. */
	readonly sharedName: string | undefined;
	/** The ConfigMap `name` as kubelet mounts it: read first, and alone where there is no such ConfigMap. */
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

/** The source of the ConfigMaps in the store: their change is what makes Pilot push. */
const source = "kubernetes-mesh-config";
const reader = { injectsPods: true };

/** MeshConfig of the ConfigMap's key `mesh`, live. One with errors changes nothing and is told of. Rejects on a file with errors. */
export async function watchMeshConfig(options: MeshConfigWatchOptions): Promise<MeshConfigWatch> {
	const { logger, store, sharedName } = options;
	const fromFile = await readMeshFile(options.file);
	let current = fromFile;
	const listeners = new Set<() => void>();
	const combine = (): void => {
		const next = layers.map(({ value }) => value()).reduce(mergeMeshConfig);
		// While they are being read for the first time nothing depends on it.
		if (isSettled() && next.trustDomain !== current.trustDomain)
			logger.warn("another trustDomain needs a restart of the control plane", { trustDomain: next.trustDomain ?? "cluster.local" });
		current = next;
		store.replaceSource(
			source,
			layers.flatMap(({ object }) => object() ?? []),
		);
		for (const listener of listeners) listener();
	};
	const own = watchLayer(options, options.name, fromFile, combine);
	const layers = sharedName === undefined ? [own] : [watchLayer(options, sharedName, {}, combine), own];
	const isSettled = () => layers.every((layer) => layer.isSettled());
	return {
		current: () => current,
		onChanged(listener) {
			listeners.add(listener);
			return () => void listeners.delete(listener);
		},
		isSettled,
	};
}

interface Layer {
	value(): MeshConfig;
	object(): ConfigObject<"ConfigMap"> | undefined;
	isSettled(): boolean;
}

/** One ConfigMap; `absent` stands for it while there is none. */
function watchLayer(options: MeshConfigWatchOptions, name: string, absent: MeshConfig, onChanged: () => void): Layer {
	const { client, namespace, clock, logger, signal } = options;
	const place = `ConfigMap ${namespace}/${name}`;
	let value = absent;
	let object: ConfigObject<"ConfigMap"> | undefined;
	const take = (found: KubeObject | undefined): void => {
		const text = found && (found["data"] as Readonly<Record<string, unknown>> | undefined)?.["mesh"];
		const next = typeof text === "string" ? decode(text, place, logger) : absent;
		if (next === undefined) return;
		value = next;
		object = found && storedObject(found, namespace, name);
		onChanged();
	};
	const watch: ResourceWatch = watchResource(client, resources.configMaps, {
		namespace,
		fieldSelector: `metadata.name=${name}`,
		signal,
		clock,
		logger,
		onList: (objects) => take(objects[0]),
		onEvents: (events) => {
			const last = events.at(-1);
			take(last?.type === "upsert" ? last.object : undefined);
		},
	});
	let isSettled = false;
	return { value: () => value, object: () => object, isSettled: () => (isSettled ||= watch.state === "synced") };
}

function decode(text: string, place: string, logger: Logger): MeshConfig | undefined {
	const { value, diagnostics } = decodeMeshConfig(text, place, reader);
	for (const diagnostic of diagnostics) logger.warn("mesh config", { problem: formatDiagnostic(diagnostic) });
	if (!hasErrors(diagnostics)) {
		logger.info("mesh config read", { from: place });
		return value;
	}
	logger.error("the mesh config has errors; the last good one stays in force", { from: place });
	return undefined;
}

function storedObject({ metadata, data }: KubeObject, namespace: string, name: string): ConfigObject<"ConfigMap"> | undefined {
	const config: AnyConfig = {
		apiVersion: "v1",
		kind: "ConfigMap",
		metadata: { name, namespace, labels: metadata.labels ?? {}, annotations: {} },
		spec: { data: data as Readonly<Record<string, string>> },
	};
	return isKindOf(config, "ConfigMap") ? config : undefined;
}

async function readMeshFile(file: string): Promise<MeshConfig> {
	let text: string;
	try {
		text = await readFile(file, "utf8");
	} catch (error) {
		if (error instanceof Error && "code" in error && error.code === "ENOENT") return {};
		throw error;
	}
	const { value, diagnostics } = decodeMeshConfig(text, file, reader);
	if (hasErrors(diagnostics)) throw new Error(diagnostics.map(formatDiagnostic).join("\n"));
	return value;
}
