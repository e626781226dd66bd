/**
 * Remembers what was built from objects (by identity) and a small text. Chained WeakMaps: an entry lives no longer than any of
 * its objects, so stale input never needs to be cleared.
 */
export interface Memo<V> {
	get(objects: readonly object[], key: string, build: () => V): V;
}

/** Variants by text under one tuple of objects (subset × features × identities seen); more than that and all are forgotten. */
const variantsMax = 512;

interface Level<V> {
	readonly next: WeakMap<object, Level<V>>;
	readonly values: Map<string, V>;
}

const createLevel = <V>(): Level<V> => ({ next: new WeakMap(), values: new Map() });

export function createMemo<V>(): Memo<V> {
	const root = createLevel<V>();
	return {
		get(objects, key, build) {
			let level = root;
			for (const object of objects) {
				let next = level.next.get(object);
				if (!next) {
					next = createLevel();
					level.next.set(object, next);
				}
				level = next;
			}
			const found = level.values.get(key);
			if (found !== undefined) return found;
			const value = build();
			if (level.values.size >= variantsMax) level.values.clear();
			level.values.set(key, value);
			return value;
		},
	};
}

/** Stands for "none" where a memo's tuple wants an object. */
export const none: object = Object.freeze({});
