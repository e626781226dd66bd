/** Enough for what crosses our own frames on the way. */
const kept = 128;

/** Streams of one connection that ended lately, to tell late frames from wrong ones. */
export class EndedStreams {
	/** Ids, negative when we reset them. */
	readonly #ids = new Int32Array(kept);
	#at = 0;

	/** What is said first of a stream holds. */
	add(id: number, isReset: boolean): void {
		const last = this.#ids[(this.#at + kept - 1) % kept] as number;
		if (Math.abs(last) === id) return;
		this.#ids[this.#at] = isReset ? -id : id;
		this.#at = (this.#at + 1) % kept;
	}

	find(id: number): "ended" | "reset" | "unknown" {
		for (const known of this.#ids) {
			if (known === id) return "ended";
			if (known === -id) return "reset";
		}
		return "unknown";
	}
}
