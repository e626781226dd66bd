import type { Headers } from "@weft/api";
import { type HeaderOption, headerOption } from "./values.ts";

/** Header fields of a Route or ClusterWeight. */
export interface HeaderFields {
	readonly requestHeadersToAdd?: readonly HeaderOption[];
	readonly requestHeadersToRemove?: readonly string[];
	readonly responseHeadersToAdd?: readonly HeaderOption[];
	readonly responseHeadersToRemove?: readonly string[];
}

export interface HeaderOperationsResult {
	readonly fields: HeaderFields;
	/** Setting Host (or :authority) is a host rewrite in Envoy, not a header operation. */
	readonly authority: string | undefined;
}

const nothing: HeaderOperationsResult = { fields: {}, authority: undefined };

export function buildHeaderOperations(headers: Headers | undefined): HeaderOperationsResult {
	if (headers === undefined) return nothing;
	const { request, response } = headers;
	const authority = [...Object.entries(request?.set ?? {}), ...Object.entries(request?.add ?? {})].find(([key]) => isAuthority(key))?.[1];
	return {
		authority,
		fields: prune({
			requestHeadersToAdd: [...options(request?.set, true), ...options(request?.add, false)],
			requestHeadersToRemove: (request?.remove ?? []).filter((key) => !isInternal(key)),
			responseHeadersToAdd: [...options(response?.set, true), ...options(response?.add, false)],
			responseHeadersToRemove: (response?.remove ?? []).filter((key) => !isInternal(key)),
		}),
	};
}

/** Destination operations come after the route's own. */
export function mergeHeaderFields(first: HeaderFields, second: HeaderFields): HeaderFields {
	return prune({
		requestHeadersToAdd: [...(first.requestHeadersToAdd ?? []), ...(second.requestHeadersToAdd ?? [])],
		requestHeadersToRemove: [...(first.requestHeadersToRemove ?? []), ...(second.requestHeadersToRemove ?? [])],
		responseHeadersToAdd: [...(first.responseHeadersToAdd ?? []), ...(second.responseHeadersToAdd ?? [])],
		responseHeadersToRemove: [...(first.responseHeadersToRemove ?? []), ...(second.responseHeadersToRemove ?? [])],
	});
}

function options(map: Readonly<Record<string, string>> | undefined, overwrite: boolean): HeaderOption[] {
	return Object.keys(map ?? {})
		.filter((key) => !isInternal(key))
		.sort()
		.map((key) => headerOption(key, map?.[key] ?? "", overwrite));
}

/** Envoy lets nobody change these by name. */
function isInternal(key: string): boolean {
	return key.startsWith(":") || key.toLowerCase() === "host";
}

function isAuthority(key: string): boolean {
	const lower = key.toLowerCase();
	return lower === "host" || lower === ":authority";
}

function prune(fields: HeaderFields): HeaderFields {
	return Object.fromEntries(Object.entries(fields).filter(([, value]) => value.length > 0));
}
