import type { RouteScope } from "../config/route-scopes.ts";
import type { StatsDump } from "../data/stats/registry.ts";

const names = ["config_reload", "init_fetch_timeout", "update_attempt", "update_rejected", "update_success"] as const;
export type ScopeStat = (typeof names)[number];

/** `http.<stat prefix>.scoped_rds.<name>.*`, for each connection manager whose scopes come by themselves. */
export class ScopeStats {
	readonly #counts = new Map<string, Float64Array>();
	#gauges = { all_scopes: 0, active_scopes: 0, on_demand_scopes: 0 };

	/** Exactly these are counted from now on. `isAsked`: of the table of a scope that is fetched on demand. */
	follow(prefixes: ReadonlySet<string>, scopes: Iterable<RouteScope>, isAsked: (table: string) => boolean): void {
		for (const prefix of prefixes) {
			if (this.#counts.has(prefix)) continue;
			this.#counts.set(prefix, new Float64Array(names.length));
			this.#countOf(prefix, "update_attempt");
		}
		for (const prefix of this.#counts.keys()) if (!prefixes.has(prefix)) this.#counts.delete(prefix);
		const gauges = { all_scopes: 0, active_scopes: 0, on_demand_scopes: 0 };
		for (const { onDemand, routes } of scopes) {
			gauges.all_scopes++;
			// As in Envoy, those that brought their tables with them are in the sum alone.
			if (routes.kind !== "rds") continue;
			if (onDemand) gauges.on_demand_scopes++;
			if (!onDemand || isAsked(routes.name)) gauges.active_scopes++;
		}
		this.#gauges = gauges;
	}

	count(...stats: readonly ScopeStat[]): void {
		for (const prefix of this.#counts.keys()) for (const stat of stats) this.#countOf(prefix, stat);
	}

	#countOf(prefix: string, stat: ScopeStat): void {
		const counts = this.#counts.get(prefix);
		const at = names.indexOf(stat);
		if (counts !== undefined) counts[at] = (counts[at] as number) + 1;
	}

	dump(): Pick<StatsDump, "counters" | "gauges"> {
		return {
			counters: [...this.#counts].map(([prefix, values]) => ({ prefix, names: [...names], values })),
			gauges: [...this.#counts.keys()].map((prefix) => ({ prefix, names: Object.keys(this.#gauges), values: Float64Array.from(Object.values(this.#gauges)) })),
		};
	}
}
