import type { NodeInfo } from "../../config/runtime-config.ts";
import type { IstioStats } from "../../config/telemetry.ts";
import { compileCelText } from "../cel/cel.ts";
import type { StreamInfo } from "../log/stream-info.ts";
import { createCompileContext } from "../match/compile-context.ts";

type Label = readonly [string, string];

/** A label's value: the same for all, or that of an expression, by its place among those of the configuration. */
type TagValue = string | number;

/** Metrics that carry the same labels, and how these differ from the standard ones. */
export interface MetricGroup {
	readonly metrics: ReadonlySet<string>;
	/** `values`: of the expressions. */
	readonly change: (labels: readonly Label[], values: readonly string[]) => readonly Label[];
}

/** The expressions among the tags of one configuration: what each request, or connection, adds to its labels. */
export class TagExpressions {
	readonly #texts: string[] = [];
	readonly #reads: ((info: StreamInfo) => string)[] = [];

	/** The place of an expression (CEL). One that cannot be computed is `unknown`. */
	add(metric: string, tag: string, text: string, errors: string[]): number {
		const known = this.#texts.indexOf(text);
		if (known >= 0) return known;
		const context = createCompileContext();
		const read = compileCelText(text, "unknown", context);
		errors.push(...context.errors.map((error) => `istio_${metric}: tag ${JSON.stringify(tag)}: ${error}`));
		this.#reads.push(read);
		return this.#texts.push(text) - 1;
	}

	/** The values, as one text that tells series apart; "" where there are no expressions. */
	evaluate(info: StreamInfo): string {
		const reads = this.#reads;
		if (reads.length === 0) return "";
		let out = "";
		for (let i = 0; i < reads.length; i++) out += `${i === 0 ? "" : "\0"}${(reads[i] as (info: StreamInfo) => string)(info)}`;
		return out;
	}

	/** What `evaluate` gave, one by one. */
	split(values: string): readonly string[] {
		return this.#reads.length === 0 ? [] : values.split("\0");
	}

	/** Of the series that stands for all that were too many. */
	get unknown(): string {
		return this.#reads.map(() => "unknown").join("\0");
	}
}

/**
 * The Telemetry API's overrides: metrics dropped, labels removed, replaced or added. A value is a text constant
 * (`'x'`, `"x"`), `node.metadata['KEY']`, or an expression in CEL over the attributes of the request and its connection.
 */
export function compileOverrides(
	stats: IstioStats,
	metrics: readonly string[],
	node: NodeInfo,
	expressions: TagExpressions,
	errors: string[],
): readonly MetricGroup[] {
	const groups = new Map<string, { readonly metrics: Set<string>; readonly change: MetricGroup["change"] }>();
	for (const metric of metrics) {
		const overrides = stats.overrides.filter((o) => o.metric === "" || o.metric === metric);
		if (overrides.some((o) => o.drop)) continue;
		const removed = new Set(overrides.flatMap((o) => o.removeTags));
		const dimensions = overrides.flatMap((o) => Object.entries(o.dimensions));
		const values = new Map(dimensions.map(([tag, text]) => [tag, constantOf(text, node) ?? expressions.add(metric, tag, text, errors)] as const));
		const key = JSON.stringify([[...removed].sort(), [...values].sort()]);
		const group = groups.get(key);
		if (group) group.metrics.add(metric);
		else groups.set(key, { metrics: new Set([metric]), change: (labels, found) => changeLabels(labels, removed, values, found) });
	}
	return [...groups.values()];
}

function changeLabels(
	labels: readonly Label[],
	removed: ReadonlySet<string>,
	values: ReadonlyMap<string, TagValue>,
	found: readonly string[],
): readonly Label[] {
	if (removed.size === 0 && values.size === 0) return labels;
	const textOf = (value: TagValue): string => (typeof value === "string" ? value : (found[value] ?? "unknown"));
	const names = new Set(labels.map(([name]) => name));
	const added = [...values].filter(([name]) => !names.has(name) && !removed.has(name));
	const changed = labels.filter(([name]) => !removed.has(name)).map(([name, value]) => [name, textOf(values.get(name) ?? value)] as const);
	return [...changed, ...added.map(([name, value]) => [name, textOf(value)] as const)];
}

/** undefined: it is no constant. */
function constantOf(text: string, node: NodeInfo): string | undefined {
	const constant = /^\s*(?:'([^']*)'|"([^"]*)")\s*$/.exec(text);
	if (constant) return constant[1] ?? constant[2] ?? "";
	const metadata = /^\s*node\.metadata\[(?:'([^']+)'|"([^"]+)")\]\s*$/.exec(text);
	if (metadata === null) return undefined;
	const value = node.metadata[metadata[1] ?? metadata[2] ?? ""];
	return typeof value === "string" ? value : "unknown";
}
