import type { Fraction } from "./matchers.ts";

/** One value of Envoy's runtime, in every form that somebody may read it in; a form that is absent does not count. */
export interface RuntimeEntry {
	/** As `/runtime` shows it. */
	readonly text: string;
	/** Whole and not negative. */
	readonly integer?: number;
	readonly number?: number;
	readonly flag?: boolean;
	/** An integer is a percentage. */
	readonly share?: Fraction;
}

/** A switch. */
export interface RuntimeFlag {
	readonly value: boolean;
	/** Where the runtime may say otherwise; absent: nowhere. */
	readonly runtimeKey?: string;
}

export type RuntimeEntries = ReadonlyMap<string, RuntimeEntry>;

export const noRuntimeEntries: RuntimeEntries = new Map();

/**
 * The runtime as one thread has it: asked by key, with what the configuration itself says for keys that nobody set. Where
 * nothing at all is set, which is the rule, a question costs one comparison.
 */
export class RuntimeValues {
	#entries: RuntimeEntries | undefined;

	constructor(entries: RuntimeEntries = noRuntimeEntries) {
		this.replace(entries);
	}

	replace(entries: RuntimeEntries): void {
		this.#entries = entries.size === 0 ? undefined : entries;
	}

	get isEmpty(): boolean {
		return this.#entries === undefined;
	}

	has(key: string): boolean {
		return this.#entries?.has(key) ?? false;
	}

	integer(key: string, configured: number): number {
		return this.#entries === undefined ? configured : (this.#entries.get(key)?.integer ?? configured);
	}

	number(key: string, configured: number): number {
		return this.#entries === undefined ? configured : (this.#entries.get(key)?.number ?? configured);
	}

	isOn({ runtimeKey, value }: RuntimeFlag): boolean {
		return this.#entries === undefined || runtimeKey === undefined ? value : (this.#entries.get(runtimeKey)?.flag ?? value);
	}

	/** A percentage, at most 100. */
	percent(key: string, configured: number): number {
		return this.#entries === undefined ? configured : Math.min(100, this.integer(key, configured));
	}

	/** `key`: where it is not the fraction's own. */
	share(configured: Fraction, key: string | undefined = configured.runtimeKey): Fraction {
		if (this.#entries === undefined || key === undefined) return configured;
		return this.#entries.get(key)?.share ?? configured;
	}
}

/** Whether something happens that happens in this share of cases. `random`: uniform in [0, 1). */
export function isInFraction({ numerator, denominator }: Fraction, random: () => number): boolean {
	return numerator >= denominator || (numerator > 0 && Math.floor(random() * denominator) < numerator);
}
