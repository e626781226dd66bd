import type { HeadersView } from "./headers-view.ts";

/** Trailers as they came (lower-case name, value, name, value …), to be read by name. */
export class TrailersView implements HeadersView {
	readonly #pairs: readonly string[];

	constructor(pairs: readonly string[]) {
		this.#pairs = pairs;
	}

	get(name: string): string | undefined {
		let found: string | undefined;
		for (let i = 0; i < this.#pairs.length; i += 2) {
			if (this.#pairs[i] === name) found = found === undefined ? this.#pairs[i + 1] : `${found},${this.#pairs[i + 1]}`;
		}
		return found;
	}

	first(name: string): string | undefined {
		for (let i = 0; i < this.#pairs.length; i += 2) if (this.#pairs[i] === name) return this.#pairs[i + 1];
		return undefined;
	}

	has(name: string): boolean {
		return this.get(name) !== undefined;
	}
}
