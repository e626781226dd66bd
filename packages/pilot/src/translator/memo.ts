/**
 * Remembers what was built from objects (by identity) and a small text. Entries hang on the first object, weakly; the others
 * count by a number each, so an entry whose other objects are gone is never found again and goes with the first one.
 */
export interface Memo<V> {
	get(objects: readonly [object, ...object[]], key: string, build: () => V): V;
}

/** Entries under one first object (ports × subsets × features × identities seen); with more than that all are forgotten. */
const variantsMax = 512;

const ids = new WeakMap<object, number>();
let lastId = 0;

/** A number that no other object of this process has. */
export function identityOf(object: object): number {
	let id = ids.get(object);
	if (id === undefined) {
		id = ++lastId;
		ids.set(object, id);
	}
	return id;
}

export function createMemo<V>(): Memo<V> {
	const anchors = new WeakMap<object, Map<string, V>>();
	return {
		get(objects, key, build) {
			let values = anchors.get(objects[0]);
			if (!values) {
				values = new Map();
				anchors.set(objects[0], values);
			}
			let full = key;
			for (let i = 1; i < objects.length; i++) full += `|${identityOf(objects[i] as object)}`;
			const found = values.get(full);
			if (found !== undefined) return found;
			const value = build();
			if (values.size >= variantsMax) values.clear();
			values.set(full, value);
			return value;
		},
	};
}

/** Stands for "none" where a memo's tuple wants an object. */
export const none: object = Object.freeze({});
