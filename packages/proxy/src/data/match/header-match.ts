import type { CookieMatch, HeaderMatch, QueryMatch } from "../../config/matchers.ts";
import { cookieOf } from "../headers/cookies.ts";
import { headerReader, type HeadersView, type RequestView } from "../headers/headers-view.ts";
import type { CompileContext } from "./compile-context.ts";
import { compileStringMatch, type StringPredicate } from "./string-match.ts";

export type RequestPredicate = (head: RequestView) => boolean;

/** Each line is a value of its own, one of which has to match: as Envoy has it since 1.38, and RBAC always. */
export function compileHeaderMatch(header: HeaderMatch, context: CompileContext): RequestPredicate {
	const isMatch = compileMatch(header, headerReader(header.name), context);
	const { match } = header;
	if (match.kind === "present" || header.name.startsWith(":") || header.name === "host") return isMatch;
	const test = compileValueTest(match, context);
	const name = header.name.toLowerCase();
	return (head) => {
		// Without a comma there is one line.
		if (head.get(name)?.includes(",") !== true) return isMatch(head);
		let found = false;
		head.forEach((line, value) => {
			if (line === name && !found) found = test(value);
		});
		return found !== header.invert;
	};
}

/** Each text that a condition on a value of this header is held against. */
export function readHeaderValues(header: string): (head: RequestView) => readonly string[] {
	const read = headerReader(header);
	const name = header.toLowerCase();
	const isOne = header.startsWith(":") || header === "host";
	return (head) => {
		const value = read(head);
		if (value === undefined) return [];
		if (isOne || !value.includes(",")) return [value];
		const lines: string[] = [];
		head.forEach((line, text) => {
			if (line === name) lines.push(text);
		});
		return lines;
	};
}

/** The same for the headers of a response, which have no pseudo headers. */
export function compileResponseHeaderMatch(header: HeaderMatch, context: CompileContext): (head: HeadersView) => boolean {
	const name = header.name.toLowerCase();
	return compileMatch(header, (head: HeadersView) => head.get(name), context);
}

/** A missing header never matches, inverted or not, unless presence itself is asked for or missing counts as "" (Envoy's HeaderMatcher). */
function compileMatch<H>(
	{ match, invert, treatMissingAsEmpty }: HeaderMatch,
	read: (head: H) => string | undefined,
	context: CompileContext,
): (head: H) => boolean {
	if (match.kind === "present") return (head) => (treatMissingAsEmpty || read(head) !== undefined) !== invert;
	const test = compileValueTest(match, context);
	return (head) => {
		const value = read(head) ?? (treatMissingAsEmpty ? "" : undefined);
		return value !== undefined && test(value) !== invert;
	};
}

function compileValueTest(match: Exclude<HeaderMatch["match"], { readonly kind: "present" }>, context: CompileContext): StringPredicate {
	return match.kind === "range" ? (value) => isInRange(value, match.start, match.end) : compileStringMatch(match, context);
}

/** A decimal integer in [start, end). */
function isInRange(value: string, start: number, end: number): boolean {
	if (!/^[+-]?\d{1,19}$/.test(value)) return false;
	const number = Number(value);
	return number >= start && number < end;
}

export function compileHeaderMatches(headers: readonly HeaderMatch[], context: CompileContext): RequestPredicate | undefined {
	return allOf(headers.map((header) => compileHeaderMatch(header, context)));
}

export function compileCookieMatches(cookies: readonly CookieMatch[], context: CompileContext): RequestPredicate | undefined {
	return allOf(
		cookies.map(({ name, match, invert }): RequestPredicate => {
			const test = compileStringMatch(match, context);
			return (head) => {
				const value = cookieOf(head, name);
				return (value !== undefined && test(value)) !== invert;
			};
		}),
	);
}

/** Values are compared as they stand, without percent-decoding. */
export function compileQueryMatches(queries: readonly QueryMatch[], context: CompileContext): RequestPredicate | undefined {
	return allOf(
		queries.map(({ name, match }): RequestPredicate => {
			if (match === "absent") return (head) => readQuery(head.path, name) === undefined;
			const test = match && compileStringMatch(match, context);
			return (head) => {
				const value = readQuery(head.path, name);
				return value !== undefined && (test === undefined || test(value));
			};
		}),
	);
}

/** The first value of a query parameter; "" when it has no `=`; undefined when it is not there. */
export function readQuery(path: string, name: string): string | undefined {
	let at = path.indexOf("?");
	while (at >= 0) {
		const start = at + 1;
		const ampersand = path.indexOf("&", start);
		const end = ampersand < 0 ? path.length : ampersand;
		if (path.startsWith(name, start)) {
			const after = start + name.length;
			if (after === end) return "";
			if (after < end && path.charCodeAt(after) === 61) return path.slice(after + 1, end);
		}
		at = ampersand;
	}
	return undefined;
}

function allOf(predicates: readonly RequestPredicate[]): RequestPredicate | undefined {
	if (predicates.length <= 1) return predicates[0];
	return (head) => {
		for (const predicate of predicates) if (!predicate(head)) return false;
		return true;
	};
}
