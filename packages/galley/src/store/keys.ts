import type { AnyConfig, ObjectRef } from "@weft/api";

/** Names hold no slash (DNS names), so the key is unambiguous. */
export const refKey = ({ kind, namespace, name }: ObjectRef): string => `${kind}/${namespace}/${name}`;
export const refOf = ({ kind, metadata: { namespace, name } }: AnyConfig): ObjectRef => ({ kind, namespace, name });
export const objectKey = (object: AnyConfig): string => refKey(refOf(object));

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

interface Named {
	readonly metadata: { readonly name: string; readonly namespace: string; readonly creationTimestamp?: string };
}

/** The store's order: namespace, then name. */
export function compareNames(a: Named, b: Named): number {
	return compareText(a.metadata.namespace, b.metadata.namespace) || compareText(a.metadata.name, b.metadata.name);
}

/**
 * Istio's order where objects conflict: oldest first, then by name, then by namespace.
 * Objects without a creation time are all as old as each other, and older than any with one: files are the base that later objects change.
 */
export function compareAge(a: Named, b: Named): number {
	const born = (object: Named) => {
		const ms = Date.parse(object.metadata.creationTimestamp ?? "");
		return Number.isNaN(ms) ? 0 : ms;
	};
	return born(a) - born(b) || compareText(a.metadata.name, b.metadata.name) || compareText(a.metadata.namespace, b.metadata.namespace);
}
