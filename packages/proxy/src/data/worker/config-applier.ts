import type { ExtensionConfig, Extensions } from "../../config/discovered-filters.ts";
import type { ClusterHosts } from "../../config/hosts.ts";
import type { Changes, ConfigUpdate } from "../../config/runtime-config.ts";
import type { Secret } from "../../config/tls.ts";
import type { ResourceError } from "../../config/worker-messages.ts";
import type { ListenerManager } from "../listener/listener-manager.ts";
import { type CompiledRouteTable, compileRouteTable, changeVirtualHosts } from "../match/route-table.ts";
import { compileScopes } from "../match/scope-key.ts";
import { ClusterRuntime } from "../upstream/cluster-runtime.ts";
import type { WorkerContext } from "./context.ts";

const noHosts = (cluster: string): ClusterHosts => ({ cluster, overprovisioningFactor: undefined, priorities: [] });

/**
 * Applies updates one after the other: all of an update is compiled first, then one assignment puts it in force, then
 * new listeners are bound. What does not compile is reported and leaves what was there before.
 */
export class ConfigApplier {
	readonly #context: WorkerContext;
	readonly #listeners: ListenerManager;
	readonly #hosts = new Map<string, ClusterHosts>();
	#queue: Promise<unknown> = Promise.resolve();

	constructor(context: WorkerContext, listeners: ListenerManager) {
		this.#context = context;
		this.#listeners = listeners;
	}

	/** Resolves once the update is in force. */
	apply(update: ConfigUpdate): Promise<readonly ResourceError[]> {
		const done = this.#queue.then(() => this.#applyNow(update));
		this.#queue = done.catch(() => undefined);
		return done;
	}

	/** Resolves once all updates that have come are in force. */
	get settled(): Promise<unknown> {
		return this.#queue;
	}

	async #applyNow(update: ConfigUpdate): Promise<readonly ResourceError[]> {
		const errors: ResourceError[] = [];
		const { runtime, snapshot } = this.#context;
		if (update.runtime !== undefined) runtime.replace(update.runtime);
		const routes = compileRoutes(snapshot.routes, update, this.#context, errors);
		const scopes = compileScopes(snapshot.scopes, update.scopes, this.#context, (resource, message) => errors.push({ resource, message }));
		const secrets = mergeSecrets(snapshot.secrets, update);
		const { clusters, retired, changed } = this.#compileClusters(update, errors);
		const extensions = this.#replaceExtensions(update.extensions, errors);
		const listeners = this.#listeners.prepare(update.listeners, extensions, errors);
		// From here on nothing fails: the new configuration is in force at once and as a whole.
		this.#context.snapshot = { clusters, routes, scopes, secrets, extensions };
		if (update.runtime !== undefined) {
			for (const [name, cluster] of clusters) cluster.followRuntime(this.#hosts.get(name) ?? noHosts(name));
			this.#context.ceilings.follow();
		}
		for (const { cluster, hosts } of changed) cluster.updateHosts(hosts);
		if (update.secrets.upsert.length > 0 || update.secrets.remove.length > 0) {
			for (const cluster of clusters.values()) cluster.refreshTls();
			this.#listeners.refreshTls();
		}
		errors.push(...(await this.#listeners.activate(listeners)));
		for (const cluster of retired) cluster.remove();
		return errors;
	}

	/** Filters of listeners in force change where they stand; one that refuses its configuration keeps what it has. */
	#replaceExtensions({ upsert, remove }: Changes<ExtensionConfig>, errors: ResourceError[]): Extensions {
		if (upsert.length + remove.length === 0) return this.#context.snapshot.extensions;
		let extensions = new Map(this.#context.snapshot.extensions);
		const change = (name: string, extension: ExtensionConfig | undefined) => {
			const next = new Map(extensions);
			if (extension === undefined) next.delete(name);
			else next.set(name, extension);
			const wrong: string[] = [];
			this.#listeners.replaceFilter(name, next, wrong);
			if (wrong.length === 0) extensions = next;
			for (const message of new Set(wrong)) errors.push({ resource: name, message });
		};
		for (const extension of upsert) change(extension.name, extension);
		for (const name of remove) change(name, undefined);
		return extensions;
	}

	#compileClusters(update: ConfigUpdate, errors: ResourceError[]) {
		const clusters = new Map(this.#context.snapshot.clusters);
		const retired: ClusterRuntime[] = [];
		const changed: { readonly cluster: ClusterRuntime; readonly hosts: ClusterHosts }[] = [];
		for (const hosts of update.hosts) this.#hosts.set(hosts.cluster, hosts);
		const fresh = new Set<string>();
		for (const config of update.clusters.upsert) {
			const old = clusters.get(config.name);
			if (old !== undefined && JSON.stringify(old.config) === JSON.stringify(config)) continue;
			try {
				clusters.set(config.name, new ClusterRuntime(config, this.#hosts.get(config.name) ?? noHosts(config.name), this.#context));
				fresh.add(config.name);
				if (old !== undefined) retired.push(old);
			} catch (error) {
				errors.push({ resource: config.name, message: error instanceof Error ? error.message : String(error) });
			}
		}
		for (const name of update.clusters.remove) {
			const old = clusters.get(name);
			if (old !== undefined) retired.push(old);
			clusters.delete(name);
			this.#hosts.delete(name);
		}
		for (const hosts of update.hosts) {
			const cluster = clusters.get(hosts.cluster);
			if (cluster !== undefined && !fresh.has(hosts.cluster)) changed.push({ cluster, hosts });
		}
		return { clusters, retired, changed };
	}
}

function compileRoutes(
	known: ReadonlyMap<string, CompiledRouteTable>,
	update: ConfigUpdate,
	context: WorkerContext,
	errors: ResourceError[],
): ReadonlyMap<string, CompiledRouteTable> {
	if (update.routes.upsert.length + update.routes.remove.length + update.virtualHosts.length === 0) return known;
	const routes = new Map(known);
	for (const table of update.routes.upsert) {
		const compiled = compileRouteTable(table, context);
		if (compiled.errors.length === 0) routes.set(table.name, compiled.value);
		else errors.push(...compiled.errors.map((message) => ({ resource: table.name, message })));
	}
	for (const change of update.virtualHosts) {
		const table = routes.get(change.table);
		if (table === undefined) continue;
		const { value, refused } = changeVirtualHosts(table, change, context);
		routes.set(change.table, value);
		errors.push(...refused.map(({ name, message }) => ({ resource: `${change.table}/${name}`, message })));
	}
	for (const name of update.routes.remove) routes.delete(name);
	return routes;
}

function mergeSecrets(known: ReadonlyMap<string, Secret>, update: ConfigUpdate): ReadonlyMap<string, Secret> {
	if (update.secrets.upsert.length === 0 && update.secrets.remove.length === 0) return known;
	const secrets = new Map(known);
	for (const secret of update.secrets.upsert) secrets.set(secret.name, secret);
	for (const name of update.secrets.remove) secrets.delete(name);
	return secrets;
}
