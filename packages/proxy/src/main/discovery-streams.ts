import type { Logger } from "@weft/runtime";
import { typeUrls } from "@weft/xds";
import type { OwnServiceType, XdsClient } from "@weft/xds/client";
import type { StreamSource } from "../config/resource-source.ts";

export interface DiscoveryStreamsOptions {
	/** An error is a text. */
	readonly createClient: (type: OwnServiceType, source: StreamSource) => XdsClient | string;
	readonly logger: Logger;
}

/** What is asked of one source. */
export interface AskedOfSource {
	readonly source: StreamSource;
	readonly names: readonly string[] | "*";
}

interface Open {
	readonly type: OwnServiceType;
	/** undefined: it cannot be had, which was said. */
	readonly client: XdsClient | undefined;
	readonly end: AbortController;
}

/** Streams that carry one type from one source, each while somebody wants something of it. */
export class DiscoveryStreams {
	readonly #options: DiscoveryStreamsOptions;
	/** By type and source. */
	readonly #open = new Map<string, Open>();
	readonly #signal: AbortSignal;

	constructor(options: DiscoveryStreamsOptions, signal: AbortSignal) {
		this.#options = options;
		this.#signal = signal;
	}

	/** Asks the sources of a type for exactly this. A stream of which nothing is wanted ends. */
	follow(type: OwnServiceType, asked: readonly AskedOfSource[]): void {
		const wanted = new Set(asked.map(({ source }) => idOf(type, source)));
		for (const [id, open] of this.#open) {
			if (open.type !== type || wanted.has(id)) continue;
			open.end.abort();
			this.#open.delete(id);
		}
		for (const { names, source } of asked) this.#ask(type, source, names);
	}

	/** Once more, for what is asked for already. */
	askAgain(type: OwnServiceType, source: StreamSource, names: readonly string[]): void {
		this.#open.get(idOf(type, source))?.client?.askAgain(typeUrls[type], names);
	}

	#ask(type: OwnServiceType, source: StreamSource, names: readonly string[] | "*"): void {
		const id = idOf(type, source);
		const known = this.#open.get(id);
		if (known !== undefined) return known.client?.subscribe(typeUrls[type], names);
		const created = this.#options.createClient(type, source);
		const end = new AbortController();
		const client = typeof created === "string" ? undefined : created;
		this.#open.set(id, { type, client, end });
		if (typeof created === "string") return this.#options.logger.error("resources cannot be fetched", { type, error: created });
		created.subscribe(typeUrls[type], names);
		void created.run(AbortSignal.any([this.#signal, end.signal]));
	}
}

const idOf = (type: OwnServiceType, { id }: StreamSource) => `${type} ${id}`;
