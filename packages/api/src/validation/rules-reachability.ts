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

interface Seen {
	readonly rule: number;
	/** All conditions. */
	readonly whole: string;
	/** All but the path, for matches by prefix. */
	readonly rest: string;
	readonly prefix: string | undefined;
}

function checkRules(report: Report, list: string, rules: readonly Rule[]): void {
	const seen: Seen[] = [];
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
		const own = matches.map((match) => toSeen(match, i));
		let covered = 0;
		for (const [j, match] of own.entries()) {
			const earlier = seen.find((candidate) => covers(candidate, match));
			if (earlier === undefined) continue;
			covered++;
			const message = `VirtualService rule ${name} match #${j} is not used (duplicate/overlapping match in rule #${earlier.rule}); remove it, or move it up`;
			at.at("match", j).info(message, diagnosticCodes.ineffectiveMatch);
		}
		if (covered > 0 && covered === own.length)
			at.warn(`VirtualService rule ${name} not used (all matches used by prior rules); remove it`, diagnosticCodes.unreachableRule);
		seen.push(...own);
	}
}

function toSeen(match: HTTPMatchRequest, rule: number): Seen {
	const conditions = { ...match, name: undefined, statPrefix: undefined };
	return { rule, whole: canonical(conditions), rest: canonical({ ...conditions, uri: undefined }), prefix: match.uri?.prefix };
}

/** The same conditions, or the same with a shorter prefix of the path. */
function covers(earlier: Seen, later: Seen): boolean {
	if (earlier.whole === later.whole) return true;
	if (earlier.prefix === undefined || later.prefix === undefined) return false;
	return earlier.rest === later.rest && later.prefix.startsWith(earlier.prefix);
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
