import { virtualClusterCounters } from "./families.ts";
import type { Histogram } from "./histogram.ts";
import type { StatsRegistry } from "./registry.ts";
import { createResponseCodes, type ResponseCodes } from "./response-codes.ts";

/** Positions in a virtual cluster's block. */
export const virtualClusterStat = virtualClusterCounters.index;

/** What is counted of the requests of one virtual cluster or one route, as `vhost.<virtual host>.vcluster.<name>.` or `….route.<stat prefix>.`. */
export interface VirtualClusterStats {
	readonly responseCodes: ResponseCodes;
	readonly requestMs: Histogram;
	/** `stat`: one of `virtualClusterStat`. */
	count(stat: number): void;
}

/** Of one worker. Opened by the first request of each, and kept: requests outlive the route tables that they came by. */
export class VirtualClusters {
	readonly #stats: StatsRegistry;
	readonly #known = new Map<string, VirtualClusterStats>();

	constructor(stats: StatsRegistry) {
		this.#stats = stats;
	}

	of(virtualHost: string, name: string): VirtualClusterStats {
		return this.#take(`vhost.${virtualHost}.vcluster.${name}.`);
	}

	ofRoute(virtualHost: string, statPrefix: string): VirtualClusterStats {
		return this.#take(`vhost.${virtualHost}.route.${statPrefix}.`);
	}

	#take(prefix: string): VirtualClusterStats {
		let stats = this.#known.get(prefix);
		if (stats === undefined) this.#known.set(prefix, (stats = this.#open(prefix)));
		return stats;
	}

	#open(prefix: string): VirtualClusterStats {
		const stats = this.#stats;
		const scope = stats.openScope(prefix);
		const base = scope.counters(virtualClusterCounters);
		return {
			responseCodes: createResponseCodes(stats, scope, "upstream_rq"),
			requestMs: scope.histogram("upstream_rq_time"),
			count(stat) {
				const { counters } = stats;
				counters[base + stat] = (counters[base + stat] as number) + 1;
			},
		};
	}
}
