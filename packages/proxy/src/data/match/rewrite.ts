import type { PathMatch } from "../../config/matchers.ts";
import type { RedirectAction, RouteAction } from "../../config/routes.ts";
import { compileFormat, type FormatterEnvironment } from "../headers/formatter.ts";
import { firstReader, type RequestView } from "../headers/headers-view.ts";
import type { StreamInfo } from "../log/stream-info.ts";
import type { CompileContext } from "./compile-context.ts";
import { withoutQuery } from "./path-match.ts";

/** `:path` → the path to send upstream, query kept; undefined: it stays. */
export type PathRewrite = (path: string, info: StreamInfo) => string | undefined;

/** undefined: the path stays. */
export function compilePathRewrite(match: PathMatch, action: RouteAction, context: CompileContext, environment: FormatterEnvironment): PathRewrite | undefined {
	const { pathFormat, prefixRewrite, regexRewrite } = action;
	if (pathFormat !== undefined) return compilePathFormat(pathFormat, context, environment);
	if (prefixRewrite !== undefined && prefixRewrite !== "") return replaceMatched(match, prefixRewrite);
	if (!regexRewrite) return undefined;
	const replaceAll = context.regex(regexRewrite.pattern).substitution(regexRewrite.substitution);
	return (path) => onBarePath(path, replaceAll);
}

function compilePathFormat(text: string, context: CompileContext, environment: FormatterEnvironment): PathRewrite {
	const write = compileOneLine("path_rewrite", text, "", context, environment);
	return (path, info) => {
		const written = write(info);
		return written === "" ? undefined : onBarePath(path, () => written);
	};
}

/** What a peer sent must not end the line that it comes to stand in. */
function compileOneLine(
	field: string,
	text: string,
	empty: string,
	{ errors }: CompileContext,
	environment: FormatterEnvironment,
): (info: StreamInfo) => string {
	const format = compileFormat(text, empty, environment);
	errors.push(...format.errors.map((error) => `${field}: ${error}`));
	return (info) => format.value?.(info).replace(/[\r\n\0]/g, "") ?? "";
}

/** Puts `value` where the route's prefix or exact path matched; with a regex match, in place of the whole path. */
function replaceMatched(match: PathMatch, value: string): (path: string) => string {
	if (match.kind === "prefix" || match.kind === "pathSeparatedPrefix") {
		const { length } = match.value;
		return (path) => value + path.slice(length);
	}
	return (path) => onBarePath(path, () => value);
}

function onBarePath(path: string, change: (bare: string) => string): string {
	const bare = withoutQuery(path);
	return change(bare) + path.slice(bare.length);
}

/** The new `:authority`; undefined: it stays. `auto` is the upstream's host name, which the router knows. */
export type HostRewrite = (head: RequestView, info: StreamInfo) => string | undefined;

export function compileHostRewrite(rewrite: RouteAction["hostRewrite"], context: CompileContext, environment: FormatterEnvironment): HostRewrite | undefined {
	switch (rewrite?.kind) {
		case undefined:
		case "auto":
			return undefined;
		case "literal":
			return () => rewrite.value;
		case "header": {
			const read = firstReader(rewrite.name);
			return (head) => read(head) || undefined;
		}
		case "pathRegex": {
			const replaceAll = context.regex(rewrite.pattern).substitution(rewrite.substitution);
			return (head) => replaceAll(withoutQuery(head.path)) || undefined;
		}
		case "format": {
			const write = compileOneLine("host_rewrite", rewrite.value, "-", context, environment);
			return (_, info) => write(info) || undefined;
		}
	}
}

/** The `location` of a redirect. */
export type RedirectLocation = (head: RequestView, info: StreamInfo) => string;

export function compileRedirect(match: PathMatch, action: RedirectAction, context: CompileContext, environment: FormatterEnvironment): RedirectLocation {
	const path = compileRedirectPath(match, action, context, environment);
	return (head, info) => {
		const scheme = action.scheme ?? head.scheme;
		const host = action.host ?? dropDefaultPort(head.authority, head.scheme, action.scheme !== undefined && action.port === undefined);
		const target = path(head.path, info);
		return `${scheme}://${action.port === undefined ? host : withPort(host, action.port)}${target.startsWith("/") ? target : `/${target}`}`;
	};
}

function compileRedirectPath(
	match: PathMatch,
	action: RedirectAction,
	context: CompileContext,
	environment: FormatterEnvironment,
): (path: string, info: StreamInfo) => string {
	const keepQuery = (path: string) => (action.stripQuery ? withoutQuery(path) : path);
	const change = action.path;
	switch (change?.kind) {
		case undefined:
			return keepQuery;
		case "full":
			return (path) => withQueryOf(change.value, keepQuery(path));
		case "format": {
			const write = compileOneLine("path_rewrite", change.value, "", context, environment);
			return (path, info) => withQueryOf(write(info) || withoutQuery(path), keepQuery(path));
		}
		case "prefix": {
			const replace = replaceMatched(match, change.value);
			return (path) => keepQuery(replace(path));
		}
		case "regex": {
			const replaceAll = context.regex(change.pattern).substitution(change.substitution);
			return (path) => keepQuery(onBarePath(path, replaceAll));
		}
	}
}

/** A path that brings its own query replaces the request's. */
const withQueryOf = (path: string, asked: string): string => (path.includes("?") ? path : path + asked.slice(withoutQuery(asked).length));

/** A port that only said what the old scheme's default is would be wrong under the new scheme. */
function dropDefaultPort(authority: string, scheme: string, changed: boolean): string {
	const port = scheme === "https" ? ":443" : ":80";
	return changed && authority.endsWith(port) ? authority.slice(0, -port.length) : authority;
}

/** Given by the user, so written out even where it is the scheme's default, as Envoy does. */
function withPort(host: string, port: number): string {
	const bare = host.startsWith("[") ? host.replace(/\]:\d+$/, "]") : host.replace(/:\d+$/, "");
	return `${bare}:${port}`;
}
