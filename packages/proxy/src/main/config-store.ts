import type { Logger } from "@weft/runtime";
import { clusterInRuntime } from "../config/cluster-in-runtime.ts";
import type { DecodedCluster } from "../config/decode/index.ts";
import type { ExtensionConfig } from "../config/discovered-filters.ts";
import type { Cluster } from "../config/clusters.ts";
import type { ClusterHosts } from "../config/hosts.ts";
import type { Listener } from "../config/listeners.ts";
import type { RouteScope } from "../config/route-scopes.ts";
import type { RouteTable, VirtualHost } from "../config/routes.ts";
import type { Changes, ConfigUpdate, VirtualHostChanges } from "../config/runtime-config.ts";
import type { Secret } from "../config/tls.ts";
import { noRuntimeEntries, RuntimeValues } from "../config/runtime-values.ts";
import type { SlotAllocator } from "../config/shared-state.ts";
import type { ResourceError } from "../config/worker-messages.ts";
import { type InForce, nothingInForce, planNext, type Wanted } from "./config-plan.ts";
import { type DiscoveredHost, hostChanges, type HostsOfTable, tableOfHost } from "./discovered-hosts.ts";
import { KeptResources, type ResourcesBefore } from "./kept-resources.ts";
import type { RuntimeState } from "./runtime/runtime-loader.ts";
import { SlotTable } from "./slots.ts";
import { inlineTablesOf } from "./wanted-names.ts";

/** A change of what is wanted. Values replace what has the same name. */
export interface WantedChange {
	readonly listeners?: Changes<Listener>;
	readonly clusters?: Changes<DecodedCluster>;
	readonly assignments?: Changes<ClusterHosts>;
	readonly resolved?: Changes<ClusterHosts>;
	readonly routes?: Changes<RouteTable>;
	/** By their resource names, `table/host`. The bare name of a table in `remove`: it has none. */
	readonly virtualHosts?: Changes<DiscoveredHost>;
	/** Tables whose virtual hosts nobody asks for any more. */
	readonly forgottenTables?: readonly string[];
	readonly scopes?: Changes<RouteScope>;
	/** Nobody asks for scopes any more. */
	readonly forgetsScopes?: boolean;
	readonly secrets?: Changes<Secret>;
	/** What comes is no longer among what is waited for in vain. */
	readonly extensions?: Changes<ExtensionConfig>;
	readonly runtime?: RuntimeState;
	readonly expired?: readonly string[];
	/** Waits that may begin anew. */
	readonly awaited?: readonly string[];
}

export interface ConfigStoreOptions {
	/** Sends an update to every worker; resolves once all have it in force, with what they could not do. */
	readonly send: (update: ConfigUpdate) => Promise<readonly ResourceError[]>;
	readonly allocator: SlotAllocator;
	/** Active health checks: they see each update before the workers do and after, and may keep hosts that are gone. */
	readonly health?: HealthHooks;
	/** A change is in force in every worker, or there was nothing to do. */
	readonly onCommitted?: () => void;
	readonly logger: Logger;
}

export interface HealthHooks {
	prepare(update: ConfigUpdate): void;
	follow(update: ConfigUpdate): void;
	retain(cluster: Cluster, next: ClusterHosts, before: ClusterHosts | undefined): ClusterHosts;
	isWarm(cluster: string): boolean;
}

interface MutableWanted {
	listeners: Map<string, Listener>;
	clusters: Map<string, DecodedCluster>;
	assignments: Map<string, ClusterHosts>;
	resolved: Map<string, ClusterHosts>;
	routes: Map<string, RouteTable>;
	inlineTables: ReadonlyMap<string, RouteTable>;
	virtualHosts: Map<string, HostsOfTable>;
	scopes: Map<string, RouteScope> | undefined;
	secrets: Map<string, Secret>;
	extensions: Map<string, ExtensionConfig>;
	runtime: RuntimeState;
	expired: Set<string>;
}

