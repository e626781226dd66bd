import type { AnyConfig, ConfigObject, Kind, ObjectRef } from "@weft/api";
import { compareNames, refKey } from "./keys.ts";

/** An immutable view of all configuration at one moment. */
export interface StoreSnapshot {
	/** Grows by one with every change. */
	readonly version: number;
	/** Sorted by namespace, then name. The same array as before where nothing of this kind has changed. */
	all<K extends Kind>(kind: K): readonly ConfigObject<K>[];
	get<K extends Kind>(kind: K, namespace: string, name: string): ConfigObject<K> | undefined;
}

/** Of each kind its objects, sorted by namespace, then name. */
export type KindTables = ReadonlyMap<Kind, readonly AnyConfig[]>;

/** One for all, so that a kind without objects has the same list in every snapshot. */
const noObjects: readonly AnyConfig[] = [];

export function createSnapshot(version: number, tables: KindTables): StoreSnapshot {
	const table = (kind: Kind) => tables.get(kind) ?? noObjects;
	return {
		version,
		// Each table holds the objects of one kind only (see changeTables), which the type of a Map cannot say.
		all: <K extends Kind>(kind: K) => table(kind) as readonly ConfigObject<K>[],
		get: <K extends Kind>(kind: K, namespace: string, name: string) => {
			const place = placeOf(table(kind), namespace, name);
			return (place < 0 ? undefined : table(kind)[place]) as ConfigObject<K> | undefined;
		},
	};
}

export interface TableEdit {
	readonly ref: ObjectRef;
	/** Absent: delete. */
	readonly object?: AnyConfig;
}

/** Copies only the tables of kinds that change. Of two edits of one object the last counts. */
export function changeTables(tables: KindTables, edits: readonly TableEdit[]): KindTables {
	const next = new Map(tables);
	for (const [kind, mine] of Map.groupBy(edits, ({ ref }) => ref.kind)) next.set(kind, changeTable(tables.get(kind) ?? noObjects, mine));
	return next;
}

function changeTable(table: readonly AnyConfig[], edits: readonly TableEdit[]): readonly AnyConfig[] {
	const changed: (AnyConfig | undefined)[] = [...table];
	const added = new Map<string, AnyConfig>();
	for (const { ref, object } of edits) {
		const place = placeOf(table, ref.namespace, ref.name);
		if (place >= 0) changed[place] = object;
		else if (object) added.set(refKey(ref), object);
		else added.delete(refKey(ref));
	}
	const kept = changed.filter((object) => object !== undefined);
	// Most changes are updates: the order stays.
	return added.size === 0 ? kept : [...kept, ...added.values()].sort(compareNames);
}

/** -1: not there. */
function placeOf(sorted: readonly AnyConfig[], namespace: string, name: string): number {
	const wanted = { metadata: { namespace, name } };
	let low = 0;
	let high = sorted.length - 1;
	while (low <= high) {
		const middle = (low + high) >> 1;
		const order = compareNames(sorted[middle] as AnyConfig, wanted);
		if (order === 0) return middle;
		if (order < 0) low = middle + 1;
		else high = middle - 1;
	}
	return -1;
}
