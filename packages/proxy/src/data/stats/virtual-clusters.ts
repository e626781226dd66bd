import { virtualClusterCounters } from "./families.ts";
import type { Histogram } from "./histogram.ts";
import type { StatsRegistry } from "./registry.ts";
import { createResponseCodes, type ResponseCodes } from "./response-codes.ts";

/** Positions in a virtual cluster's block. */
export const virtualClusterStat = virtualClusterCounters.index;

/** What is counted of the requests of one virtual cluster, as `vhost.<virtual host>.vcluster.<name>.`. */
export interface VirtualClusterStats {
	readonly responseCodes: ResponseCodes;
	readonly requestMs: Histogram;
	/** `stat`: one of `virtualClusterStat`. */
	count(stat: number): void;
}

/** Of one worker. Opened by the first request of each, and kept: requests outlive the route tables that they came by. */
export class VirtualClusters {
	readonly #stats: StatsRegistry;
	readonly #known = new Map<string, Map<string, VirtualClusterStats>>();

	constructor(stats: StatsRegistry) {
		this.#stats = stats;
	}

	of(virtualHost: string, name: string): VirtualClusterStats {
		const known = this.#known.get(virtualHost)?.get(name);
		if (known !== undefined) return known;
		const opened = this.#open(`vhost.${virtualHost}.vcluster.${name}.`);
		this.#known.set(virtualHost, (this.#known.get(virtualHost) ?? new Map<string, VirtualClusterStats>()).set(name, opened));
		return opened;
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
