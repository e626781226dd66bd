/** Deep equality of JSON values. Two absent fields and an undefined one are equal. */
export function isDeepEqual(a: unknown, b: unknown): boolean {
	if (Object.is(a, b)) return true;
	if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
	if (Array.isArray(a) || Array.isArray(b)) {
		return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, i) => isDeepEqual(item, b[i]));
	}
	const left = Object.entries(a).filter(([, value]) => value !== undefined);
	const right = Object.entries(b).filter(([, value]) => value !== undefined);
	if (left.length !== right.length) return false;
	const other = new Map<string, unknown>(right);
	return left.every(([key, value]) => other.has(key) && isDeepEqual(value, other.get(key)));
}
