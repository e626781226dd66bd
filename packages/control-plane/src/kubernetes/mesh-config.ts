import { readFile } from "node:fs/promises";
import {
	type AnyConfig,
	type ConfigObject,
	type Diagnostic,
	formatDiagnostic,
	hasErrors,
	isKindOf,
	mergeMeshConfig,
	type MeshConfig,
	type MeshNetworks,
} from "@weft/api";
import { decodeMeshConfig, decodeMeshNetworks, type Store } from "@weft/galley";
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
	/** Its key `meshNetworks`, likewise. */
	readonly networksFile: string;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

export interface MeshConfigWatch {
	current(): MeshConfig;
	networks(): MeshNetworks;
	/** Called after another one is in force. Returns the way to stop. */
	onChanged(listener: () => void): () => void;
	isSettled(): boolean;
}

/** The source of the ConfigMaps in the store: their change is what makes Pilot push. */
const source = "kubernetes-mesh-config";
const reader = { injectsPods: true };

/** MeshConfig and MeshNetworks of the ConfigMap's keys `mesh` and `meshNetworks`, live. One with errors changes nothing and is told of. Rejects on a file with errors. */
export async function watchMeshConfig(options: MeshConfigWatchOptions): Promise<MeshConfigWatch> {
	const { logger, store, sharedName } = options;
	const fromFile = {
		mesh: await readConfigFile(options.file, meshDecoder),
		networks: await readConfigFile(options.networksFile, decodeMeshNetworks),
	};
	let current = fromFile.mesh;
	const listeners = new Set<() => void>();
	const combine = (): void => {
		const next = layers.map(({ value }) => value().mesh).reduce(mergeMeshConfig);
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
	const layers = sharedName === undefined ? [own] : [watchLayer(options, sharedName, { mesh: {}, networks: undefined }, combine), own];
	const isSettled = () => layers.every((layer) => layer.isSettled());
	return {
		current: () => current,
		networks: () => own.value().networks ?? fromFile.networks,
		onChanged(listener) {
			listeners.add(listener);
			return () => void listeners.delete(listener);
		},
		isSettled,
	};
}

/** What one ConfigMap says. */
interface Contents {
	readonly mesh: MeshConfig;
	/** undefined: it is not asked for them. */
	readonly networks: MeshNetworks | undefined;
}

interface Layer {
	value(): Contents;
	object(): ConfigObject<"ConfigMap"> | undefined;
	isSettled(): boolean;
}

/** One ConfigMap; `absent` stands for it while there is none. */
function watchLayer(options: MeshConfigWatchOptions, name: string, absent: Contents, onChanged: () => void): Layer {
	const { client, namespace, clock, logger, signal } = options;
	const place = `ConfigMap ${namespace}/${name}`;
	let value = absent;
	let object: ConfigObject<"ConfigMap"> | undefined;
	const take = (found: KubeObject | undefined): void => {
		const data = found && (found["data"] as Readonly<Record<string, unknown>> | undefined);
		const read = <T>(key: string, decoder: Decoder<T>, otherwise: T): T | undefined => {
			const text = data?.[key];
			return typeof text === "string" ? decode(text, `${place}, key ${key}`, decoder, logger) : otherwise;
		};
		const mesh = read("mesh", meshDecoder, absent.mesh);
		const networks = absent.networks && read("meshNetworks", decodeMeshNetworks, absent.networks);
		if (mesh === undefined && networks === undefined) return;
		value = { mesh: mesh ?? value.mesh, networks: networks ?? value.networks };
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

type Decoder<T> = (text: string, place: string) => { readonly value: T; readonly diagnostics: readonly Diagnostic[] };

const meshDecoder: Decoder<MeshConfig> = (text, place) => decodeMeshConfig(text, place, reader);

function decode<T>(text: string, place: string, decoder: Decoder<T>, logger: Logger): T | undefined {
	const { value, diagnostics } = decoder(text, place);
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

/** Nothing, where there is no such file. */
async function readConfigFile<T>(file: string, decoder: Decoder<T>): Promise<T> {
	let text = "";
	try {
		text = await readFile(file, "utf8");
	} catch (error) {
		if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
	}
	const { value, diagnostics } = decoder(text, file);
	if (hasErrors(diagnostics)) throw new Error(diagnostics.map(formatDiagnostic).join("\n"));
	return value;
}
