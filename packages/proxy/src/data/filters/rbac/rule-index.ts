import type { StreamInfo } from "../../log/stream-info.ts";
import type { Attribute, Guard } from "./rule-guard.ts";

/** Fewer are tried one by one sooner than a request is looked up. */
const indexedMin = 8;

/** Finds, of many rules, those that a request may match: all others have a guard that does not hold. */
export interface RuleIndex {
	/** The first in their order of which `isMatch` is true; -1: none. */
	first(info: StreamInfo, isMatch: (at: number) => boolean): number;
}

/** @param guards of the rules, in their order. @returns undefined where trying all of them is as good */
export function createRuleIndex(guards: readonly (Guard | undefined)[]): RuleIndex | undefined {
	const guarded = guards.filter((guard) => guard !== undefined);
	if (guarded.length < indexedMin) return undefined;
	const tables = new Map<string, AttributeTable>();
	const always: number[] = [];
	for (const [at, guard] of guards.entries()) {
		if (guard === undefined) always.push(at);
		else {
			const { attribute } = guard;
			const table = tables.get(attribute.id) ?? new AttributeTable(attribute);
			tables.set(attribute.id, table);
			table.add(guard, at);
		}
	}
	const lookups = [...tables.values()];
	return {
		first(info, isMatch) {
			const found: number[] = [];
			for (const table of lookups) table.find(info, found);
			if (found.length > 1) found.sort((a, b) => a - b);
			return firstOf(found, always, isMatch);
		},
	};
}

/** Two sorted lists as one. */
function firstOf(found: readonly number[], always: readonly number[], isMatch: (at: number) => boolean): number {
	let next = 0;
	for (const at of found) {
		for (; next < always.length && (always[next] as number) < at; next++) if (isMatch(always[next] as number)) return always[next] as number;
		if (isMatch(at)) return at;
	}
	for (; next < always.length; next++) if (isMatch(always[next] as number)) return always[next] as number;
	return -1;
}

class AttributeTable {
	readonly #attribute: Attribute;
	readonly #exact = new Map<string, number[]>();
	/** By length. */
	readonly #prefixes = new Map<number, Map<string, number[]>>();

	constructor(attribute: Attribute) {
		this.#attribute = attribute;
	}

	add({ exact, prefixes }: Guard, at: number): void {
		for (const value of exact) push(this.#exact, value, at);
		for (const prefix of prefixes) {
			const ofLength = this.#prefixes.get(prefix.length) ?? new Map<string, number[]>();
			this.#prefixes.set(prefix.length, ofLength);
			push(ofLength, prefix, at);
		}
	}

	find(info: StreamInfo, into: number[]): void {
		for (const value of this.#attribute.read(info)) {
			take(this.#exact.get(value), into);
			for (const [length, ofLength] of this.#prefixes) if (length <= value.length) take(ofLength.get(value.slice(0, length)), into);
		}
	}
}

function push(into: Map<string, number[]>, key: string, at: number): void {
	const there = into.get(key);
	if (there === undefined) into.set(key, [at]);
	else there.push(at);
}

function take(found: readonly number[] | undefined, into: number[]): void {
	if (found !== undefined) for (const at of found) into.push(at);
}
