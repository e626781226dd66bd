/** Names come from clients: more than these are not asked for at a time. */
const namesMax = 10_000;
/** A name that is known and not there is asked for anew, but not by each of those who want it at once. */
const againMs = 1_000;

/**
 * - `ask`, `again`: for the first time, or once more;
 * - `asked`: a moment ago;
 * - `full`: there are too many, and none that may be given up.
 */
export type Wanting = "ask" | "again" | "asked" | "full";

/** Names of resources that somebody wanted, of one type. */
export class OnDemandNames {
	/** When each was asked for last, in the order in which they were first wanted. */
	readonly #names = new Map<string, number>();
	/** Of these, those that somebody waits for. */
	readonly #awaited = new Set<string>();

	get names(): Iterable<string> {
		return this.#names.keys();
	}

	has(name: string): boolean {
		return this.#names.has(name);
	}

	/** Somebody waits for it. Where there are too many, the oldest that `mayGo` is given up. */
	want(name: string, nowMs: number, mayGo: (name: string) => boolean): Wanting {
		const before = this.#names.get(name);
		if (before === undefined && this.#names.size >= namesMax && !this.#giveUpOne(mayGo)) return "full";
		this.#awaited.add(name);
		if (before !== undefined && Math.abs(nowMs - before) < againMs) return "asked";
		this.#names.set(name, nowMs);
		return before === undefined ? "ask" : "again";
	}

	#giveUpOne(mayGo: (name: string) => boolean): boolean {
		for (const name of this.#names.keys()) if (mayGo(name)) return this.forget([name]).length > 0;
		return false;
	}

	/** Gives those of them that were known; whoever wants them again asks anew. */
	forget(names: Iterable<string>): readonly string[] {
		return [...names].filter((name) => {
			this.#awaited.delete(name);
			return this.#names.delete(name);
		});
	}

	/** Those that were waited for and are there now; nobody waits for them any longer. */
	arrived(isThere: (name: string) => boolean): readonly string[] {
		const there = [...this.#awaited].filter(isThere);
		for (const name of there) this.#awaited.delete(name);
		return there;
	}
}
