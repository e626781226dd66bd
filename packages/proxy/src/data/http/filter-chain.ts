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

/** Chains by what routes say to filters. Nearly all routes say nothing and share one. */
export class FilterChains {
	readonly #filters: readonly HttpFilter[];
	readonly #compile: CompileFilter;
	readonly #plain: FilterChain;
	readonly #byRoute = new WeakMap<CompiledRoute, FilterChain>();
	readonly #byChoice = new WeakMap<FilterOverrides, FilterChain>();

	constructor(filters: readonly HttpFilter[], compile: CompileFilter) {
		this.#filters = filters;
		this.#compile = compile;
		this.#plain = this.#build([]);
	}

	chainOf(route: CompiledRoute | undefined, choice: ClusterChoice | undefined): FilterChain {
		if (route === undefined) return this.#plain;
		if (choice?.filters !== undefined) return this.#ofChoice(route, choice.filters);
		if (!route.hasFilterOverrides) return this.#plain;
		let chain = this.#byRoute.get(route);
		if (chain === undefined) this.#byRoute.set(route, (chain = this.#build(route.filterOverrides)));
		return chain;
	}

	#ofChoice(route: CompiledRoute, own: FilterOverrides): FilterChain {
		let chain = this.#byChoice.get(own);
		if (chain === undefined) this.#byChoice.set(own, (chain = this.#build([own, ...route.filterOverrides])));
		return chain;
	}

	#build(levels: readonly FilterOverrides[]): FilterChain {
		const filters = this.#filters.map((filter, index) => {
			const said = levels.map((level) => (Object.hasOwn(level, filter.name) ? level[filter.name] : undefined)).filter((override) => override !== undefined);
			return isDisabled(filter, said)
				? undefined
				: this.#compile(
						filter,
						index,
						said.map(({ config }) => config).filter((config) => config !== undefined),
					);
		});
		const present = filters.filter((filter) => filter !== undefined);
		const seesBody = (filter: StreamFilter) => filter.onResponseBody !== undefined || filter.onResponseEnd !== undefined;
		return {
			filters,
			bodyFilters: present.filter((filter) => filter.onRequestBody !== undefined),
			responseFilters: present.filter((filter) => filter.onResponseHead !== undefined || filter.onResponseHeld !== undefined || seesBody(filter)).toReversed(),
			overFilters: present.filter((filter) => filter.onOver !== undefined),
		};
	}
}

/** The most specific word counts; a word that is not "disabled" enables. */
function isDisabled(filter: HttpFilter, [first]: readonly FilterOverride[]): boolean {
	return first === undefined ? filter.disabled === true : first.disabled;
}
