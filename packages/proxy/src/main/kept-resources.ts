import type { Cluster } from "../config/clusters.ts";
import type { ExtensionConfig } from "../config/discovered-filters.ts";
import type { Listener } from "../config/listeners.ts";
import type { RouteTable, VirtualHost } from "../config/routes.ts";
import type { Changes, ConfigUpdate } from "../config/runtime-config.ts";
import type { ResourceError } from "../config/worker-messages.ts";

/** What there was before an update, by name. */
export interface ResourcesBefore {
	readonly listener: (name: string) => Listener | undefined;
	readonly cluster: (name: string) => Cluster | undefined;
	readonly table: (name: string) => RouteTable | undefined;
	readonly extension: (name: string) => ExtensionConfig | undefined;
}

/** undefined: they have none. */
type Kept<T> = Map<string, T | undefined>;

/**
 * What workers go on with in place of what they refused: one that comes later is to have the same, and could not take what
 * they did not. Empty as long as nothing is refused.
 */
export class KeptResources {
	readonly #listeners: Kept<Listener> = new Map();
	readonly #clusters: Kept<Cluster> = new Map();
	readonly #tables: Kept<RouteTable> = new Map();
	/** By `table/host`. */
	readonly #hosts: Kept<VirtualHost> = new Map();
	readonly #extensions: Kept<ExtensionConfig> = new Map();

	/** The workers have answered the update. */
	follow(update: ConfigUpdate, before: ResourcesBefore, errors: readonly ResourceError[]): void {
		const refused = new Set(errors.filter(({ isUnbound }) => isUnbound !== true).map(({ resource }) => resource));
		if (refused.size === 0 && this.#isEmpty) return;
		follow(this.#listeners, update.listeners, before.listener, refused);
		follow(this.#clusters, update.clusters, before.cluster, refused);
		follow(this.#extensions, update.extensions, before.extension, refused);
		const tableBefore = (name: string) => {
			const table = before.table(name);
			return table && this.#withKeptHosts(table);
		};
		follow(this.#tables, update.routes, tableBefore, refused);
		for (const name of [...update.routes.upsert.map((table) => table.name), ...update.routes.remove]) {
			for (const key of this.#hosts.keys()) if (key.startsWith(`${name}/`)) this.#hosts.delete(key);
		}
		for (const { table, upsert, remove } of update.virtualHosts) {
			const hostBefore = (name: string) => before.table(table)?.virtualHosts.find((host) => host.name === name);
			follow(this.#hosts, { upsert, remove }, hostBefore, refused, `${table}/`);
		}
	}

	get #isEmpty(): boolean {
		return [this.#listeners, this.#clusters, this.#tables, this.#hosts, this.#extensions].every(({ size }) => size === 0);
	}

	/** Everything in force, as the workers have it. */
	laidOver(snapshot: ConfigUpdate): ConfigUpdate {
		if (this.#isEmpty) return snapshot;
		const over = <T extends { readonly name: string }>(kept: Kept<T>, { upsert, remove }: Changes<T>) => ({ upsert: inPlace(kept, upsert), remove });
		const { listeners, clusters, routes, extensions } = snapshot;
		const tables = { ...routes, upsert: routes.upsert.map((table) => this.#withKeptHosts(table)) };
		return {
			...snapshot,
			listeners: over(this.#listeners, listeners),
			clusters: over(this.#clusters, clusters),
			routes: over(this.#tables, tables),
			extensions: over(this.#extensions, extensions),
		};
	}

	#withKeptHosts(table: RouteTable): RouteTable {
		if (this.#hosts.size === 0) return table;
		return { ...table, virtualHosts: inPlace(this.#hosts, table.virtualHosts, `${table.name}/`) };
	}
}

function follow<T extends { readonly name: string }>(
	kept: Kept<T>,
	{ upsert, remove }: Changes<T>,
	before: (name: string) => T | undefined,
	refused: ReadonlySet<string>,
	prefix = "",
): void {
	for (const name of remove) kept.delete(prefix + name);
	for (const { name } of upsert) {
		const key = prefix + name;
		if (!refused.has(key)) kept.delete(key);
		else if (!kept.has(key)) kept.set(key, before(name));
	}
}

function inPlace<T extends { readonly name: string }>(kept: Kept<T>, values: readonly T[], prefix = ""): readonly T[] {
	return values.flatMap((value) => {
		const key = prefix + value.name;
		if (!kept.has(key)) return [value];
		const own = kept.get(key);
		return own === undefined ? [] : [own];
	});
}
