import type { StatsConfig } from "../../config/stats-config.ts";

export type Label = readonly [name: string, value: string];

/** A statistic's name without what became tags. */
export interface Extracted {
	readonly name: string;
	readonly labels: readonly Label[];
}

/** `prefix`: the scope that it was counted in, of which `name` is the whole. */
export type ExtractTags = (name: string, prefix: string) => Extracted;

/** A part of a name that is a tag: what is taken out, and the tag. */
interface Cut {
	readonly start: number;
	readonly end: number;
	readonly name: string;
	readonly value: string;
}

type FindCuts = (name: string, prefix: string) => readonly Cut[];

const none: readonly Cut[] = [];
const noLabels: readonly Label[] = [];

/** Scopes are known, so that names of clusters may hold dots. Groups are tags, in the order of Envoy's extractors. */
const scopeRules: readonly (readonly [pattern: RegExp, tags: readonly (readonly [group: number, name: string])[]])[] = [
	[
		/^listener\.(.*)\.http\.(.*)\.$/d,
		[
			[2, "envoy.http_conn_manager_prefix"],
			[1, "envoy.listener_address"],
		],
	],
	[/^listener\.(.*)\.$/d, [[1, "envoy.listener_address"]]],
	[/^http\.(.*)\.$/d, [[1, "envoy.http_conn_manager_prefix"]]],
	// As in Envoy, whose names of virtual hosts and virtual clusters end at their first dot.
	[
		/^vhost\.([^.]+)\.vcluster\.([^.]+)\./d,
		[
			[2, "envoy.virtual_cluster"],
			[1, "envoy.virtual_host"],
		],
	],
	[
		/^vhost\.([^.]+)\.route\.([^.]+)\./d,
		[
			[1, "envoy.virtual_host"],
			[2, "envoy.route"],
		],
	],
	[/^vhost\.([^.]+)\./d, [[1, "envoy.virtual_host"]]],
	[/^tcp\.(.*)\.$/d, [[1, "envoy.tcp_prefix"]]],
	[/^connection_limit\.(.*)\.$/d, [[1, "envoy.connection_limit_prefix"]]],
	// As in Envoy, whose words for a method are the first two: a service with dots in its name wants replace_dots_in_grpc_service_name.
	[
		/^cluster\.(.*?)\.grpc\.([^.]+)\.([^.]+)\..*$/d,
		[
			[3, "envoy.grpc_bridge_method"],
			[2, "envoy.grpc_bridge_service"],
			[1, "envoy.cluster_name"],
		],
	],
	[/^cluster\.(.*?)\.grpc\.$/d, [[1, "envoy.cluster_name"]]],
	[/^cluster\.(.*?)\.(?:(?:circuit_breakers\.(?:default|high)|outlier_detection|ssl|http1|http2)\.)?$/d, [[1, "envoy.cluster_name"]]],
];

/** The word and the dot behind it are taken out. */
const findScope: FindCuts = (_name, prefix) => {
	for (const [pattern, tags] of scopeRules) {
		const match = pattern.exec(prefix);
		if (match === null) continue;
		return tags.map(([group, name]) => {
			const [start, end] = match.indices?.[group] ?? [0, 0];
			return { start, end: end + 1, name, value: match[group] ?? "" };
		});
	}
	return none;
};

const findResponseCode: FindCuts = (name) => {
	const code = /_rq_(\d{3})$/.exec(name);
	if (code !== null) return [{ start: name.length - 4, end: name.length, name: "envoy.response_code", value: code[1] ?? "" }];
	const group = /_rq_(\d)xx$/.exec(name);
	return group === null ? none : [{ start: name.length - 3, end: name.length - 2, name: "envoy.response_code_class", value: group[1] ?? "" }];
};

/** Ours alone are anchored to scopes; those of users are searched for in whole names. */
function findRegex(tag: string, pattern: string): FindCuts {
	const regex = new RegExp(pattern, "d");
	return (name) => {
		const match = regex.exec(name);
		const [start, end] = match?.indices?.[1] ?? [0, 0];
		return match === null || start === end ? none : [{ start, end, name: tag, value: match[2] ?? match[1] ?? "" }];
	};
}

/** Takes nothing out. */
const findFixed = (name: string, value: string): FindCuts => {
	const cuts = [{ start: 0, end: 0, name, value }];
	return () => cuts;
};

/** Every extractor reads the whole name; what any of them takes out is gone. The order is that of Envoy's labels. */
export function compileTags({ tags, defaultTags }: Pick<StatsConfig, "tags" | "defaultTags">): ExtractTags {
	const own = tags.map((tag) =>
		tag.kind === "fixed"
			? { isAnchored: false, find: findFixed(tag.name, tag.value) }
			: { isAnchored: tag.pattern.startsWith("^"), find: findRegex(tag.name, tag.pattern) },
	);
	const isWanted = ({ name }: Cut) => defaultTags === "all" || defaultTags.includes(name);
	const finders: readonly FindCuts[] = [
		(name, prefix) => findResponseCode(name, prefix).filter(isWanted),
		...own.filter(({ isAnchored }) => !isAnchored).map(({ find }) => find),
		(name, prefix) => findScope(name, prefix).filter(isWanted),
		...own.filter(({ isAnchored }) => isAnchored).map(({ find }) => find),
	];
	return (name, prefix) => {
		const cuts: Cut[] = [];
		for (const find of finders) cuts.push(...find(name, prefix));
		if (cuts.length === 0) return { name, labels: noLabels };
		return { name: cutOut(name, cuts), labels: cuts.map((cut) => [cut.name, cut.value] as const) };
	};
}

function cutOut(name: string, cuts: readonly Cut[]): string {
	const sorted = cuts.length === 1 ? cuts : [...cuts].sort((a, b) => a.start - b.start);
	let kept = "";
	let at = 0;
	for (const { start, end } of sorted) {
		if (start > at) kept += name.slice(at, start);
		at = Math.max(at, end);
	}
	return kept + name.slice(at);
}
