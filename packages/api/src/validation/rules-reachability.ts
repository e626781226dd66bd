import { diagnosticCodes } from "../diagnostic.ts";
import type { HTTPMatchRequest, VirtualServiceSpec } from "../schema/virtual-service.ts";
import type { Report } from "./report.ts";

/** Routes are tried in order: one after a catch-all, or whose matches stand in earlier rules, never runs. */
export function checkReachability(report: Report, spec: VirtualServiceSpec): void {
	checkRules(report, "http", spec.http ?? []);
	checkRules(report, "tls", spec.tls ?? []);
	checkRules(report, "tcp", spec.tcp ?? []);
}

interface Rule {
	readonly name?: string | undefined;
	readonly match?: readonly object[] | undefined;
}

/** Longest path prefix whose shorter prefixes are looked for. */
const prefixLengthMax = 2_048;

/** The conditions of all matches so far, by their canonical text. */
interface Seen {
	readonly whole: Map<string, number>;
	/** By the other conditions and the path's prefix. */
	readonly prefixes: Map<string, number>;
}

function checkRules(report: Report, list: string, rules: readonly Rule[]): void {
	const seen: Seen = { whole: new Map(), prefixes: new Map() };
	let catchAll: number | undefined;
	for (const [i, rule] of rules.entries()) {
		const at = report.at(list, i);
		const name = rule.name ? JSON.stringify(rule.name) : `#${i}`;
		if (catchAll !== undefined) {
			at.warn(`VirtualService rule ${name} not used (route without matches defined before, rule #${catchAll}); move it up`, diagnosticCodes.unreachableRule);
			continue;
		}
		const matches = rule.match ?? [];
		if (matches.length === 0) catchAll = i;
		const earlier = matches.map((match) => {
			const covering = coveringRule(seen, match);
			remember(seen, match, i);
			return covering;
		});
		for (const [j, index] of earlier.entries()) {
			if (index === undefined) continue;
			const message = `VirtualService rule ${name} match #${j} is not used (duplicate/overlapping match in rule #${index}); remove it, or move it up`;
			at.at("match", j).info(message, diagnosticCodes.ineffectiveMatch);
		}
		if (earlier.length > 0 && !earlier.includes(undefined)) {
			at.warn(`VirtualService rule ${name} not used (all matches used by prior rules); remove it`, diagnosticCodes.unreachableRule);
		}
	}
}

/** A match's own name and the name of its statistics are no conditions. */
const conditionsOf = (match: HTTPMatchRequest) => ({ ...match, name: undefined, statPrefix: undefined });
const prefixKey = (match: HTTPMatchRequest, prefix: string) => `${canonical({ ...conditionsOf(match), uri: undefined })}\0${prefix}`;

/** The rule that has the same conditions already, or the same with a shorter prefix of the path. */
function coveringRule(seen: Seen, match: HTTPMatchRequest): number | undefined {
	const same = seen.whole.get(canonical(conditionsOf(match)));
	const prefix = match.uri?.prefix;
	if (same !== undefined || prefix === undefined) return same;
	const key = prefixKey(match, "");
	for (let length = 1; length <= Math.min(prefix.length, prefixLengthMax); length++) {
		const rule = seen.prefixes.get(key + prefix.slice(0, length));
		if (rule !== undefined) return rule;
	}
	return undefined;
}

function remember(seen: Seen, match: HTTPMatchRequest, rule: number): void {
	const whole = canonical(conditionsOf(match));
	if (!seen.whole.has(whole)) seen.whole.set(whole, rule);
	const prefix = match.uri?.prefix;
	if (prefix === undefined) return;
	const key = prefixKey(match, prefix);
	if (!seen.prefixes.has(key)) seen.prefixes.set(key, rule);
}

/** Equal conditions give equal text, whatever the order of their fields. */
function canonical(value: unknown): string {
	const sort = (part: unknown): unknown => {
		if (Array.isArray(part)) return part.map(sort);
		if (typeof part !== "object" || part === null) return part;
		return Object.entries(part)
			.filter(([, inner]) => inner !== undefined)
			.sort(([a], [b]) => (a < b ? -1 : 1))
			.map(([key, inner]) => [key, sort(inner)]);
	};
	return JSON.stringify(sort(value));
}
