import { type AnyConfig, type Diagnostic, diagnosticCodes, type ObjectRef } from "@weft/api";
import { isDeepEqual } from "./equality.ts";
import { refKey, refOf } from "./keys.ts";
import { sourcePrecedence } from "./precedence.ts";
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
	/** Who says so: one of `sources`, or any other name. */
	readonly source: string;
	readonly upsert: readonly AnyConfig[];
	readonly remove: readonly ObjectRef[];
}

export interface ApplyResult {
	readonly snapshot: StoreSnapshot;
	readonly changed: readonly ChangedObject[];
}

export interface Store {
	snapshot(): StoreSnapshot;
	/** All or nothing, in one step. */
	apply(batch: StoreBatch): ApplyResult;
	/** Makes `objects` all that `source` says. */
	replaceSource(source: string, objects: readonly AnyConfig[]): ApplyResult;
	/** What `source` says, whether in force or not. */
	objectsOf(source: string): readonly AnyConfig[];
	/** A warning for each object that is not in force since a source before its own defines it, too. The same array while they are the same. */
	conflicts(): readonly Diagnostic[];
	/** Called once an atomic change, after it is in force; not at all where nothing changed. Returns the way to stop. */
	subscribe(listener: (change: StoreChange) => void): () => void;
}

export interface StoreOptions {
	/** Sources in order of precedence; default `sourcePrecedence`. One that is not named here comes after these, in order of its first appearance. */
	readonly sources?: readonly string[];
	/** Called with all conflicts when they have changed. */
	readonly onConflicts?: (conflicts: readonly Diagnostic[]) => void;
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
	/** By key of the object. */
	readonly #contested = new Map<string, readonly Diagnostic[]>();
	#conflicts: readonly Diagnostic[] = [];
	readonly #onConflicts: NonNullable<StoreOptions["onConflicts"]>;
	#emitting = false;
	#tables: KindTables = new Map();
	#snapshot: StoreSnapshot = createSnapshot(0, this.#tables);

	constructor(options: StoreOptions) {
		for (const source of options.sources ?? sourcePrecedence) this.#sources.set(source, new Map());
		this.#onConflicts = options.onConflicts ?? (() => undefined);
	}

	snapshot(): StoreSnapshot {
		return this.#snapshot;
	}

	conflicts(): readonly Diagnostic[] {
		return this.#conflicts;
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
		const refs = new Map<string, ObjectRef>();
		for (const ref of batch.remove) {
			said.delete(refKey(ref));
			refs.set(refKey(ref), ref);
		}
		for (const object of batch.upsert) say(object, said, refs);
		return this.#commit(refs);
	}

	replaceSource(source: string, objects: readonly AnyConfig[]): ApplyResult {
		const said = this.#source(source);
		const refs = new Map<string, ObjectRef>();
		for (const [key, object] of said) refs.set(key, refOf(object));
		said.clear();
		for (const object of objects) say(object, said, refs);
		return this.#commit(refs);
	}

	#source(name: string): Map<string, AnyConfig> {
		const known = this.#sources.get(name);
		if (known) return known;
		const said = new Map<string, AnyConfig>();
		this.#sources.set(name, said);
		return said;
	}

	#commit(refs: ReadonlyMap<string, ObjectRef>): ApplyResult {
		const edits: TableEdit[] = [];
		const changed: ChangedObject[] = [];
		for (const [key, ref] of refs) {
			const { kind, namespace, name } = ref;
			// The object of a kind, whichever it is.
			const before = this.#snapshot.get(kind, namespace, name) as AnyConfig | undefined;
			const winner = this.#settle(key);
			const edit = toEdit(ref, before, winner);
			if (!edit) continue;
			edits.push(edit);
			changed.push({ kind, namespace, name, op: !winner ? "delete" : before ? "update" : "add" });
		}
		this.#tellConflicts();
		if (edits.length > 0) {
			this.#tables = changeTables(this.#tables, edits);
			this.#snapshot = createSnapshot(this.#snapshot.version + 1, this.#tables);
			changed.sort((a, b) => (refKey(a) < refKey(b) ? -1 : 1));
			this.#pending.push({ snapshot: this.#snapshot, changed });
			this.#emit();
		}
		return { snapshot: this.#snapshot, changed };
	}

	/** The object of the first source that defines it; notes the conflict where others do as well. */
	#settle(key: string): AnyConfig | undefined {
		let first: string | undefined;
		let winner: AnyConfig | undefined;
		const others: Diagnostic[] = [];
		for (const [source, said] of this.#sources) {
			const object = said.get(key);
			if (object === undefined) continue;
			if (first === undefined || winner === undefined) [first, winner] = [source, object];
			else others.push(shadowed(object, winner, [first, source]));
		}
		if (others.length > 0) this.#contested.set(key, others);
		else this.#contested.delete(key);
		return winner;
	}

	#tellConflicts(): void {
		const conflicts = [...this.#contested.values()].flat();
		if (isDeepEqual(conflicts, this.#conflicts)) return;
		this.#conflicts = conflicts;
		this.#onConflicts(conflicts);
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

/** Of what a source says: `refs` are those to look at. */
function say(object: AnyConfig, said: Map<string, AnyConfig>, refs: Map<string, ObjectRef>): void {
	const ref = refOf(object);
	const key = refKey(ref);
	said.set(key, object);
	refs.set(key, ref);
}

/** Undefined where nothing changes. Parts that are equal keep their identity, so what is memoised on them stays valid. */
function toEdit(ref: ObjectRef, before: AnyConfig | undefined, after: AnyConfig | undefined): TableEdit | undefined {
	if (!after) return before ? { ref } : undefined;
	if (!before) return { ref, object: after };
	const sameSpec = isDeepEqual(before.spec, after.spec);
	const sameMeta = isDeepEqual(before.metadata, after.metadata);
	const sameStatus = isDeepEqual(before.status, after.status);
	// Where the text stands is no content: a comment added above it changes nothing in the mesh.
	if (sameSpec && sameMeta && sameStatus && before.apiVersion === after.apiVersion) return undefined;
	// Same key means same kind, hence the parts of one fit the other.
	const object = { ...after, ...(sameSpec && { spec: before.spec }), ...(sameMeta && { metadata: before.metadata }) } as AnyConfig;
	return { ref, object };
}

function shadowed(mine: AnyConfig, winner: AnyConfig, [first, second]: readonly [string, string]): Diagnostic {
	const place = winner.origin ? ` (${winner.origin.file}:${winner.origin.line})` : "";
	return {
		severity: "warning",
		code: diagnosticCodes.duplicateObject,
		message: `defined by ${first} and ${second}; the one of ${first}${place} is in force; remove the other`,
		path: "",
		kind: mine.kind,
		name: mine.metadata.name,
		namespace: mine.metadata.namespace,
		...mine.origin,
	};
}
