import type { IstioStats, NodeInfo } from "../../config/runtime-config.ts";

type Label = readonly [string, string];

/** Metrics that carry the same labels, and how these differ from the standard ones. */
export interface MetricGroup {
	readonly metrics: ReadonlySet<string>;
	readonly change: (labels: readonly Label[]) => readonly Label[];
}

/**
 * The Telemetry API's overrides: metrics dropped, labels removed, replaced or added. A value is a text constant
 * (`'x'`, `"x"`) or `node.metadata['KEY']`; other expressions are errors, since they would differ by request.
 */
export function compileOverrides(stats: IstioStats, metrics: readonly string[], node: NodeInfo, errors: string[]): readonly MetricGroup[] {
	const groups = new Map<string, { readonly metrics: Set<string>; readonly change: MetricGroup["change"] }>();
	for (const metric of metrics) {
		const overrides = stats.overrides.filter((o) => o.metric === "" || o.metric === metric);
		if (overrides.some((o) => o.drop)) continue;
		const removed = new Set(overrides.flatMap((o) => o.removeTags));
		const values = new Map(overrides.flatMap((o) => Object.entries(o.dimensions).flatMap(([tag, text]) => evaluate(metric, tag, text, node, errors))));
		const key = JSON.stringify([[...removed].sort(), [...values].sort()]);
		const group = groups.get(key);
		if (group) group.metrics.add(metric);
		else groups.set(key, { metrics: new Set([metric]), change: (labels) => changeLabels(labels, removed, values) });
	}
	return [...groups.values()];
}

function changeLabels(labels: readonly Label[], removed: ReadonlySet<string>, values: ReadonlyMap<string, string>): readonly Label[] {
	if (removed.size === 0 && values.size === 0) return labels;
	const names = new Set(labels.map(([name]) => name));
	const added = [...values].filter(([name]) => !names.has(name) && !removed.has(name));
	return [...labels.filter(([name]) => !removed.has(name)).map(([name, value]) => [name, values.get(name) ?? value] as const), ...added];
}

function evaluate(metric: string, tag: string, text: string, node: NodeInfo, errors: string[]): readonly Label[] {
	const constant = /^\s*(?:'([^']*)'|"([^"]*)")\s*$/.exec(text);
	if (constant) return [[tag, constant[1] ?? constant[2] ?? ""]];
	const metadata = /^\s*node\.metadata\[(?:'([^']+)'|"([^"]+)")\]\s*$/.exec(text);
	if (metadata) {
		const value = node.metadata[metadata[1] ?? metadata[2] ?? ""];
		return [[tag, typeof value === "string" ? value : "unknown"]];
	}
	errors.push(
		`istio_${metric}: tag ${JSON.stringify(tag)} has the expression ${JSON.stringify(text)}; only text constants and node.metadata['KEY'] can be used`,
	);
	return [];
}
