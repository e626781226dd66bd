import type { ServiceEndpoints } from "./endpoint-index.ts";

/** With more keys of its own than these, an index has a map of all. */
const ownMax = 64;

/**
 * Endpoints by service key, as far as they were asked for. Most changes are of one service among thousands, so an index shares with those
 * before it what was not touched since: whichever is asked first finds it out for all of them.
 */
export class KnownEndpoints {
	readonly #shared: Map<string, ServiceEndpoints>;
	/** Of keys that were touched since; undefined: not asked for yet. */
	readonly #own: Map<string, ServiceEndpoints | undefined>;

	constructor(shared: Map<string, ServiceEndpoints> = new Map(), own: Map<string, ServiceEndpoints | undefined> = new Map()) {
		this.#shared = shared;
		this.#own = own;
	}

	get(key: string): ServiceEndpoints | undefined {
		return this.#own.has(key) ? this.#own.get(key) : this.#shared.get(key);
	}

	set(key: string, endpoints: ServiceEndpoints): void {
		if (this.#own.has(key)) this.#own.set(key, endpoints);
		else this.#shared.set(key, endpoints);
	}

	/** For the next index, in which these may differ. */
	without(keys: ReadonlySet<string>): KnownEndpoints {
		const own = new Map(this.#own);
		for (const key of keys) own.set(key, undefined);
		return own.size <= ownMax ? new KnownEndpoints(this.#shared, own) : new KnownEndpoints(flatten(this.#shared, own));
	}
}

function flatten(shared: ReadonlyMap<string, ServiceEndpoints>, own: ReadonlyMap<string, ServiceEndpoints | undefined>): Map<string, ServiceEndpoints> {
	const all = new Map(shared);
	for (const [key, endpoints] of own) {
		if (endpoints === undefined) all.delete(key);
		else all.set(key, endpoints);
	}
	return all;
}
