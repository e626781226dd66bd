import { diagnosticCodes } from "../diagnostic.ts";
import type { HTTPMatchRequest, VirtualServiceSpec } from "../schema/virtual-service.ts";
import type { Report } from "./report.ts";

/** Routes are tried in order: one after a catch-all, or whose match stands in an earlier rule, never runs. */
export function checkReachability(report: Report, spec: VirtualServiceSpec): void {
	checkRules(report, "http", spec.http ?? [], (match) => isCatchAllHttp(match));
	checkRules(report, "tls", spec.tls ?? [], () => false);
	checkRules(report, "tcp", spec.tcp ?? [], (match) => Object.keys(match).length === 0);
}

interface Rule<M> {
	readonly name?: string | undefined;
	readonly match?: readonly M[] | undefined;
}

function checkRules<M extends object>(report: Report, list: string, rules: readonly Rule<M>[], isCatchAll: (match: M) => boolean): void {
	const seen = new Map<string, number>();
	let catchAll: number | undefined;
	for (const [i, rule] of rules.entries()) {
		const at = report.at(list, i);
		const name = rule.name ? JSON.stringify(rule.name) : `#${i}`;
		const matches = rule.match ?? [];
		if (catchAll !== undefined) {
			at.warn(`VirtualService rule ${name} not used (route without matches defined before, rule #${catchAll}); move it up`, diagnosticCodes.unreachableRule);
			continue;
		}
		const earlier = matches.map((match) => seen.get(canonical(match)));
		if (matches.length > 0 && earlier.every((index) => index !== undefined)) {
			at.warn(`VirtualService rule ${name} not used (all its matches stand in earlier rules); remove it`, diagnosticCodes.unreachableRule);
		} else {
			for (const [j, index] of earlier.entries()) {
				if (index === undefined) continue;
				const message = `VirtualService rule ${name} match #${j} is not used (duplicate match in rule #${index}); remove it`;
				at.at("match", j).info(message, diagnosticCodes.ineffectiveMatch);
			}
		}
		if (matches.length === 0 || matches.some(isCatchAll)) catchAll = i;
		for (const match of matches) if (!seen.has(canonical(match))) seen.set(canonical(match), i);
	}
}

function isCatchAllHttp(match: HTTPMatchRequest): boolean {
	const conditions = Object.keys(match).filter((key) => key !== "name" && key !== "statPrefix");
	if (conditions.length === 0) return true;
	return conditions.length === 1 && (match.uri?.prefix === "/" || match.uri?.regex === "*" || match.uri?.regex === ".*");
}

/** Equal conditions give equal text, whatever the order of their fields. A match's name is no condition. */
function canonical(match: object): string {
	const sort = (value: unknown): unknown => {
		if (Array.isArray(value)) return value.map(sort);
		if (typeof value !== "object" || value === null) return value;
		return Object.entries(value)
			.sort(([a], [b]) => (a < b ? -1 : 1))
			.map(([key, inner]) => [key, sort(inner)]);
	};
	return JSON.stringify(sort({ ...match, name: undefined, statPrefix: undefined }));
}
