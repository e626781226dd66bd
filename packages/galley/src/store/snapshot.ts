import { type AnyConfig, type ConfigObject, type Kind, kindNames } from "@weft/api";
import { compareNames, keyOf } from "./keys.ts";

/** An immutable view of all configuration at one moment. */
export interface StoreSnapshot {
	/** Grows by one with every change. */
	readonly version: number;
	/** Sorted by namespace, then name. The same array as before where nothing of this kind has changed. */
	all<K extends Kind>(kind: K): readonly ConfigObject<K>[];
	get<K extends Kind>(kind: K, namespace: string, name: string): ConfigObject<K> | undefined;
}

export interface KindTable {
	readonly byKey: ReadonlyMap<string, AnyConfig>;
	readonly sorted: readonly AnyConfig[];
}

const emptyTable: KindTable = { byKey: new Map(), sorted: [] };

export type KindTables = ReadonlyMap<Kind, KindTable>;

export function createSnapshot(version: number, tables: KindTables): StoreSnapshot {
	const table = (kind: Kind) => tables.get(kind) ?? emptyTable;
	return {
		version,
		// Each table holds the objects of one kind only (see changeTables), which the type of a Map cannot say.
		all: <K extends Kind>(kind: K) => table(kind).sorted as readonly ConfigObject<K>[],
		get: <K extends Kind>(kind: K, namespace: string, name: string) => table(kind).byKey.get(keyOf(kind, namespace, name)) as ConfigObject<K> | undefined,
	};
}

export interface TableEdit {
	readonly kind: Kind;
	readonly key: string;
	/** Absent: delete. */
	readonly object?: AnyConfig;
}

/** Copies only the tables of kinds that change. */
export function changeTables(tables: KindTables, edits: readonly TableEdit[]): KindTables {
	const next = new Map(tables);
	for (const kind of kindNames) {
		const mine = edits.filter((edit) => edit.kind === kind);
		if (mine.length > 0) next.set(kind, changeTable(tables.get(kind) ?? emptyTable, mine));
	}
	return next;
}

function changeTable(table: KindTable, edits: readonly TableEdit[]): KindTable {
	const byKey = new Map(table.byKey);
	let reordered = false;
	for (const { key, object } of edits) {
		if (object) {
			reordered ||= !byKey.has(key);
			byKey.set(key, object);
		} else {
			reordered = true;
			byKey.delete(key);
		}
	}
	if (reordered) return { byKey, sorted: [...byKey.values()].sort(compareNames) };
	// Most changes are updates: the order stays, so only places change.
	const sorted = [...table.sorted];
	for (const { object } of edits) if (object) sorted[indexOf(sorted, object)] = object;
	return { byKey, sorted };
}

function indexOf(sorted: readonly AnyConfig[], object: AnyConfig): number {
	let low = 0;
	let high = sorted.length - 1;
	while (low < high) {
		const middle = (low + high) >> 1;
		const at = sorted[middle];
		if (at !== undefined && compareNames(at, object) < 0) low = middle + 1;
		else high = middle;
	}
	return low;
}
