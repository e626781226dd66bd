import type { FSWatcher } from "node:fs";
import { basename, dirname } from "node:path";
import type { Logger } from "@weft/runtime";
import { readRuntimeText } from "../../config/decode/runtime.ts";
import type { ResourceSource } from "../../config/resource-source.ts";
import type { RuntimeLayer } from "../../config/runtime-layers.ts";
import { noRuntimeEntries, type RuntimeEntries, type RuntimeEntry, type RuntimeValues } from "../../config/runtime-values.ts";
import { watchFolderWhenThere } from "../folder-watch.ts";
import { readDiskLayer } from "./disk-layer.ts";

export interface RuntimeLoaderOptions {
	/** In order: later ones go before earlier ones. */
	readonly layers: readonly RuntimeLayer[];
	/** The main thread's own view. */
	readonly values: RuntimeValues;
	/** Told of every new state. `awaited`: a layer that is still to come, which listeners wait for. */
	readonly publish: (state: RuntimeState) => void;
	readonly logger: Logger;
}

export interface RuntimeState {
	readonly entries: RuntimeEntries;
	/** undefined: all layers are there. */
	readonly awaited: string | undefined;
}

export interface LoadedLayer {
	readonly name: string;
	readonly entries: RuntimeEntries;
}

/** Of the admin's layer, which grows by requests. */
const overridesMax = 10_000;
/** Keys that are warned of. */
const warningsMax = 1_000;
const guards = /^envoy\.(reloadable_features|restart_features)\./;

/** Reads the layers, puts one over the other, and tells everybody who asks the runtime of what comes of it. */
export class RuntimeLoader {
	readonly #options: RuntimeLoaderOptions;
	/** Of the admin's layer, and what was discovered, by layer. */
	readonly #own = new Map<string, Map<string, RuntimeEntry>>();
	readonly #discovered = new Map<string, RuntimeEntries>();
	/** Discovered layers that were not heard of and are still waited for. */
	readonly #awaited = new Set<string>();
	readonly #warnedOf = new Set<string>();
	#layers: readonly LoadedLayer[] = [];
	#entries: RuntimeEntries = noRuntimeEntries;
	/** Of what is discovered, all layers together, as in Envoy. */
	readonly #updates = { init_fetch_timeout: 0, update_attempt: 0, update_failure: 0, update_rejected: 0, update_success: 0 };
	readonly #counts = { load_error: 0, load_success: 0, override_dir_exists: 0, override_dir_not_exists: 0, deprecated_feature_use: 0 };

	constructor(options: RuntimeLoaderOptions) {
		this.#options = options;
	}

	/** First load; then links are watched until `signal` aborts, and layers that do not come are waited for no longer than they say. */
	start(signal: AbortSignal): void {
		const { layers, logger } = this.#options;
		const links = new Set<string>();
		for (const layer of layers) {
			if (layer.kind === "disk") links.add(layer.link);
			if (layer.kind !== "discovered") continue;
			this.#await(layer.name, layer.source.initialFetchTimeoutMs, signal);
			// Of a stream the first request is one, too.
			if (layer.source.kind !== "file") this.#updates.update_attempt++;
		}
		const watchers: Pick<FSWatcher, "close">[] = [];
		signal.addEventListener("abort", () => watchers.forEach((watcher) => watcher.close()));
		this.load();
		for (const link of links) watchers.push(watchFolderWhenThere(dirname(link), () => this.load(), logger, basename(link)));
		// What changed before it was watched; Envoy loads twice, too.
		this.load();
	}

	#await(name: string, timeoutMs: number, signal: AbortSignal): void {
		this.#awaited.add(name);
		if (timeoutMs === 0) return;
		const timer = setTimeout(() => {
			if (!this.#awaited.delete(name)) return;
			this.#updates.init_fetch_timeout++;
			this.#options.logger.warn("initial fetch timed out", { type: "rtds", name });
			this.#publish();
		}, timeoutMs).unref();
		signal.addEventListener("abort", () => clearTimeout(timer));
	}

	/** As they were loaded last, in order. A folder that is not there is no layer. */
	get layers(): readonly LoadedLayer[] {
		return this.#layers;
	}

