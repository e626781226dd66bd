import { extensionKey, type Extensions, networkFilterInForce } from "../../config/discovered-filters.ts";
import type { FilterChain } from "../../config/listeners.ts";
import type { NetworkFilter } from "../../config/network-filters.ts";
import { type ChainInputs, type ChainRuntime, compileChain } from "./filter-chain-runtime.ts";

/**
 * A filter chain of a listener, and what new connections find there: network filters that come by themselves (ECDS) make
 * another chain of it. Connections stay with the chain that they began with, which goes with the last of them.
 */
export class ChainSlot {
	readonly config: FilterChain;
	readonly #inputs: ChainInputs;
	#current: ChainRuntime;

	constructor(config: FilterChain, inputs: ChainInputs) {
		this.config = config;
		this.#inputs = inputs;
		const errors: string[] = [];
		this.#current = this.#compile(inputs.extensions, errors);
		const keys = discoveredIn(config);
		if (keys.length === 0) inputs.errors.push(...errors);
		else if (errors.length > 0) {
			// As if they had not come.
			this.#current.close();
			this.#current = this.#compile(new Map(), inputs.errors);
			for (const key of keys) for (const message of errors) inputs.onBadExtension(key, message);
		}
	}

	get current(): ChainRuntime {
		return this.#current;
	}

	/** What cannot be compiled is reported, and the chain stays as it is. */
	replaceFilter(key: string, extensions: Extensions, errors: string[]): void {
		const { terminal } = this.#current;
		if (terminal.kind === "http") terminal.manager.replaceFilter(key, extensions, errors);
		if (!discoveredIn(this.config).includes(key)) return;
		const found: string[] = [];
		const next = this.#compile(extensions, found);
		if (found.length > 0) {
			errors.push(...found);
			return next.close();
		}
		retire(this.#current);
		this.#current = next;
	}

	#compile(extensions: Extensions, errors: string[]): ChainRuntime {
		const filters = this.config.filters.map((filter) =>
			filter.kind === "discovered" ? networkFilterInForce(filter.name, filter.discovery, extensions) : filter,
		);
		const isWhole = (all: readonly (NetworkFilter | undefined)[]): all is readonly NetworkFilter[] => !all.includes(undefined);
		const whole = isWhole(filters) ? { ...this.config, filters } : undefined;
		return compileChain(whole ?? this.config, { ...this.#inputs, extensions, errors }, whole === undefined);
	}

	close(): void {
		this.#current.close();
	}
}

function discoveredIn({ filters }: FilterChain): readonly string[] {
	return filters.flatMap((filter) => (filter.kind === "discovered" ? [extensionKey(filter)] : []));
}

/** No connection comes to it any more. */
function retire(chain: ChainRuntime): void {
	chain.isRetired = true;
	if (chain.connections === 0) chain.close();
}

/** A connection of the chain is gone. */
export function leaveChain(chain: ChainRuntime): void {
	chain.connections--;
	if (chain.isRetired && chain.connections === 0) chain.close();
}
