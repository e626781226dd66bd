import type { EncodedResource } from "./context.ts";

type Resources = ReadonlyMap<string, EncodedResource>;

/** Two sorted sets as one. Proxies of a class have most of their clusters in common, so that a map of all for each would be most of what it costs. */
export class MergedResources implements Resources {
	readonly #many: Resources;
	readonly #few: Resources;
	readonly size: number;

	/** No name is in both. */
	constructor(many: Resources, few: Resources) {
		this.#many = many;
		this.#few = few;
		this.size = many.size + few.size;
	}

	get(name: string): EncodedResource | undefined {
		return this.#few.get(name) ?? this.#many.get(name);
	}

	has(name: string): boolean {
		return this.#few.has(name) || this.#many.has(name);
	}

	forEach(call: (resource: EncodedResource, name: string, map: Resources) => void): void {
		for (const [name, resource] of this) call(resource, name, this);
	}

	*entries(): MapIterator<[string, EncodedResource]> {
		for (const resource of this.values()) yield [resource.name, resource];
	}

	*keys(): MapIterator<string> {
		for (const { name } of this.values()) yield name;
	}

	*values(): MapIterator<EncodedResource> {
		const rest = [...this.#few.values()];
		for (const resource of this.#many.values()) {
			while (rest[0] !== undefined && rest[0].name < resource.name) yield rest.shift() as EncodedResource;
			yield resource;
		}
		yield* rest;
	}

	[Symbol.iterator](): MapIterator<[string, EncodedResource]> {
		return this.entries();
	}
}
