import { extensionKey, type Extensions } from "../../config/discovered-filters.ts";
import { withDiscoveredFilters } from "../../config/listener-filters.ts";
import type { Listener } from "../../config/listeners.ts";
import { compileInspectors, type InspectorChoice } from "./inspectors.ts";

/** What connections are looked at for before they have a filter chain. */
export interface ListenerFilterRuntime {
	/** The listener as its filters make it. */
	readonly config: Listener;
	readonly inspectors: InspectorChoice;
}

/** The listener filters that new connections meet: those that come by themselves (ECDS) put others in their place, and connections stay with what they began with. */
export class ListenerFilterSlot {
	readonly #config: Listener;
	readonly #hasTls: boolean;
	#current: ListenerFilterRuntime | undefined;

	/** `hasTls`: one of the chains speaks TLS. */
	constructor(config: Listener, hasTls: boolean, extensions: Extensions) {
		this.#config = config;
		this.#hasTls = hasTls;
		this.#current = this.#compile(extensions);
	}

	/** undefined: the configuration of one has not come, and connections are closed. */
	get current(): ListenerFilterRuntime | undefined {
		return this.#current;
	}

	replaceFilter(key: string, extensions: Extensions): void {
		const isHere = this.#config.discoverableFilters?.some(({ filter }) => filter.kind === "discovered" && extensionKey(filter) === key);
		if (isHere === true) this.#current = this.#compile(extensions);
	}

	#compile(extensions: Extensions): ListenerFilterRuntime | undefined {
		const config = withDiscoveredFilters(this.#config, extensions);
		return config && { config, inspectors: compileInspectors(config, this.#hasTls) };
	}
}
