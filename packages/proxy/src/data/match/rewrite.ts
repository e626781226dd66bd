import type { PathMatch } from "../../config/matchers.ts";
import type { RedirectAction, RouteAction } from "../../config/routes.ts";
import { compileFormat, type FormatterEnvironment } from "../headers/formatter.ts";
import type { RequestView } from "../headers/headers-view.ts";
import type { StreamInfo } from "../log/stream-info.ts";
import type { CompileContext } from "./compile-context.ts";
import { withoutQuery } from "./path-match.ts";

/** `:path` → the path to send upstream, query kept. */
export type PathRewrite = (path: string, info: StreamInfo) => string;

/** undefined: the path stays. */
export function compilePathRewrite(match: PathMatch, action: RouteAction, context: CompileContext, environment: FormatterEnvironment): PathRewrite | undefined {
	const { pathFormat, prefixRewrite, regexRewrite } = action;
	if (pathFormat !== undefined) return compilePathFormat(pathFormat, context, environment);
	if (prefixRewrite !== undefined && prefixRewrite !== "") return replaceMatched(match, prefixRewrite);
	if (!regexRewrite) return undefined;
	const replaceAll = context.regex(regexRewrite.pattern).substitution(regexRewrite.substitution);
	return (path) => onBarePath(path, replaceAll);
}

function compilePathFormat(text: string, { errors }: CompileContext, environment: FormatterEnvironment): PathRewrite {
	const format = compileFormat(text, "", environment);
	errors.push(...format.errors.map((error) => `path_rewrite: ${error}`));
	// What a peer sent must not end the request line.
	return (path, info) => onBarePath(path, (bare) => format.value?.(info).replace(/[\r\n\0]/g, "") || bare);
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
export type HostRewrite = (head: RequestView) => string | undefined;

export function compileHostRewrite(rewrite: RouteAction["hostRewrite"], context: CompileContext): HostRewrite | undefined {
	switch (rewrite?.kind) {
		case undefined:
		case "auto":
			return undefined;
		case "literal":
			return () => rewrite.value;
		case "header": {
			const name = rewrite.name.toLowerCase();
			return (head) => head.get(name) || undefined;
		}
		case "pathRegex": {
			const replaceAll = context.regex(rewrite.pattern).substitution(rewrite.substitution);
			return (head) => replaceAll(withoutQuery(head.path)) || undefined;
		}
	}
}

/** The `location` of a redirect. */
export type RedirectLocation = (head: RequestView) => string;

export function compileRedirect(match: PathMatch, action: RedirectAction, context: CompileContext): RedirectLocation {
	const path = compileRedirectPath(match, action, context);
	return (head) => {
		const scheme = action.scheme ?? head.scheme;
		const host = action.host ?? dropDefaultPort(head.authority, head.scheme, action.scheme !== undefined && action.port === undefined);
		return `${scheme}://${action.port === undefined ? host : withPort(host, action.port)}${path(head.path)}`;
	};
}

function compileRedirectPath(match: PathMatch, action: RedirectAction, context: CompileContext): (path: string) => string {
	const keepQuery = (path: string) => (action.stripQuery ? withoutQuery(path) : path);
	const change = action.path;
	switch (change?.kind) {
		case undefined:
			return keepQuery;
		case "full":
			// A path that brings its own query replaces the request's.
			return change.value.includes("?") ? () => change.value : (path) => change.value + keepQuery(path).slice(withoutQuery(path).length);
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
