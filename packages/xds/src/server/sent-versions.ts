import type { EncodedResource } from "./resource.ts";

const nothing: ReadonlyMap<string, EncodedResource> = new Map();

/** Versions in a client's hands, by name. What clients were sent whole is one map for all of them; a client's own is only what differs from it. */
export class SentVersions {
	#whole: ReadonlyMap<string, EncodedResource> = nothing;
	/** Undefined: not in its hands, although it is in the whole. */
	readonly #own = new Map<string, string | undefined>();

	get(name: string): string | undefined {
		const own = this.#own.get(name);
		return own !== undefined || this.#own.has(name) ? own : this.#whole.get(name)?.version;
	}

	has(name: string): boolean {
		return this.get(name) !== undefined;
	}

	/** Nothing was ever sent, or everything was taken away. */
	get isEmpty(): boolean {
		// Then all that is its own are names that were taken out of the whole.
		if (this.#own.size !== this.#whole.size) return false;
		for (const version of this.#own.values()) if (version !== undefined) return false;
		return true;
	}

	set(name: string, version: string): void {
		if (this.#whole.get(name)?.version === version) this.#own.delete(name);
		else this.#own.set(name, version);
	}

	delete(name: string): void {
		if (this.#whole.has(name)) this.#own.set(name, undefined);
		else this.#own.delete(name);
	}

	/** Everything in its hands is just this, and of `others` what is not in it; or will be when the response that is being made was sent. */
	replace(whole: ReadonlyMap<string, EncodedResource>, others: Iterable<string>): void {
		const kept = [...others].flatMap((name) => (whole.has(name) ? [] : [[name, this.get(name)] as const]));
		this.#whole = whole;
		this.#own.clear();
		for (const [name, version] of kept) if (version !== undefined) this.#own.set(name, version);
	}

	/** The whole holds its resources, and is let go where nobody will replace it. */
	release(): void {
		if (this.#whole.size === 0) return;
		for (const [name, { version }] of this.#whole) if (!this.#own.has(name)) this.#own.set(name, version);
		for (const [name, version] of this.#own) if (version === undefined) this.#own.delete(name);
		this.#whole = nothing;
	}

	*names(): Generator<string, void> {
		for (const name of this.#whole.keys()) if (!this.#own.has(name)) yield name;
		for (const [name, version] of this.#own) if (version !== undefined) yield name;
	}
}
