import { type DiscoveryUse, type Extensions, misfit } from "../config/discovered-filters.ts";
import type { StatsDump } from "../data/stats/registry.ts";

const names = ["config_reload", "config_fail", "config_conflict", "init_fetch_timeout", "update_attempt", "update_success", "update_rejected"] as const;
export type ExtensionStat = (typeof names)[number];

const statKinds = { http: "http", network: "network", listener: "tcp_listener" } as const satisfies Record<DiscoveryUse["kind"], string>;

/** `extension_config_discovery.<http|network|tcp_listener>_filter.<name>.*`, for each filter whose configuration comes by itself. */
export class ExtensionStats {
	readonly #counts = new Map<string, Float64Array>();

	/** Exactly these filters are counted from now on; what is there already and does not fit a new one is a conflict. */
	follow(uses: Iterable<DiscoveryUse>, extensions: Extensions): void {
		const wanted = new Set<string>();
		for (const use of uses) {
			const prefix = `${statKinds[use.kind]}_filter.${use.name}.`;
			wanted.add(prefix);
			if (this.#counts.has(prefix)) continue;
			this.#counts.set(prefix, new Float64Array(names.length));
			const known = extensions.get(use.name);
			this.count(use.name, "update_attempt");
			if (known !== undefined && misfit(use, known) !== undefined) this.count(use.name, "config_conflict");
		}
		for (const prefix of this.#counts.keys()) if (!wanted.has(prefix)) this.#counts.delete(prefix);
	}

	/** Counts for every kind of filter of this name. */
	count(name: string, ...stats: readonly ExtensionStat[]): void {
		for (const kind of Object.values(statKinds)) {
			const counts = this.#counts.get(`${kind}_filter.${name}.`);
			if (counts !== undefined) for (const stat of stats) counts[names.indexOf(stat)] = (counts[names.indexOf(stat)] as number) + 1;
		}
	}

	dump(): StatsDump["counters"] {
		return [...this.#counts].map(([prefix, values]) => ({ prefix: `extension_config_discovery.${prefix}`, names: [...names], values }));
	}
}
