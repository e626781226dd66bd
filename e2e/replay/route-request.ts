import type { Json } from "./corpus.ts";
import { sampleOf } from "./pattern-sample.ts";

/** A request that one route of a table takes. */
export interface RouteRequest {
	readonly method: string;
	readonly authority: string;
	/** With the query. */
	readonly path: string;
	readonly headers: Readonly<Record<string, string>>;
}

type List = readonly Json[];
const listOf = (value: unknown): List => (value ?? []) as List;
const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

/**
 * Builds a request from a route's match, and makes sure that no earlier route and no other virtual host would take it, as
 * the documentation of route matching has it (and not as the proxy's code does). undefined: there is no such request.
 */
export function requestOf(table: Json, host: Json, route: Json): RouteRequest | undefined {
	const match = route["match"] as Json;
	// What a token says cannot be made up here.
	if (match["dynamicMetadata"] !== undefined || match["connectMatcher"] !== undefined) return undefined;
	const authority = authorityOf(table, host);
	if (authority === undefined) return undefined;
	const headers = Object.fromEntries(listOf(match["headers"]).flatMap(headerOf));
	const query = listOf(match["queryParameters"]).map(
		(one) => `${textOf(one["name"])}=${encodeURIComponent(sampleOfText(one["stringMatch"] as Json | undefined))}`,
	);
	const { ":method": _, ":authority": named = authority, ":scheme": __, ...rest } = headers;
	const method = methodOf(listOf(match["headers"]));
	for (const bare of pathsOf(match)) {
		const path = query.length === 0 ? bare : `${bare}?${query.join("&")}`;
		const request = { method, authority: named, path, headers: rest };
		if (listOf(host["routes"]).find((one) => takes(one["match"] as Json, request)) === route) return request;
	}
	return undefined;
}

// ---- virtual hosts: exact names, then the longest wildcard in front, then the longest behind, then all

function authorityOf(table: Json, host: Json): string | undefined {
	const candidates = (host["domains"] as readonly string[]).flatMap((domain) => {
		if (domain === "*") return ["replay.example", "replay.example:81"];
		return [domain.startsWith("*") ? `replay${domain.slice(1)}` : domain.endsWith("*") ? `${domain.slice(0, -1)}replay` : domain];
	});
	return candidates.find((candidate) => hostFor(table, candidate) === host);
}

function hostFor(table: Json, authority: string): Json | undefined {
	const name = (table["ignorePortInHostMatching"] === true ? authority.replace(/:\d+$/, "") : authority).toLowerCase();
	let best: { readonly host: Json; readonly rank: number } | undefined;
	for (const host of listOf(table["virtualHosts"])) {
		for (const domain of host["domains"] as readonly string[]) {
			const rank = rankOf(domain.toLowerCase(), name);
			if (rank > (best?.rank ?? 0)) best = { host, rank };
		}
	}
	return best?.host;
}

/** 0: it does not match. */
function rankOf(domain: string, name: string): number {
	if (domain === name) return 3e6;
	if (domain === "*") return 1;
	if (domain.startsWith("*")) return name.length >= domain.length && name.endsWith(domain.slice(1)) ? 2e6 + domain.length : 0;
	return domain.endsWith("*") && name.length >= domain.length && name.startsWith(domain.slice(0, -1)) ? 1e6 + domain.length : 0;
}

// ---- what a match asks for

function pathsOf(match: Json): readonly string[] {
	const { path, pathSeparatedPrefix, prefix, safeRegex } = match;
	if (typeof path === "string") return [path];
	if (typeof pathSeparatedPrefix === "string") return [pathSeparatedPrefix, `${pathSeparatedPrefix}/replay`];
	if (safeRegex !== undefined) return [sampleOf(textOf((safeRegex as Json)["regex"]))];
	const start = textOf(prefix);
	return [start, `${start}replay`, `${start}/replay`, `${start}/replay/again`];
}

/** Methods are not made up: parsers know which there are. */
function methodOf(matchers: List): string {
	const wanted = matchers.filter(({ name }) => name === ":method");
	const isWanted = (method: string) => wanted.every((one) => takesHeader(one, { method, authority: "", path: "", headers: {} }));
	return ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"].find(isWanted) ?? "GET";
}

function sampleOfText(match: Json | undefined): string {
	if (match === undefined) return "replay";
	const { contains, exact, prefix, safeRegex, suffix } = match;
	if (safeRegex !== undefined) return sampleOf(textOf((safeRegex as Json)["regex"]));
	return textOf(exact ?? prefix ?? suffix ?? contains);
}

function headerOf(matcher: Json): readonly (readonly [string, string])[] {
	const isAbsent = matcher["invertMatch"] === true || matcher["presentMatch"] === false;
	return isAbsent ? [] : [[textOf(matcher["name"]), sampleOfText(matcher["stringMatch"] as Json | undefined)]];
}

// ---- whether a match takes a request

function takes(match: Json, request: RouteRequest): boolean {
	if (match["dynamicMetadata"] !== undefined || match["connectMatcher"] !== undefined) return false;
	const [bare = "", query = ""] = request.path.split("?");
	const asked = new URLSearchParams(query);
	return (
		takesPath(match, bare) &&
		listOf(match["headers"]).every((one) => takesHeader(one, request)) &&
		listOf(match["queryParameters"]).every((one) => {
			const value = asked.get(textOf(one["name"]));
			return value !== null && takesText(one["stringMatch"] as Json | undefined, value);
		})
	);
}

function takesPath(match: Json, bare: string): boolean {
	const fold = (text: string) => (match["caseSensitive"] === false ? text.toLowerCase() : text);
	const at = fold(bare);
	const { path, pathSeparatedPrefix, prefix, safeRegex } = match;
	if (typeof path === "string") return at === fold(path);
	if (typeof pathSeparatedPrefix === "string") return at === fold(pathSeparatedPrefix) || at.startsWith(`${fold(pathSeparatedPrefix)}/`);
	if (safeRegex !== undefined) return isWhole(textOf((safeRegex as Json)["regex"]), bare);
	return at.startsWith(fold(textOf(prefix)));
}

function takesHeader(matcher: Json, { authority, headers, method }: RouteRequest): boolean {
	const name = textOf(matcher["name"]);
	const found = name === ":method" ? method : name === ":authority" ? authority : headers[name];
	const value = found ?? (matcher["treatMissingHeaderAsEmpty"] === true ? "" : undefined);
	const isMatch =
		matcher["presentMatch"] === undefined
			? value !== undefined && takesText(matcher["stringMatch"] as Json | undefined, value)
			: (value !== undefined) === matcher["presentMatch"];
	return isMatch !== (matcher["invertMatch"] === true);
}

function takesText(match: Json | undefined, value: string): boolean {
	if (match === undefined) return true;
	const fold = (text: unknown) => (match["ignoreCase"] === true ? textOf(text).toLowerCase() : textOf(text));
	if (match["exact"] !== undefined) return fold(value) === fold(match["exact"]);
	if (match["prefix"] !== undefined) return fold(value).startsWith(fold(match["prefix"]));
	if (match["suffix"] !== undefined) return fold(value).endsWith(fold(match["suffix"]));
	if (match["contains"] !== undefined) return fold(value).includes(fold(match["contains"]));
	return isWhole(textOf((match["safeRegex"] as Json)["regex"]), value);
}

function isWhole(pattern: string, text: string): boolean {
	return new RegExp(`^(?:${pattern})$`, "s").test(text);
}
