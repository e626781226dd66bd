import type { StringMatch } from "./matchers.ts";
import type { SocketAddress } from "./sockets.ts";

/** What a bootstrap says of statistics: how they are named, which are there, and where they are sent. */
export interface StatsSettings {
	readonly config: StatsConfig;
	readonly sinks: readonly StatsSink[];
	readonly flushMs: number;
}

/** `stats_config`. */
export interface StatsConfig {
	readonly tags: readonly StatsTag[];
	/** Which of Envoy's own tags are taken out of names, by their own names (`envoy.cluster_name`). */
	readonly defaultTags: "all" | readonly string[];
	readonly matcher: StatsMatcher;
	/** The first that matches a histogram's whole name counts; ascending bounds. */
	readonly histogramBounds: readonly HistogramBounds[];
}

export type StatsTag =
	| { readonly kind: "fixed"; readonly name: string; readonly value: string }
	/** The first group is taken out of the name; the second, or the first, is the value. */
	| { readonly kind: "regex"; readonly name: string; readonly pattern: string };

export type StatsMatcher =
	| { readonly kind: "all" }
	| { readonly kind: "none" }
	/** Of whole names. */
	| { readonly kind: "exclude" | "include"; readonly patterns: readonly StringMatch[] };

export interface HistogramBounds {
	readonly match: StringMatch;
	readonly bounds: readonly number[];
}

export interface StatsSink {
	readonly kind: "statsd" | "dogStatsd";
	readonly target: { readonly kind: "udp"; readonly address: Extract<SocketAddress, { kind: "ip" }> } | { readonly kind: "tcp"; readonly cluster: string };
	/** In front of each name, with a dot between. */
	readonly prefix: string;
	readonly datagramBytesMax: number;
}

export const defaultStatsConfig: StatsConfig = { tags: [], defaultTags: "all", matcher: { kind: "all" }, histogramBounds: [] };
export const statsFlushMsDefault = 5_000;
