import type { FilterOverride, FilterOverrideConfig, FilterOverrides, HttpFilter } from "../../config/http-filters.ts";
import type { ClusterChoice, CompiledRoute } from "../match/route-table.ts";
import type { StreamFilter } from "./stream-filter.ts";

/** The filters of a connection manager as they are for one route. */
export interface FilterChain {
	/** undefined where a filter does nothing on this route. */
	readonly filters: readonly (StreamFilter | undefined)[];
	/** Those that have something to do with the body of a request; with a response, in reverse order; with the end. */
	readonly bodyFilters: readonly StreamFilter[];
	readonly responseFilters: readonly StreamFilter[];
	readonly overFilters: readonly StreamFilter[];
}

/** `overrides`: from the most specific to the least. */
export type CompileFilter = (filter: HttpFilter, index: number, overrides: readonly FilterOverrideConfig[]) => StreamFilter | undefined;

/** A filter as it was compiled for one thing that routes say. */
interface Compiled {
	readonly from: HttpFilter;
	readonly filter: StreamFilter | undefined;
}

/** What was compiled, by what routes say; kept only where filters may be replaced, so that the others need not be compiled again. */
type Known = WeakMap<object, readonly (Compiled | undefined)[]>;

const nothingSaid = {};

/** Chains by what routes say to filters. Nearly all routes say nothing and share one. */
export class FilterChains {
	readonly #filters: readonly HttpFilter[];
	readonly #compile: CompileFilter;
	readonly #known: Known | undefined;
	readonly #plain: FilterChain;
	readonly #byRoute = new WeakMap<CompiledRoute, FilterChain>();
	readonly #byChoice = new WeakMap<FilterOverrides, FilterChain>();

	/** `known`: of the chains that these take the place of, or empty; undefined: nothing will take theirs. */
	constructor(filters: readonly HttpFilter[], compile: CompileFilter, known: Known | undefined) {
		this.#filters = filters;
		this.#compile = compile;
		this.#known = known;
		this.#plain = this.#build([], nothingSaid);
	}

	/** The same with other filters at some places; those that are the same are not compiled again. */
	replaced(filters: readonly HttpFilter[], compile: CompileFilter): FilterChains {
		return new FilterChains(filters, compile, this.#known);
	}

	chainOf(route: CompiledRoute | undefined, choice: ClusterChoice | undefined): FilterChain {
		if (route === undefined) return this.#plain;
		if (choice?.filters !== undefined) return this.#ofChoice(route, choice.filters);
		if (!route.hasFilterOverrides) return this.#plain;
		let chain = this.#byRoute.get(route);
		if (chain === undefined) this.#byRoute.set(route, (chain = this.#build(route.filterOverrides, route)));
		return chain;
	}

	#ofChoice(route: CompiledRoute, own: FilterOverrides): FilterChain {
		let chain = this.#byChoice.get(own);
		if (chain === undefined) this.#byChoice.set(own, (chain = this.#build([own, ...route.filterOverrides], own)));
		return chain;
	}

	#build(levels: readonly FilterOverrides[], key: object): FilterChain {
		const known = this.#known?.get(key);
		const compiled = this.#filters.map((filter, index): Compiled | undefined => {
			const before = known?.[index];
			if (before?.from === filter) return before;
			const said = levels.map((level) => (Object.hasOwn(level, filter.name) ? level[filter.name] : undefined)).filter((override) => override !== undefined);
			if (isDisabled(filter, said)) return undefined;
			const configs = said.map(({ config }) => config).filter((config) => config !== undefined);
			return { from: filter, filter: this.#compile(filter, index, configs) };
		});
		this.#known?.set(key, compiled);
		return chainOf(compiled.map((one) => one?.filter));
	}
}

function chainOf(filters: readonly (StreamFilter | undefined)[]): FilterChain {
	const present = filters.filter((filter) => filter !== undefined);
	const seesRequest = (filter: StreamFilter) => filter.onRequestBody !== undefined || filter.onRequestEnd !== undefined;
	const seesBody = (filter: StreamFilter) => filter.onResponseBody !== undefined || filter.onResponseEnd !== undefined;
	return {
		filters,
		bodyFilters: present.filter(seesRequest),
		responseFilters: present.filter((filter) => filter.onResponseHead !== undefined || filter.onResponseHeld !== undefined || seesBody(filter)).toReversed(),
		overFilters: present.filter((filter) => filter.onOver !== undefined),
	};
}

/** The most specific word counts; a word that is not "disabled" enables. */
function isDisabled(filter: HttpFilter, [first]: readonly FilterOverride[]): boolean {
	return first === undefined ? filter.disabled === true : first.disabled;
}
