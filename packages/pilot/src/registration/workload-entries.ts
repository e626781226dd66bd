import type { ConfigObject, WorkloadEntrySpec } from "@weft/api";
import { sources, type Store } from "@weft/galley";
import { conditionsOf, type EntryCondition } from "../model/entry-registration.ts";

export type WorkloadEntry = ConfigObject<"WorkloadEntry">;

export interface EntryRef {
	readonly namespace: string;
	readonly name: string;
}

/** An entry as it is now where entries are kept, which may be newer than what the mesh has been told. */
export interface StoredEntry {
	readonly annotations: Readonly<Record<string, string>>;
	readonly spec: WorkloadEntrySpec;
	readonly conditions: readonly Partial<EntryCondition>[];
	/** Names this very state. */
	readonly revision: string;
}

/** Somebody else has changed the entry meanwhile: read it again. */
export class EntryChangedError extends Error {
	constructor({ namespace, name }: EntryRef) {
		super(`WorkloadEntry ${namespace}/${name} has changed`);
	}
}

/**
 * Where the WorkloadEntries of registered workloads are kept: the API server in a cluster, the store itself elsewhere.
 * Methods that are given a revision reject with EntryChangedError where it is not the present one; all reject with what the
 * place says where it does not answer. An entry that is not there is no error to whoever changes or removes it.
 */
export interface WorkloadEntries {
	read(ref: EntryRef): Promise<StoredEntry | undefined>;
	/** False where there is one of this name already. */
	create(entry: WorkloadEntry): Promise<boolean>;
	/** Annotations that are `null` are taken away. With a spec it takes the place of the present one, and its labels those of the object. */
	change(ref: EntryRef, revision: string, annotations: Readonly<Record<string, string | null>>, spec?: WorkloadEntrySpec): Promise<void>;
	/** These become all of the entry's conditions. */
	setConditions(ref: EntryRef, conditions: readonly EntryCondition[]): Promise<void>;
	/** That it was heard of, RFC 3339. False where it is not there. The mesh is told nothing of it. */
	heartbeat(ref: EntryRef, at: string): Promise<boolean>;
	/** RFC 3339; undefined where there is no entry, or no heartbeat of it. */
	lastHeartbeat(ref: EntryRef): Promise<string | undefined>;
	remove(ref: EntryRef, revision: string): Promise<void>;
}

/** Entries in the store alone: they live as long as the process, and whoever registered them comes again. */
export function createStoreEntries(store: Store): WorkloadEntries {
	const kept = new Map<string, { readonly entry: WorkloadEntry; readonly revision: string }>();
	const heartbeats = new Map<string, string>();
	let revisions = 0;
	const put = (entry: WorkloadEntry) => {
		kept.set(keyOf(entry.metadata), { entry, revision: String(++revisions) });
		store.apply({ source: sources.registrations, upsert: [entry], remove: [] });
	};
	const present = (ref: EntryRef, revision: string) => {
		const found = kept.get(keyOf(ref));
		if (found && found.revision !== revision) throw new EntryChangedError(ref);
		return found?.entry;
	};
	return {
		async read(ref) {
			const found = kept.get(keyOf(ref));
			if (!found) return undefined;
			const { entry, revision } = found;
			return { annotations: entry.metadata.annotations, spec: entry.spec, conditions: conditionsOf(entry), revision };
		},
		async create(entry) {
			if (kept.has(keyOf(entry.metadata))) return false;
			put(entry);
			return true;
		},
		async change(ref, revision, annotations, spec) {
			const entry = present(ref, revision);
			if (!entry) return;
			const merged = Object.entries({ ...entry.metadata.annotations, ...annotations }).filter((pair): pair is [string, string] => pair[1] !== null);
			const metadata = { ...entry.metadata, annotations: Object.fromEntries(merged), ...(spec && { labels: spec.labels ?? {} }) };
			put({ ...entry, metadata, spec: spec ?? entry.spec });
		},
		async setConditions(ref, conditions) {
			const entry = kept.get(keyOf(ref))?.entry;
			if (entry) put({ ...entry, status: { conditions } });
		},
		async heartbeat(ref, at) {
			if (!kept.has(keyOf(ref))) return false;
			heartbeats.set(keyOf(ref), at);
			return true;
		},
		lastHeartbeat: async (ref) => heartbeats.get(keyOf(ref)),
		async remove(ref, revision) {
			if (!present(ref, revision)) return;
			kept.delete(keyOf(ref));
			heartbeats.delete(keyOf(ref));
			store.apply({ source: sources.registrations, upsert: [], remove: [{ kind: "WorkloadEntry", ...refOf(ref) }] });
		},
	};
}

/** `namespace/name`. */
export const keyOf = ({ namespace, name }: EntryRef): string => `${namespace}/${name}`;

const refOf = ({ namespace, name }: EntryRef): EntryRef => ({ namespace, name });