/**
 * The one place that knows what is wanted and what is in force. Changes are gathered while an update is under way, so the
 * workers get one update at a time, and each is a whole: it takes them from one consistent configuration to the next.
 */
export class ConfigStore {
	readonly #options: ConfigStoreOptions;
	readonly #slots: SlotTable;
	readonly #wanted: MutableWanted = {
		listeners: new Map(),
		clusters: new Map(),
		assignments: new Map(),
		resolved: new Map(),
		routes: new Map(),
		inlineTables: new Map(),
		virtualHosts: new Map(),
		scopes: undefined,
		secrets: new Map(),
		extensions: new Map(),
		runtime: { entries: noRuntimeEntries, awaited: undefined },
		expired: new Set(),
	};
	#inForce: InForce = nothingInForce;
	#acknowledged: InForce = nothingInForce;
	/** With slots, as the workers have them. */
	readonly #clusters = new Map<string, Cluster>();
	readonly #kept = new KeptResources();
	readonly #runtime = new RuntimeValues();
	/** Clusters as the runtime has them; made anew with it. */
	#inRuntime = new WeakMap<Cluster, Cluster>();
	readonly #hosts = new Map<string, ClusterHosts>();
	/** Clusters whose hosts are to be decided about anew. */
	readonly #stale = new Set<string>();
	#waiting: ReadonlyMap<string, string> = new Map();
	/** The end of what is under way. */
	#turns: Promise<unknown> = Promise.resolve();
	/** Of all changes that wait. */
	#queued: Promise<readonly ResourceError[]> | undefined;
	#nextId = 1;
	readonly #counts = { clusters: createChangeCounts(), listeners: createChangeCounts() };

	constructor(options: ConfigStoreOptions) {
		this.#options = options;
		this.#slots = new SlotTable(options.allocator);
	}

	get wanted(): Wanted {
		return this.#wanted;
	}

	/** What changed since the start. */
	get counts(): { readonly clusters: ChangeCounts; readonly listeners: ChangeCounts } {
		return this.#counts;
	}

	get inForce(): InForce {
		return this.#inForce;
	}

	/** What every worker has said to have in force. */
	get acknowledged(): InForce {
		return this.#acknowledged;
	}

	get waiting(): ReadonlyMap<string, string> {
		return this.#waiting;
	}

	/** Hosts of a cluster in force, with their slots. */
	hostsOf(cluster: string): ClusterHosts | undefined {
		return this.#hosts.get(cluster);
	}

	/** With what the runtime says of it now. */
	clusterOf(name: string): Cluster | undefined {
		const cluster = this.#clusters.get(name);
		if (cluster === undefined || this.#runtime.isEmpty) return cluster;
		let known = this.#inRuntime.get(cluster);
		if (known === undefined) this.#inRuntime.set(cluster, (known = clusterInRuntime(cluster, this.#runtime)));
		return known;
	}

	clusterNames(): Iterable<string> {
		return this.#clusters.keys();
	}

	/** What the workers have in force, as one update. */
	#snapshot(): ConfigUpdate {
		const all = <T>(values: Iterable<T>): Changes<T> => ({ upsert: [...values], remove: [] });
		const { listeners, routes, scopes, secrets, extensions } = this.#inForce;
		return this.#kept.laidOver({
			id: this.#nextId++,
			listeners: all(listeners.values()),
			clusters: all(this.#clusters.values()),
			hosts: [...this.#hosts.values()],
			routes: all(routes.values()),
			virtualHosts: [],
			scopes: all(scopes.values()),
			extensions: all(extensions.values()),
			secrets: all(secrets.values()),
			runtime: this.#inForce.runtime,
		});
	}

	/** Resolves when all of this that can be in force is, with what the workers could not do. */
	apply(change: WantedChange): Promise<readonly ResourceError[]> {
		const { listeners, clusters, assignments, resolved, routes, virtualHosts, secrets, extensions } = this.#wanted;
		merge(listeners, change.listeners, (value) => value.name);
		merge(clusters, change.clusters, (value) => value.cluster.name);
		merge(assignments, change.assignments, (value) => value.cluster);
		merge(resolved, change.resolved, (value) => value.cluster);
		merge(routes, change.routes, (value) => value.name);
		mergeHosts(virtualHosts, change.virtualHosts);
		for (const table of change.forgottenTables ?? []) virtualHosts.delete(table);
		if (change.forgetsScopes === true) this.#wanted.scopes = undefined;
		if (change.scopes !== undefined) merge((this.#wanted.scopes ??= new Map()), change.scopes, (value) => value.name);
		merge(secrets, change.secrets, (value) => value.name);
		merge(extensions, change.extensions, (value) => value.name);
		if (change.listeners !== undefined || change.extensions !== undefined) this.#wanted.inlineTables = inlineTablesOf(this.#wanted);
		if (change.runtime !== undefined) this.#setRuntime(change.runtime);
		for (const { name } of change.extensions?.upsert ?? []) this.#wanted.expired.delete(`ecds:${name}`);
		for (const key of change.awaited ?? []) this.#wanted.expired.delete(key);
		for (const key of change.expired ?? []) this.#wanted.expired.add(key);
		this.#queued ??= this.#takeTurn(() => {
			this.#queued = undefined;
			return this.#commit();
		});
		return this.#queued;
	}

	#takeTurn<T>(act: () => T | Promise<T>): Promise<T> {
		const turn = this.#turns.then(act);
		this.#turns = turn.catch(() => undefined);
		return turn;
	}

	/** Calls `begin` with everything in force as one update, for a worker that starts late, while none is under way. */
	join(begin: (snapshot: ConfigUpdate) => void): Promise<void> {
		return this.#takeTurn(() => begin(this.#snapshot()));
	}

	#setRuntime(state: RuntimeState): void {
		this.#wanted.runtime = state;
		this.#runtime.replace(state.entries);
		this.#inRuntime = new WeakMap();
	}

	/** Decides anew who the hosts of a cluster are. */
	refreshHosts(cluster: string): void {
		this.#stale.add(cluster);
		void this.apply({});
	}

	async #commit(): Promise<readonly ResourceError[]> {
		const before = this.#inForce;
		const { next, waiting } = planNext(
			this.#wanted,
			before,
			({ name, healthChecks }) => healthChecks.length > 0 && this.#options.health?.isWarm(name) === false,
		);
		this.#waiting = waiting;
		const unused: number[] = [];
		const update = this.#diff(before, next, unused);
		this.#inForce = next;
		if (isEmpty(update)) {
			this.#options.onCommitted?.();
			return [];
		}
		this.#options.health?.prepare(update);
		const errors = await this.#options.send(update);
		this.#kept.follow(update, this.#resourcesOf(before), errors);
		this.#options.health?.follow(update);
		this.#slots.free(unused);
		for (const { resource, message } of errors) this.#options.logger.warn("a worker refused a resource", { resource, message });
		this.#acknowledged = next;
		this.#options.onCommitted?.();
		return errors;
	}

	#resourcesOf({ listeners, clusters, routes, extensions }: InForce): ResourcesBefore {
		return {
			listener: (name) => listeners.get(name),
			cluster: (name) => {
				const decoded = clusters.get(name);
				return decoded && this.#slots.withSlot(decoded.cluster);
			},
			table: (name) => routes.get(name),
			extension: (name) => extensions.get(name),
		};
	}

	#diff(before: InForce, next: InForce, unused: number[]): ConfigUpdate {
		const clusters = changes(before.clusters, next.clusters);
		const listeners = changes(before.listeners, next.listeners);
		countChanges(this.#counts.clusters, before.clusters, clusters, ({ cluster }) => cluster.name);
		countChanges(this.#counts.listeners, before.listeners, listeners, ({ name }) => name);
		const hosts: ClusterHosts[] = [];
		for (const [name, own] of next.hosts) {
			if (before.hosts.get(name) === own && !this.#stale.delete(name)) continue;
			const cluster = next.clusters.get(name)?.cluster;
			const kept = cluster && this.#options.health?.retain(cluster, own, this.#hosts.get(name));
			const placed = this.#slots.withHostSlots(kept ?? own);
			unused.push(...placed.unused);
			this.#hosts.set(name, placed.hosts);
			hosts.push(placed.hosts);
		}
		const upsert = clusters.upsert.map(({ cluster }) => {
			const placed = this.#slots.withSlot(cluster);
			this.#clusters.set(placed.name, placed);
			return placed;
		});
		for (const name of clusters.remove) {
			unused.push(...this.#slots.remove(name));
			this.#clusters.delete(name);
			this.#hosts.delete(name);
		}
		return {
			id: this.#nextId++,
			listeners,
			clusters: { upsert, remove: clusters.remove },
			hosts,
			...routeChanges(before.routes, next.routes),
			scopes: changes(before.scopes, next.scopes),
			extensions: changes(before.extensions, next.extensions),
			secrets: changes(before.secrets, next.secrets),
			...(next.runtime !== before.runtime && { runtime: next.runtime }),
		};
	}
}

function merge<T>(into: Map<string, T>, change: Changes<T> | undefined, nameOf: (value: T) => string): void {
	for (const name of change?.remove ?? []) into.delete(name);
	for (const value of change?.upsert ?? []) into.set(nameOf(value), value);
}

function mergeHosts(into: Map<string, HostsOfTable>, change: Changes<DiscoveredHost> | undefined): void {
	if (change === undefined) return;
	const fresh = new Map<string, Map<string, VirtualHost>>();
	const of = (table: string) => {
		let hosts = fresh.get(table);
		if (!hosts) fresh.set(table, (hosts = new Map(into.get(table))));
		return hosts;
	};
	for (const name of change.remove) {
		const table = tableOfHost(name);
		if (table === "") of(name);
		else of(table).delete(name);
	}
	for (const { name, host } of change.upsert) of(tableOfHost(name)).set(name, host);
	for (const [table, hosts] of fresh) into.set(table, hosts);
}

/** A table that differs in discovered virtual hosts alone is not sent again: the workers change those. */
function routeChanges(before: InForce["routes"], next: InForce["routes"]): Pick<ConfigUpdate, "routes" | "virtualHosts"> {
	const { upsert, remove } = changes(before, next);
	const whole: RouteTable[] = [];
	const virtualHosts: VirtualHostChanges[] = [];
	for (const table of upsert) {
		const hosts = hostChanges(before.get(table.name), table);
		if (hosts === undefined) whole.push(table);
		else virtualHosts.push({ table: table.name, ...hosts });
	}
	return { routes: { upsert: whole, remove }, virtualHosts };
}

function changes<T>(before: ReadonlyMap<string, T>, next: ReadonlyMap<string, T>): Changes<T> {
	const upsert = [...next].filter(([name, value]) => before.get(name) !== value).map(([, value]) => value);
	return { upsert, remove: [...before.keys()].filter((name) => !next.has(name)) };
}

export interface ChangeCounts {
	added: number;
	modified: number;
	removed: number;
}

function createChangeCounts(): ChangeCounts {
	return { added: 0, modified: 0, removed: 0 };
}

function countChanges<T>(counts: ChangeCounts, before: ReadonlyMap<string, T>, { upsert, remove }: Changes<T>, nameOf: (value: T) => string): void {
	for (const value of upsert) {
		if (before.has(nameOf(value))) counts.modified++;
		else counts.added++;
	}
	counts.removed += remove.length;
}

function isEmpty({ listeners, clusters, hosts, routes, scopes, virtualHosts, secrets, extensions, runtime }: ConfigUpdate): boolean {
	return (
		runtime === undefined &&
		hosts.length + virtualHosts.length === 0 &&
		[listeners, clusters, routes, scopes, secrets, extensions].every(({ upsert, remove }) => upsert.length + remove.length === 0)
	);
}
