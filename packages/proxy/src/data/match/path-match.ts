import type { PathMatch } from "../../config/matchers.ts";
import type { RequestView } from "../headers/headers-view.ts";
import type { CompileContext } from "./compile-context.ts";

/** `path` is the whole `:path`, `bare` the same without its query. */
export type PathPredicate = (head: RequestView, path: string, bare: string) => boolean;

export function compilePathMatch(match: PathMatch, context: CompileContext): PathPredicate {
	switch (match.kind) {
		case "regex": {
			const { matches } = context.regex(match.value);
			return (_head, _path, bare) => matches(bare);
		}
		case "connect":
			return (head) => head.method === "CONNECT";
		case "exact":
			return match.caseSensitive ? (_head, _path, bare) => bare === match.value : (_head, _path, bare) => equalsIgnoringCase(bare, match.value);
		case "prefix":
			return match.caseSensitive ? (_head, path) => path.startsWith(match.value) : (_head, path) => startsIgnoringCase(path, match.value);
		case "pathSeparatedPrefix": {
			const starts = match.caseSensitive ? (bare: string) => bare.startsWith(match.value) : (bare: string) => startsIgnoringCase(bare, match.value);
			return (_head, _path, bare) => starts(bare) && (bare.length === match.value.length || bare.charCodeAt(match.value.length) === 47);
		}
	}
}

export function withoutQuery(path: string): string {
	const at = path.indexOf("?");
	return at < 0 ? path : path.slice(0, at);
}

function equalsIgnoringCase(value: string, wanted: string): boolean {
	return value.length === wanted.length && value.toLowerCase() === wanted.toLowerCase();
}

function startsIgnoringCase(value: string, wanted: string): boolean {
	return value.length >= wanted.length && value.slice(0, wanted.length).toLowerCase() === wanted.toLowerCase();
}
