import { type AnyConfig, type Diagnostic, diagnosticCodes, type Kind, type ObjectRef } from "@weft/api";
import { isDeepEqual } from "./equality.ts";
import { objectKey, refKey } from "./keys.ts";
import { changeTables, createSnapshot, type KindTables, type StoreSnapshot, type TableEdit } from "./snapshot.ts";

export interface ChangedObject extends ObjectRef {
	readonly op: "add" | "update" | "delete";
}

/** One atomic change of the store. */
export interface StoreChange {
	readonly snapshot: StoreSnapshot;
	/** Never empty. Sorted by kind, namespace, name. */
	readonly changed: readonly ChangedObject[];
}

export interface StoreBatch {
	/** Who says so: `apply`, `dir:/etc/weft`, `kube` … */
	readonly source: string;
	readonly upsert: readonly AnyConfig[];
	readonly remove: readonly ObjectRef[];
}

export interface ApplyResult {
	readonly snapshot: StoreSnapshot;
	readonly changed: readonly ChangedObject[];
	/** A warning for each object that another source defines, too. */
	readonly diagnostics: readonly Diagnostic[];
}

export interface Store {
	snapshot(): StoreSnapshot;
	/** All or nothing, in one step. */
	apply(batch: StoreBatch): ApplyResult;
	/** Makes `objects` all that `source` says. */
	replaceSource(source: string, objects: readonly AnyConfig[]): ApplyResult;
	/** What `source` says, whether in force or not. */
	objectsOf(source: string): readonly AnyConfig[];
	/** Called once an atomic change, after it is in force; not at all where nothing changed. Returns the way to stop. */
	subscribe(listener: (change: StoreChange) => void): () => void;
}

export interface StoreOptions {
	/** Sources in order of precedence. One that is not named here comes after these, in order of its first appearance. */
	readonly sources?: readonly string[];
}

/** The store of all configuration. One writer at a time: calls are synchronous. */
export function createStore(options: StoreOptions = {}): Store {
	return new ConfigStore(options);
}

class ConfigStore implements Store {
	/** In order of precedence: where two sources define one object, the first in this order is in force. */
	readonly #sources = new Map<string, Map<string, AnyConfig>>();
	readonly #listeners = new Set<(change: StoreChange) => void>();
	readonly #pending: StoreChange[] = [];
	#emitting = false;
	#tables: KindTables = new Map();
	#snapshot: StoreSnapshot = createSnapshot(0, this.#tables);

	constructor(options: StoreOptions) {
		for (const source of options.sources ?? []) this.#sources.set(source, new Map());
	}

	snapshot(): StoreSnapshot {
		return this.#snapshot;
	}

	objectsOf(source: string): readonly AnyConfig[] {
		return [...(this.#sources.get(source)?.values() ?? [])];
	}

	subscribe(listener: (change: StoreChange) => void): () => void {
		this.#listeners.add(listener);
		return () => void this.#listeners.delete(listener);
	}

	apply(batch: StoreBatch): ApplyResult {
		const said = this.#source(batch.source);
		const refs = new Map<string, Kind>();
		for (const ref of batch.remove) {
			said.delete(refKey(ref));
			refs.set(refKey(ref), ref.kind);
		}
		for (const object of batch.upsert) {
			said.set(objectKey(object), object);
			refs.set(objectKey(object), object.kind);
		}
		return this.#commit(batch.source, refs);
	}

	replaceSource(source: string, objects: readonly AnyConfig[]): ApplyResult {
		const said = this.#source(source);
		const refs = new Map<string, Kind>();
		for (const [key, object] of said) refs.set(key, object.kind);
		said.clear();
		for (const object of objects) {
			said.set(objectKey(object), object);
			refs.set(objectKey(object), object.kind);
		}
		return this.#commit(source, refs);
	}

	#source(name: string): Map<string, AnyConfig> {
		const known = this.#sources.get(name);
		if (known) return known;
		const said = new Map<string, AnyConfig>();
		this.#sources.set(name, said);
		return said;
	}

	#commit(source: string, refs: ReadonlyMap<string, Kind>): ApplyResult {
		const edits: TableEdit[] = [];
		const changed: ChangedObject[] = [];
		const diagnostics: Diagnostic[] = [];
		for (const [key, kind] of refs) {
			const before = this.#tables.get(kind)?.byKey.get(key);
			const definitions = [...this.#sources].filter(([, said]) => said.has(key));
			const winner = definitions[0]?.[1].get(key);
			const mine = this.#sources.get(source)?.get(key);
			if (mine && winner && definitions.length > 1)
				diagnostics.push(
					shadowed(
						mine,
						winner,
						definitions.map(([name]) => name),
					),
				);
			const edit = toEdit(kind, key, before, winner);
			if (!edit) continue;
			edits.push(edit);
			const { namespace, name } = (winner ?? before ?? edit.object)?.metadata ?? { namespace: "", name: "" };
			changed.push({ kind, namespace, name, op: !winner ? "delete" : before ? "update" : "add" });
		}
		if (edits.length > 0) {
			this.#tables = changeTables(this.#tables, edits);
			this.#snapshot = createSnapshot(this.#snapshot.version + 1, this.#tables);
			changed.sort((a, b) => (refKey(a) < refKey(b) ? -1 : 1));
			this.#pending.push({ snapshot: this.#snapshot, changed });
			this.#emit();
		}
		return { snapshot: this.#snapshot, changed, diagnostics };
	}

	/** A listener may apply in turn; its change waits, so that everyone sees all changes in order. */
	#emit(): void {
		if (this.#emitting) return;
		this.#emitting = true;
		const failures: unknown[] = [];
		try {
			for (let change = this.#pending.shift(); change !== undefined; change = this.#pending.shift()) {
				for (const listener of [...this.#listeners]) {
					try {
						listener(change);
					} catch (error) {
						failures.push(error);
					}
				}
			}
		} finally {
			this.#emitting = false;
		}
		if (failures.length > 0) throw new AggregateError(failures, "a store listener failed");
	}
}

/** Undefined where nothing changes. Parts that are equal keep their identity, so what is memoised on them stays valid. */
function toEdit(kind: Kind, key: string, before: AnyConfig | undefined, after: AnyConfig | undefined): TableEdit | undefined {
	if (!after) return before ? { kind, key } : undefined;
	if (!before) return { kind, key, object: after };
	const sameSpec = isDeepEqual(before.spec, after.spec);
	const sameMeta = isDeepEqual(before.metadata, after.metadata);
	const sameStatus = isDeepEqual(before.status, after.status);
	// Where the text stands is no content: a comment added above it changes nothing in the mesh.
	if (sameSpec && sameMeta && sameStatus && before.apiVersion === after.apiVersion) return undefined;
	// Same key means same kind, hence the parts of one fit the other.
	const object = { ...after, ...(sameSpec && { spec: before.spec }), ...(sameMeta && { metadata: before.metadata }) } as AnyConfig;
	return { kind, key, object };
}

function shadowed(mine: AnyConfig, winner: AnyConfig, sources: readonly string[]): Diagnostic {
	const place = winner.origin ? ` (${winner.origin.file}:${winner.origin.line})` : "";
	return {
		severity: "warning",
		code: diagnosticCodes.duplicateObject,
		message: `defined by ${sources.join(" and ")}; the one of ${sources[0]}${place} is in force; remove the other`,
		path: "",
		kind: mine.kind,
		name: mine.metadata.name,
		namespace: mine.metadata.namespace,
		...mine.origin,
	};
}
