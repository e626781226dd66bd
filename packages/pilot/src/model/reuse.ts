/**
 * Keeps what was derived from inputs as long as those very inputs come again, so that a new snapshot shares the identity of
 * everything that did not change. It outlives snapshots; an entry not asked for in some number of runs of its step is dropped.
 */
export interface Reuse<V> {
	get(key: string, inputs: readonly unknown[], build: () => V): V;
	/** What `get` would not have to build. */
	find(key: string, inputs: readonly unknown[]): V | undefined;
	/** As `get`, and other inputs that say the same by `signature` keep the value as well. */
	getAlike(key: string, inputs: readonly unknown[], signature: () => string, build: () => V): V;
	/** Called once before each run of the step that uses this store. */
	advance(): void;
}

interface Entry<V> {
	inputs: readonly unknown[];
	readonly signature: string;
	readonly value: V;
	usedIn: number;
}

/** @param generationsMax runs after which an entry that nobody asks for is dropped */
export function createReuse<V>(generationsMax = 8): Reuse<V> {
	const entries = new Map<string, Entry<V>>();
	let generation = 0;
	const hit = (entry: Entry<V>): V => {
		entry.usedIn = generation;
		return entry.value;
	};
	const make = (key: string, inputs: readonly unknown[], signature: string, build: () => V): V => {
		const value = build();
		entries.set(key, { inputs, signature, value, usedIn: generation });
		return value;
	};
	return {
		get(key, inputs, build) {
			const found = entries.get(key);
			return found && sameItems(found.inputs, inputs) ? hit(found) : make(key, inputs, "", build);
		},
		find(key, inputs) {
			const found = entries.get(key);
			return found && sameItems(found.inputs, inputs) ? hit(found) : undefined;
		},
		getAlike(key, inputs, signature, build) {
			const found = entries.get(key);
			if (found && sameItems(found.inputs, inputs)) return hit(found);
			const text = signature();
			if (found?.signature !== text) return make(key, inputs, text, build);
			found.inputs = inputs;
			return hit(found);
		},
		advance() {
			generation++;
			for (const [key, entry] of entries) if (generation - entry.usedIn > generationsMax) entries.delete(key);
		},
	};
}

export function sameItems(a: readonly unknown[], b: readonly unknown[]): boolean {
	if (a === b) return true;
	if (a.length !== b.length) return false;
	for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
	return true;
}
