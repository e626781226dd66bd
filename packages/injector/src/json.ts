/** JSON as Kubernetes writes it; a field that is undefined is not there. */
export type Json = string | number | boolean | null | readonly Json[] | JsonObject;
export interface JsonObject {
	readonly [field: string]: Json | undefined;
}
export type StringMap = Readonly<Record<string, string>>;

export function isJsonObject(value: unknown): value is JsonObject {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isStringMap(value: unknown): value is StringMap {
	return isJsonObject(value) && Object.values(value).every((entry) => typeof entry === "string");
}

/** Equal whatever the order of fields. */
export function isSameJson(a: Json | undefined, b: Json | undefined): boolean {
	if (a === b) return true;
	if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((entry, i) => isSameJson(entry, b[i]));
	if (!isJsonObject(a) || !isJsonObject(b)) return false;
	const keys = definedKeys(a);
	return keys.length === definedKeys(b).length && keys.every((key) => isSameJson(a[key], fieldOf(b, key)));
}

/** What the object itself has under a name that a user chose: `__proto__` and `constructor` are names like others. */
export function fieldOf(object: JsonObject, name: string): Json | undefined {
	return Object.hasOwn(object, name) ? object[name] : undefined;
}

export function definedKeys(object: JsonObject): readonly string[] {
	return Object.keys(object).filter((key) => object[key] !== undefined);
}

/** Without the fields named. */
export function omit<T extends object>(object: T, fields: readonly string[]): T {
	return Object.fromEntries(Object.entries(object).filter(([field]) => !fields.includes(field))) as T;
}

/** Deepest nesting of brackets in a JSON text; what is inside strings does not count. Linear, and safe on any text. */
export function nestingDepth(text: string): number {
	let depth = 0;
	let deepest = 0;
	let isInString = false;
	for (let i = 0; i < text.length; i++) {
		const c = text.charCodeAt(i);
		if (isInString) {
			if (c === 0x5c) i++;
			else if (c === 0x22) isInString = false;
		} else if (c === 0x22) isInString = true;
		else if (c === 0x7b || c === 0x5b) deepest = Math.max(deepest, ++depth);
		else if (c === 0x7d || c === 0x5d) depth--;
	}
	return deepest;
}
