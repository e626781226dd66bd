import { definedKeys, fieldOf, isJsonObject, isSameJson, type Json, type JsonObject } from "./json.ts";

/** https://www.rfc-editor.org/rfc/rfc6902; only the operations that an admission patch needs. */
export type PatchOperation = { readonly op: "add" | "replace"; readonly path: string; readonly value: Json } | { readonly op: "remove"; readonly path: string };

/** Longer lists than this are replaced as a whole: aligning two takes the product of their lengths. */
const alignedItemsMax = 1_000;

/** What turns `from` into `to`, as little as possible: lists of named items are aligned by name. */
export function createPatch(from: Json, to: Json): readonly PatchOperation[] {
	const operations: PatchOperation[] = [];
	diff(from, to, "", operations);
	return operations;
}

function diff(from: Json, to: Json, path: string, out: PatchOperation[]): void {
	if (isJsonObject(from) && isJsonObject(to)) return diffObjects(from, to, path, out);
	if (isSameJson(from, to)) return;
	const names = Array.isArray(from) && Array.isArray(to) ? { from: itemNames(from), to: itemNames(to) } : undefined;
	if (names?.from && names.to) return diffNamedItems(from as readonly Json[], to as readonly Json[], names.from, names.to, path, out);
	out.push({ op: "replace", path, value: to });
}

function diffObjects(from: JsonObject, to: JsonObject, path: string, out: PatchOperation[]): void {
	for (const key of definedKeys(from)) if (fieldOf(to, key) === undefined) out.push({ op: "remove", path: `${path}/${escapePointer(key)}` });
	for (const key of definedKeys(to)) {
		const before = fieldOf(from, key);
		const after = to[key] as Json;
		if (before === undefined) out.push({ op: "add", path: `${path}/${escapePointer(key)}`, value: after });
		else diff(before, after, `${path}/${escapePointer(key)}`, out);
	}
}

function diffNamedItems(
	from: readonly Json[],
	to: readonly Json[],
	oldNames: readonly string[],
	newNames: readonly string[],
	path: string,
	out: PatchOperation[],
): void {
	const kept = commonSubsequence(oldNames, newNames);
	for (let i = from.length - 1; i >= 0; i--) if (!kept.has(oldNames[i] ?? "")) out.push({ op: "remove", path: `${path}/${i}` });
	for (const [i, item] of to.entries()) {
		const name = newNames[i] ?? "";
		if (kept.has(name)) diff(from[oldNames.indexOf(name)] ?? null, item, `${path}/${i}`, out);
		else out.push({ op: "add", path: `${path}/${i}`, value: item });
	}
}

/** The names of a list's items, if each has one of its own. */
function itemNames(list: readonly Json[]): readonly string[] | undefined {
	if (list.length > alignedItemsMax) return undefined;
	const names: string[] = [];
	for (const item of list) {
		const name = isJsonObject(item) ? (item["name"] ?? item["mountPath"]) : undefined;
		if (typeof name !== "string") return undefined;
		names.push(name);
	}
	return new Set(names).size === names.length ? names : undefined;
}

/** The longest run of names that stand in both lists in the same order. */
function commonSubsequence(a: readonly string[], b: readonly string[]): ReadonlySet<string> {
	const lengths = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
	const at = (i: number, j: number): number => lengths[i]?.[j] ?? 0;
	for (let i = a.length - 1; i >= 0; i--) {
		const row = lengths[i];
		if (row === undefined) continue;
		for (let j = b.length - 1; j >= 0; j--) row[j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
	}
	const common = new Set<string>();
	for (let i = 0, j = 0; i < a.length && j < b.length; ) {
		if (a[i] === b[j]) {
			common.add(a[i] ?? "");
			i++;
			j++;
		} else if (at(i + 1, j) >= at(i, j + 1)) i++;
		else j++;
	}
	return common;
}

/** https://www.rfc-editor.org/rfc/rfc6901#section-3 */
const escapePointer = (key: string): string => key.replaceAll("~", "~0").replaceAll("/", "~1");
