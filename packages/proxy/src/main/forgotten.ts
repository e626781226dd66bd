import type { ConfigStore } from "./config-store.ts";
import { referencesOfCluster, referencesOfListener } from "./references.ts";
import type { ResourceRecords } from "./resource-records.ts";
import { type NamedType, namedTypes, type WantedNames } from "./wanted-names.ts";

/**
 * Gives up what nothing refers to any more: endpoints, routes, virtual hosts and filters go with what refers to them; the protocol
 * has no removal of its own for them in state of the world. Waits for them may begin anew.
 */
export class Forgetting {
	readonly #store: ConfigStore;
	readonly #records: ResourceRecords;
	/** Secrets that were ever asked for and are not forgotten. */
	readonly #secrets = new Set<string>();

	constructor(store: ConfigStore, records: ResourceRecords) {
		this.#store = store;
		this.#records = records;
	}

	/** `isOwn`: secrets that this process has itself, which stay. */
	follow(names: WantedNames, isOwn: (key: string) => boolean): void {
		const { wanted } = this.#store;
		const gone = (type: NamedType, held: ReadonlyMap<string, unknown>) => [...held.keys()].filter((key) => !names[type].has(key));
		const assignments = gone("eds", wanted.assignments);
		const routes = gone("rds", wanted.routes);
		const forgottenTables = gone("vhds", wanted.virtualHosts);
		const extensions = gone("ecds", wanted.extensions);
		const secrets = this.#goneSecrets(names, isOwn);
		const forgetsScopes = wanted.scopes !== undefined && names.srds.size === 0;
		const scopes = forgetsScopes ? [...(wanted.scopes?.keys() ?? [])] : [];
		const hosts = forgottenTables.flatMap((table) => [...(wanted.virtualHosts.get(table)?.keys() ?? [])]);
		for (const [type, keys] of Object.entries({ eds: assignments, rds: routes, vhds: hosts, srds: scopes, ecds: extensions, sds: secrets }))
			for (const key of keys) this.#records.remove(type as NamedType, key);
		const awaited = [...wanted.expired].filter(
			(wait) => !namedTypes.some((type) => wait.startsWith(`${type}:`) && names[type].has(wait.slice(type.length + 1))),
		);
		if (!forgetsScopes && assignments.length + routes.length + forgottenTables.length + extensions.length + secrets.length + awaited.length === 0) return;
		const without = (remove: readonly string[]) => ({ upsert: [], remove });
		void this.#store.apply({
			assignments: without(assignments),
			routes: without(routes),
			extensions: without(extensions),
			secrets: without(secrets),
			forgottenTables,
			forgetsScopes,
			awaited,
		});
	}

	/** Keys of others' secrets are not kept longer than something in force uses them. */
	#goneSecrets({ sds }: WantedNames, isOwn: (key: string) => boolean): readonly string[] {
		for (const key of sds.keys()) if (!isOwn(key)) this.#secrets.add(key);
		if ([...this.#secrets].every((key) => sds.has(key))) return [];
		const { clusters, listeners } = this.#store.inForce;
		const used = new Set([
			...[...listeners.values()].flatMap((listener) => [...referencesOfListener(listener).secrets.keys()]),
			...[...clusters.values()].flatMap(({ cluster }) => [...referencesOfCluster(cluster).secrets.keys()]),
		]);
		const gone = [...this.#secrets].filter((key) => !sds.has(key) && !used.has(key));
		for (const key of gone) this.#secrets.delete(key);
		return gone;
	}
}
