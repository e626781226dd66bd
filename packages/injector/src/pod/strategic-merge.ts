import { fieldOf, isJsonObject, type Json, type JsonObject } from "../json.ts";

// https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md

/** Lists whose items are merged by this field; other lists are replaced whole. Of one kind, no two lists share a name. */
export type MergeKeys = ReadonlyMap<string, string>;

const podKeys: MergeKeys = new Map([
	["containers", "name"],
	["initContainers", "name"],
	["ephemeralContainers", "name"],
	["volumes", "name"],
	["imagePullSecrets", "name"],
	["env", "name"],
	["ports", "containerPort"],
	["volumeMounts", "mountPath"],
	["volumeDevices", "devicePath"],
	["hostAliases", "ip"],
	["topologySpreadConstraints", "topologyKey"],
]);

export const serviceKeys: MergeKeys = new Map([["ports", "port"]]);

/** The fields of a variable exclude each other: the patch's choice stands. */
const alternatives: ReadonlyMap<string, readonly string[]> = new Map([["env", ["value", "valueFrom"]]]);

/** `patch` over `target`, as an API server merges a strategic patch of a Pod, or of what `keys` are for: what the patch does not say stays, null removes. */
export function mergeStrategic(target: JsonObject, patch: JsonObject, keys: MergeKeys = podKeys): JsonObject {
	return mergeObjects(target, patch, "", keys);
}

function mergeObjects(target: JsonObject, patch: JsonObject, listName: string, keys: MergeKeys): JsonObject {
	const merged: Record<string, Json | undefined> = { ...target };
	const choice = alternatives.get(listName) ?? [];
	if (choice.some((field) => patch[field] !== undefined)) for (const field of choice) delete merged[field];
	for (const [field, value] of Object.entries(patch)) {
		if (value === undefined) continue;
		if (value === null) delete merged[field];
		else define(merged, field, mergeValues(fieldOf(target, field), value, field, keys));
	}
	return merged;
}

/** Also for keys such as __proto__, which plain assignment would not set. */
function define(object: Record<string, Json | undefined>, field: string, value: Json): void {
	Object.defineProperty(object, field, { value, enumerable: true, configurable: true, writable: true });
}

function mergeValues(before: Json | undefined, value: Json, field: string, keys: MergeKeys): Json {
	if (isJsonObject(value)) return mergeObjects(isJsonObject(before) ? before : {}, value, "", keys);
	const key = keys.get(field);
	if (key !== undefined && Array.isArray(value) && value.every(isJsonObject)) {
		return mergeLists(Array.isArray(before) ? before.filter(isJsonObject) : [], value, { key, listName: field, keys });
	}
	return value;
}

/**
 * Items of the patch in its order, each over its namesake; the target's own keep theirs. Where both orders leave it open,
 * an item of the target's own stands before a shared one that it preceded, else behind: as the API server does it.
 */
function mergeLists(
	target: readonly JsonObject[],
	patch: readonly JsonObject[],
	{ key, listName, keys }: { readonly key: string; readonly listName: string; readonly keys: MergeKeys },
): readonly JsonObject[] {
	const position = new Map(target.map((item, i) => [item[key], i]));
	const inPatch = new Set(patch.map((item) => item[key]));
	const merged = patch.map((item) => mergeObjects(target[position.get(item[key]) ?? -1] ?? {}, item, listName, keys));
	const own = target.filter((item) => !inPatch.has(item[key]));
	const result: JsonObject[] = [];
	let next = 0;
	for (const item of merged) {
		const shared = position.get(item[key]);
		while (shared !== undefined && next < own.length && (position.get(own[next]?.[key]) ?? 0) < shared) result.push(own[next++] ?? {});
		result.push(item);
	}
	return [...result, ...own.slice(next)];
}