	/** Counters and gauges of `runtime.`. */
	stats(): { readonly counters: Readonly<Record<string, number>>; readonly gauges: Readonly<Record<string, number>> } {
		const isDiscovering = this.#options.layers.some(({ kind }) => kind === "discovered");
		const overrides = [...this.#own.values()].some((entries) => entries.size > 0);
		return {
			counters: isDiscovering ? { ...this.#counts, ...this.#updates } : this.#counts,
			gauges: {
				admin_overrides_active: Number(overrides),
				deprecated_feature_seen_since_process_start: 0,
				num_keys: this.#entries.size,
				num_layers: this.#layers.length,
			},
		};
	}

	/** Sets keys of the admin's layer; an empty value takes a key out. What is wrong is returned, and then nothing has changed. */
	modify(changes: ReadonlyMap<string, string>): string | undefined {
		const layer = this.#options.layers.find(({ kind }) => kind === "admin");
		if (layer === undefined) return "No admin layer specified";
		const own = new Map(this.#own.get(layer.name));
		try {
			for (const [key, text] of changes) {
				own.delete(key);
				if (text !== "") own.set(key, readRuntimeText(text));
			}
		} catch (error) {
			return (error as Error).message;
		}
		if (own.size > overridesMax) return `more than ${overridesMax} keys`;
		this.#own.set(layer.name, own);
		this.load();
		return undefined;
	}

	/** A resource came, or is gone (undefined). `source`: as in `ApplyFrom`. */
	discover(resource: string, source: ResourceSource | undefined, entries: RuntimeEntries | undefined): void {
		for (const layer of this.#layersOf(resource, source)) {
			this.#awaited.delete(layer.name);
			this.#countUpdate("update_success");
			this.#discovered.set(layer.name, entries ?? noRuntimeEntries);
		}
		this.load();
	}

	/** There is no such resource: nothing waits for it any longer. */
	giveUp(resource: string, source: ResourceSource | undefined): void {
		let isOver = false;
		for (const { name } of this.#layersOf(resource, source)) isOver = this.#awaited.delete(name) || isOver;
		if (isOver) this.#publish();
	}

	refuse(resource: string, source: ResourceSource | undefined): void {
		this.#countUpdate("update_rejected");
		// As Envoy counts: on a stream, the refusal is an attempt of its own.
		if (source?.kind !== "file") this.#updates.update_attempt++;
		this.giveUp(resource, source);
	}

	#layersOf(resource: string, source: ResourceSource | undefined): readonly RuntimeLayer[] {
		const id = source?.id ?? "";
		return this.#options.layers.filter((layer) => layer.kind === "discovered" && layer.resource === resource && layer.source.id === id);
	}

	#countUpdate(outcome: "update_success" | "update_rejected"): void {
		this.#updates.update_attempt++;
		this.#updates[outcome]++;
	}

	/** Reads all layers anew, files included. */
	load(): void {
		let [errors, folders] = [0, 0];
		const layers = this.#options.layers.flatMap((layer): readonly LoadedLayer[] => {
			if (layer.kind !== "disk") return [{ name: layer.name, entries: this.#entriesOf(layer) }];
			try {
				const entries = readDiskLayer(layer.folder);
				if (entries === undefined) return [];
				folders++;
				return [{ name: layer.name, entries }];
			} catch (error) {
				errors++;
				this.#options.logger.error("runtime layer could not be read", { layer: layer.name, folder: layer.folder, error });
				return [];
			}
		});
		this.#counts[errors === 0 ? "load_success" : "load_error"]++;
		this.#counts[folders > 1 ? "override_dir_exists" : "override_dir_not_exists"]++;
		this.#layers = layers;
		this.#entries = new Map(layers.flatMap(({ entries }) => [...entries]));
		this.#options.values.replace(this.#entries);
		this.#warnOfGuards();
		this.#publish();
	}

	#entriesOf(layer: Exclude<RuntimeLayer, { kind: "disk" }>): RuntimeEntries {
		if (layer.kind === "static") return layer.entries;
		return (layer.kind === "admin" ? this.#own : this.#discovered).get(layer.name) ?? noRuntimeEntries;
	}

	#publish(): void {
		const [awaited] = this.#awaited;
		this.#options.publish({ entries: this.#entries, awaited });
	}

	/** They switch between versions of Envoy's own code. */
	#warnOfGuards(): void {
		const keys = [...this.#entries.keys()].filter((key) => guards.test(key) && !this.#warnedOf.has(key));
		if (keys.length === 0 || this.#warnedOf.size + keys.length > warningsMax) return;
		for (const key of keys) this.#warnedOf.add(key);
		this.#options.logger.warn("these runtime keys have no effect here", { keys: keys.join(", ") });
	}
}
