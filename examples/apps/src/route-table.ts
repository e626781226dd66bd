import type { AppRequest, AppResponse } from "./http-server.ts";

export type Handler = (request: AppRequest, parameters: ReadonlyMap<string, string>) => AppResponse | Promise<AppResponse>;

export type Route = {
	/** HTTP method, or `*` for every method. A GET route answers HEAD too. */
	readonly method: string;
	/** `/status/:code` captures one segment; a last segment `*` takes the rest of the path. */
	readonly path: string;
	readonly handler: Handler;
};

export type RouteMatch =
	| { readonly kind: "hit"; readonly handler: Handler; readonly parameters: ReadonlyMap<string, string> }
	| { readonly kind: "wrong-method"; readonly allow: readonly string[] }
	| { readonly kind: "miss" };

/** First route in table order whose path and method match. */
export function matchRoute(routes: readonly Route[], method: string, path: string): RouteMatch {
	const allow: string[] = [];
	for (const route of routes) {
		const parameters = matchPath(route.path, path);
		if (parameters === undefined) continue;
		const takes = route.method === "*" || route.method === method || (route.method === "GET" && method === "HEAD");
		if (takes) return { kind: "hit", handler: route.handler, parameters };
		allow.push(route.method);
	}
	return allow.length > 0 ? { kind: "wrong-method", allow } : { kind: "miss" };
}

function matchPath(pattern: string, path: string): ReadonlyMap<string, string> | undefined {
	const wanted = pattern.split("/");
	const given = path.split("/");
	const open = wanted.at(-1) === "*";
	if (open ? given.length < wanted.length - 1 : given.length !== wanted.length) return undefined;
	const parameters = new Map<string, string>();
	for (const [index, want] of wanted.entries()) {
		if (want === "*" && index === wanted.length - 1) break;
		const have = given[index] ?? "";
		if (want.startsWith(":")) {
			const value = decodeSegment(have);
			if (value === undefined || value === "") return undefined;
			parameters.set(want.slice(1), value);
		} else if (want !== have) return undefined;
	}
	return parameters;
}

function decodeSegment(segment: string): string | undefined {
	try {
		return decodeURIComponent(segment);
	} catch {
		// A malformed percent escape names no resource of ours.
		return undefined;
	}
}
