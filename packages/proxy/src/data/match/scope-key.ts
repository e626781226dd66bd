import type { Changes } from "../../config/runtime-config.ts";
import { type RouteScope, scopeKeyText, type ScopeKeyFragment } from "../../config/route-scopes.ts";
import { headerReader, type RequestView } from "../headers/headers-view.ts";
import { type CompiledRouteTable, compileRouteTable, type RouteTableInputs } from "./route-table.ts";

/** The text of a request's key (`scopeKeyText`); undefined: it has none. */
export type ScopeKeyOf = (request: RequestView) => string | undefined;

/** A scope whose table, unless it came with the scope, is in the snapshot under its name. */
export interface CompiledScope {
	readonly config: RouteScope;
	readonly table: CompiledRouteTable | undefined;
}

/** By the texts of their keys. */
export type CompiledScopes = ReadonlyMap<string, CompiledScope>;

export function compileScopeKey(fragments: readonly ScopeKeyFragment[]): ScopeKeyOf {
	const readers = fragments.map(compileFragment);
	return (request) => {
		const parts: string[] = [];
		for (const read of readers) {
			const part = read(request);
			if (part === undefined) return undefined;
			parts.push(part);
		}
		return scopeKeyText(parts);
	};
}

function compileFragment({ header, elementSeparator, extract }: ScopeKeyFragment): (request: RequestView) => string | undefined {
	const read = firstValueReader(header);
	return (request) => {
		const value = read(request);
		if (value === undefined) return undefined;
		const elements = elementSeparator === "" ? [value] : value.split(elementSeparator);
		return extract.kind === "index" ? elements[extract.index] : valueOfKey(elements, extract.separator, extract.key);
	};
}

function valueOfKey(elements: readonly string[], separator: string, key: string): string | undefined {
	for (const element of elements) {
		const at = element.indexOf(separator);
		if ((at < 0 ? element : element.slice(0, at)) === key) return at < 0 ? "" : element.slice(at + separator.length);
	}
	return undefined;
}

/** Clients may send a header several times; only the first counts. */
function firstValueReader(header: string): (request: RequestView) => string | undefined {
	if (header.startsWith(":") || header === "host") return headerReader(header);
	return (request) => {
		let first: string | undefined;
		// Nearly always there is one, which needs no look at all lines.
		const all = request.get(header);
		if (all === undefined || !all.includes(",")) return all;
		request.forEach((name, value) => {
			if (first === undefined && name === header) first = value;
		});
		return first;
	};
}

/** The scopes with some replaced; of several with one name or key the last counts. One that does not compile is reported, and is not there. */
export function compileScopes(
	known: CompiledScopes,
	{ upsert, remove }: Changes<RouteScope>,
	inputs: RouteTableInputs,
	onError: (scope: string, message: string) => void,
): CompiledScopes {
	if (upsert.length + remove.length === 0) return known;
	const gone = new Set([...remove, ...upsert.map(({ name }) => name)]);
	const scopes = new Map([...known].filter(([, { config }]) => !gone.has(config.name)));
	for (const config of new Map(upsert.map((one) => [one.name, one])).values()) {
		const { routes } = config;
		const compiled = routes.kind === "inline" ? compileRouteTable(routes.table, inputs) : undefined;
		for (const message of compiled?.errors ?? []) onError(config.name, message);
		if ((compiled?.errors.length ?? 0) === 0) scopes.set(scopeKeyText(config.key), { config, table: compiled?.value });
	}
	return scopes;
}

export function tableOfScope({ config, table }: CompiledScope, tables: ReadonlyMap<string, CompiledRouteTable>): CompiledRouteTable | undefined {
	return config.routes.kind === "rds" ? tables.get(config.routes.name) : table;
}
