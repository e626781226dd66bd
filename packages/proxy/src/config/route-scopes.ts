import type { RouteTable } from "./routes.ts";

/** Scoped routes: a request's key, computed from its headers, chooses the scope whose table routes it. */

/** One part of a key: of a header's first value. A request that has no such part is in no scope. */
export interface ScopeKeyFragment {
	/** Lower case. */
	readonly header: string;
	/** What the value is split by; "": it is one element. */
	readonly elementSeparator: string;
	readonly extract:
		| { readonly kind: "index"; readonly index: number }
		/** The first element that is `key` up to the separator; the fragment is what follows. */
		| { readonly kind: "element"; readonly separator: string; readonly key: string };
}

export interface RouteScope {
	readonly name: string;
	/** Its table is fetched when the first request of the scope wants it. */
	readonly onDemand: boolean;
	readonly key: readonly string[];
	readonly routes: { readonly kind: "rds"; readonly name: string } | { readonly kind: "inline"; readonly table: RouteTable };
}

export interface ScopedRoutes {
	readonly name: string;
	readonly keyBuilder: readonly ScopeKeyFragment[];
	/** undefined: the control plane gives them (SRDS). */
	readonly scopes: readonly RouteScope[] | undefined;
}

/** Equal for equal keys alone. */
export const scopeKeyText = (fragments: readonly string[]): string => fragments.map((fragment) => `${fragment.length}:${fragment}`).join("");

/** Says where a key would be two scopes' (of `scopes` or of those `before`), or a name stands twice, in Envoy's words. */
export function findScopeConflict(
	scopes: readonly RouteScope[],
	before: Iterable<RouteScope>,
): { readonly name: string; readonly message: string } | undefined {
	const names = new Set<string>();
	const owners = new Map(Array.from(before, ({ key, name }) => [scopeKeyText(key), name]));
	for (const { key, name } of scopes) {
		if (names.has(name)) return { name, message: `duplicate scoped route configuration '${name}' found` };
		names.add(name);
		const text = scopeKeyText(key);
		const owner = owners.get(text);
		if (owner !== undefined) return { name, message: `scope key conflict found, first scope is '${owner}', second scope is '${name}'` };
		owners.set(text, name);
	}
	return undefined;
}
