import { inlineRequestHeaders } from "./inline-headers.ts";

/**
 * How this folder's pure pieces see a message head: names in lower case, values as strings made when asked for. The
 * codec's heads satisfy it; tests use `createHeaders`.
 */
export interface HeadersView {
	/** Repeated headers are joined with a comma. */
	get(name: string): string | undefined;
	/** Of several lines the first one. */
	first(name: string): string | undefined;
	has(name: string): boolean;
}

export interface HeadersEdit extends HeadersView {
	/** Replaces all values. */
	set(name: string, value: string): void;
	append(name: string, value: string): void;
	remove(name: string): void;
}

/** A request's head: pseudo headers are properties, the rest `get`. `path` is the whole `:path`, query included. */
export interface RequestView extends HeadersView {
	readonly method: string;
	readonly path: string;
	readonly authority: string;
	readonly scheme: string;
	/** One call for each field line, in order; pseudo headers are not among them. */
	forEach(visit: (name: string, value: string) => void): void;
}

export type HeaderReader = (head: RequestView) => string | undefined;

const pseudoReaders: ReadonlyMap<string, HeaderReader> = new Map<string, HeaderReader>([
	[":method", (head) => head.method],
	// RFC 9110 §9.3.6: what CONNECT has in its place is the authority.
	[":path", (head) => (head.method === "CONNECT" ? undefined : head.path)],
	[":authority", (head) => head.authority || undefined],
	["host", (head) => head.authority || undefined],
	[":scheme", (head) => head.scheme],
]);

/** Picks at configuration time how to read `name`, so that no request compares names. */
export function headerReader(name: string): HeaderReader {
	const lower = name.toLowerCase();
	return pseudoReaders.get(lower) ?? ((head) => head.get(lower));
}

/** What format operators know of a header: its first line, of those that are one value all of it. */
export function firstReader(name: string): HeaderReader {
	const lower = name.toLowerCase();
	return pseudoReaders.get(lower) ?? (inlineRequestHeaders.has(lower) ? (head) => head.get(lower) : (head) => head.first(lower));
}

/** Headers in a Map, for local replies' heads and for tests. */
export function createHeaders(
	initial: Readonly<Record<string, string>> = {},
): HeadersEdit & Pick<RequestView, "forEach"> & { readonly entries: () => readonly (readonly [string, string])[] } {
	const values = new Map<string, string[]>(Object.entries(initial).map(([name, value]) => [name.toLowerCase(), [value]]));
	return {
		get: (name) => values.get(name)?.join(","),
		first: (name) => values.get(name)?.[0],
		has: (name) => values.has(name),
		forEach(visit) {
			for (const [name, list] of values) for (const value of list) visit(name, value);
		},
		set: (name, value) => void values.set(name, [value]),
		append(name, value) {
			const list = values.get(name);
			if (list) list.push(value);
			else values.set(name, [value]);
		},
		remove: (name) => void values.delete(name),
		entries: () => [...values].flatMap(([name, list]) => list.map((value) => [name, value] as const)),
	};
}

/** A request head over `createHeaders`. */
export function createRequestView(parts: {
	readonly method?: string;
	readonly path?: string;
	readonly authority?: string;
	readonly scheme?: string;
	readonly headers?: Readonly<Record<string, string>>;
}): RequestView & HeadersEdit & { method: string; path: string; authority: string; scheme: string } {
	return Object.assign(createHeaders(parts.headers), {
		method: parts.method ?? "GET",
		path: parts.path ?? "/",
		authority: parts.authority ?? "example.com",
		scheme: parts.scheme ?? "http",
	});
}
