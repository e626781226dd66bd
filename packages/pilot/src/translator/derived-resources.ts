import type { EncodedResource, Resources } from "./context.ts";

/** A set that is read through others: a map of its own for each proxy or each edit would be most of what these cost. */
abstract class DerivedResources implements Resources {
	abstract readonly size: number;
	abstract get(name: string): EncodedResource | undefined;
	abstract has(name: string): boolean;
	abstract values(): MapIterator<EncodedResource>;

	forEach(call: (resource: EncodedResource, name: string, map: Resources) => void): void {
		for (const [name, resource] of this) call(resource, name, this);
	}

	*entries(): MapIterator<[string, EncodedResource]> {
		for (const resource of this.values()) yield [resource.name, resource];
	}

	*keys(): MapIterator<string> {
		for (const { name } of this.values()) yield name;
	}

	[Symbol.iterator](): MapIterator<[string, EncodedResource]> {
		return this.entries();
	}
}

/** Two sorted sets as one: proxies of a class have most of their clusters in common. */
export class MergedResources extends DerivedResources {
	readonly size: number;
	readonly #many: Resources;
	readonly #few: Resources;

	/** No name is in both. */
	constructor(many: Resources, few: Resources) {
		super();
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

	*values(): MapIterator<EncodedResource> {
		const rest = [...this.#few.values()];
		for (const resource of this.#many.values()) {
			while (rest[0] !== undefined && rest[0].name < resource.name) yield rest.shift() as EncodedResource;
			yield resource;
		}
		yield* rest;
	}
}

/** With more than so many replaced, a map of all is made. */
const replacedMax = 64;

/** A set of which some resources are other ones by now: most edits of a route change one virtual host of a thousand. */
export class PatchedResources extends DerivedResources {
	readonly size: number;
	readonly #base: Resources;
	readonly #replaced: Resources;

	private constructor(base: Resources, replaced: Resources) {
		super();
		this.#base = base;
		this.#replaced = replaced;
		this.size = base.size;
	}

	/** Every name of `replacements` is in `before`, which may be patched itself. */
	static of(before: Resources, replacements: readonly EncodedResource[]): Resources {
		const base = before instanceof PatchedResources ? before.#base : before;
		const replaced = new Map(before instanceof PatchedResources ? before.#replaced : []);
		for (const resource of replacements) replaced.set(resource.name, resource);
		const patched = new PatchedResources(base, replaced);
		return replaced.size > replacedMax ? new Map(patched) : patched;
	}

	get(name: string): EncodedResource | undefined {
		return this.#replaced.get(name) ?? this.#base.get(name);
	}

	has(name: string): boolean {
		return this.#base.has(name);
	}

	*values(): MapIterator<EncodedResource> {
		for (const resource of this.#base.values()) yield this.#replaced.get(resource.name) ?? resource;
	}
}
