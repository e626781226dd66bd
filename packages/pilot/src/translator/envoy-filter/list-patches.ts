import type { MergeOptions } from "@weft/xds";
import type { Patch } from "../../model/envoy-filters.ts";

/** How patches find their way in a list of named things: filters, chains, routes. */
export interface ListPatcher<T> {
	/** Does the patch name this element? Asked only of patches that name one. */
	readonly isTarget: (patch: Patch, element: T) => boolean;
	/** Does the patch name an element at all? One that does not stands for the whole list. */
	readonly namesTarget: (patch: Patch) => boolean;
	readonly merge: (element: T, value: T, options: MergeOptions) => T;
	/** What a patch without a name does to all elements; whatever else it asks of elements it does to none. */
	readonly forAll: ReadonlySet<"MERGE" | "REMOVE">;
	/** INSERT_FIRST with a name is for lists alone that have an element of it. */
	readonly firstNeedsTarget?: boolean;
	/** Where an ADD goes: the position in front of which it is put. */
	readonly addAt?: (patch: Patch, list: readonly T[]) => number;
}

/**
 * The list after the patches, one by one in their order. A patch that names an element that is not there does nothing;
 * without a name, INSERT_BEFORE is INSERT_FIRST, INSERT_AFTER is ADD, and REPLACE is nothing.
 */
export function patchList<T>(list: readonly T[], patches: readonly Patch[], patcher: ListPatcher<T>): readonly T[] {
	return patches.reduce((elements, patch) => applyPatch(elements, patch, patcher), list);
}

function applyPatch<T>(list: readonly T[], patch: Patch, patcher: ListPatcher<T>): readonly T[] {
	const named = patcher.namesTarget(patch);
	const isHit = (element: T) => (named ? patcher.isTarget(patch, element) : patcher.forAll.has(patch.operation === "REMOVE" ? "REMOVE" : "MERGE"));
	// Decoded as a message of the kind that this list is of.
	const value = patch.value as T;
	const at = list.findIndex((element) => named && patcher.isTarget(patch, element));
	switch (patch.operation) {
		case "ADD":
			return list.toSpliced(patcher.addAt?.(patch, list) ?? list.length, 0, value);
		case "INSERT_FIRST":
			return named && at < 0 && patcher.firstNeedsTarget ? list : [value, ...list];
		case "INSERT_BEFORE":
			if (!named) return [value, ...list];
			return at < 0 ? list : list.toSpliced(at, 0, value);
		case "INSERT_AFTER":
			if (!named) return [...list, value];
			return at < 0 ? list : list.toSpliced(at + 1, 0, value);
		case "REPLACE":
			return at < 0 ? list : list.with(at, value);
		case "REMOVE":
			return list.some(isHit) ? list.filter((element) => !isHit(element)) : list;
		default:
			return list.some(isHit) ? list.map((element) => (isHit(element) ? patcher.merge(element, value, mergeOptions(patch)) : element)) : list;
	}
}

export const isMerge = ({ operation }: Patch): boolean => operation === "MERGE" || operation === "MERGE_AND_REPLACE_LIST";

export const editsAll: ReadonlySet<"MERGE" | "REMOVE"> = new Set(["MERGE", "REMOVE"]);

export function mergeOptions({ operation }: Patch): MergeOptions {
	return { replaceLists: operation === "MERGE_AND_REPLACE_LIST" };
}
