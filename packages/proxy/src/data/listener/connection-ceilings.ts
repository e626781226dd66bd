import type { RuntimeValues } from "../../config/runtime-values.ts";
import { openTally, type SharedTally } from "../../config/shared-buckets.ts";
import type { Hash64 } from "../lb/hash.ts";

export interface CeilingInputs {
	readonly buckets: SharedArrayBuffer;
	readonly hash64: Hash64;
	readonly runtime: RuntimeValues;
	readonly workerIndex: number;
	readonly workers: number;
}

/** How many connections there may be, over all workers, as a key of the runtime says. They are shared from the moment it says so. */
export class Ceiling {
	readonly #inputs: CeilingInputs;
	readonly #key: string;
	#open = 0;
	#tally: SharedTally | undefined;
	/** Listeners that count here: of one name there are several while old ones drain. */
	users = 0;

	constructor(key: string, inputs: CeilingInputs) {
		this.#key = key;
		this.#inputs = inputs;
		this.follow();
	}

	/** The runtime is another. */
	follow(): void {
		const { buckets, hash64, runtime, workerIndex, workers } = this.#inputs;
		if (this.#tally !== undefined || !runtime.has(this.#key)) return;
		this.#tally = openTally(buckets, (worker) => hash64(`connections\0${this.#key}\0${worker}`), workers, workerIndex);
		// Of a worker that died before, too.
		this.#tally.set(this.#open);
	}

	add(by: number): void {
		this.#open += by;
		this.#tally?.add(by);
	}

	get isReached(): boolean {
		return this.#tally !== undefined && this.#tally.sum() >= this.#inputs.runtime.integer(this.#key, Number.POSITIVE_INFINITY);
	}
}

/** Those of one worker's listeners, and the one for all of them. */
export class ConnectionCeilings {
	readonly global: Ceiling;
	readonly #inputs: CeilingInputs;
	readonly #byListener = new Map<string, Ceiling>();

	constructor(inputs: CeilingInputs) {
		this.#inputs = inputs;
		this.global = new Ceiling("overload.global_downstream_max_connections", inputs);
	}

	/** To be given back by `release`. */
	acquire(listener: string): Ceiling {
		let ceiling = this.#byListener.get(listener);
		if (ceiling === undefined)
			this.#byListener.set(listener, (ceiling = new Ceiling(`envoy.resource_limits.listener.${listener}.connection_limit`, this.#inputs)));
		ceiling.users++;
		return ceiling;
	}

	release(listener: string): void {
		const ceiling = this.#byListener.get(listener);
		if (ceiling !== undefined && --ceiling.users === 0) this.#byListener.delete(listener);
	}

	follow(): void {
		this.global.follow();
		for (const ceiling of this.#byListener.values()) ceiling.follow();
	}
}
