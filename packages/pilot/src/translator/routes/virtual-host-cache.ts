/** Encoded virtual hosts, kept as long as the object they come from lives. */
export interface VirtualHostCache {
	readonly stats: VirtualHostStats;
	/**
	 * @param anchor the VirtualService or service; entries go with it
	 * @param key what tells this virtual host from others of the same anchor
	 * @param dependencies compared by identity
	 */
	get(anchor: object, key: string, dependencies: readonly unknown[], build: () => Uint8Array | undefined): Uint8Array | undefined;
}

export interface VirtualHostStats {
	builds: number;
	hits: number;
}

interface Entry {
	readonly dependencies: readonly unknown[];
	readonly bytes: Uint8Array | undefined;
}

/** Clients with different DestinationRules for one host share a key; more than a few such variants are not worth keeping. */
const variantsMax = 4;
/** Keys of one anchor: ports × client namespaces seen; a wildcard VirtualService may speak for many hosts. */
const keysMax = 4096;

export function createVirtualHostCache(): VirtualHostCache {
	const anchors = new WeakMap<object, Map<string, Entry[]>>();
	const stats: VirtualHostStats = { builds: 0, hits: 0 };
	return {
		stats,
		get: (anchor, key, dependencies, build) => {
			const entries = entriesOf(anchors, anchor, key);
			const known = entries.find((entry) => sameDependencies(entry.dependencies, dependencies));
			if (known) {
				stats.hits++;
				return known.bytes;
			}
			stats.builds++;
			const bytes = build();
			if (entries.length >= variantsMax) entries.shift();
			entries.push({ dependencies, bytes });
			return bytes;
		},
	};
}

function entriesOf(anchors: WeakMap<object, Map<string, Entry[]>>, anchor: object, key: string): Entry[] {
	let keys = anchors.get(anchor);
	if (keys === undefined) {
		keys = new Map();
		anchors.set(anchor, keys);
	}
	let entries = keys.get(key);
	if (entries === undefined) {
		if (keys.size >= keysMax) keys.clear();
		entries = [];
		keys.set(key, entries);
	}
	return entries;
}

function sameDependencies(a: readonly unknown[], b: readonly unknown[]): boolean {
	return a.length === b.length && a.every((value, index) => value === b[index]);
}
