import { compileCelValue } from "../cel/cel.ts";
import { textOf } from "../cel/cel-functions.ts";
import { createCompileContext } from "../match/compile-context.ts";
import { firstReader } from "./headers-view.ts";
import type { Compile } from "./operators.ts";

const withoutQuery = (value: string): string => {
	const query = value.indexOf("?");
	return query < 0 ? value : value.slice(0, query);
};

/** `REQ_WITHOUT_QUERY(name?other)`. */
const reqWithoutQuery: Compile = ({ argument }) => {
	const [first = "", second] = (argument ?? "").split("?");
	if (first === "") return "%REQ_WITHOUT_QUERY% needs a header name";
	const read = firstReader(first);
	const other = second === undefined ? undefined : firstReader(second);
	return ({ request }) => {
		const value = request && (read(request) ?? other?.(request));
		return value === undefined ? undefined : withoutQuery(value);
	};
};

/** `PATH(WQ|NQ:ORIG|PATH|ORIG_OR_PATH)`: with the query or without; as the client sent it, or as it is now. */
const path: Compile = ({ argument = "" }) => {
	const [query = "WQ", which = "ORIG_OR_PATH"] = argument === "" ? [] : argument.split(":");
	if (!["WQ", "NQ"].includes(query)) return `%PATH(${argument})% begins with WQ or NQ`;
	if (!["ORIG", "PATH", "ORIG_OR_PATH"].includes(which)) return `%PATH(${argument})% ends in ORIG, PATH or ORIG_OR_PATH`;
	return ({ request }) => {
		const original = which === "PATH" ? undefined : request?.get("x-envoy-original-path");
		const value = original ?? (which === "ORIG" ? undefined : request?.path);
		return value === undefined || query === "WQ" ? value : withoutQuery(value);
	};
};

const queryParameter: Compile = ({ argument }) => {
	if (!argument) return "%QUERY_PARAM% needs the name of a parameter";
	return ({ request }) => (request === undefined ? undefined : readDecodedQuery(request.path, argument));
};

/** The first parameter of this name, both with their percent signs resolved; a plus sign stays one. */
function readDecodedQuery(path: string, name: string): string | undefined {
	const query = path.indexOf("?");
	if (query < 0) return undefined;
	for (const parameter of path.slice(query + 1).split("&")) {
		const equals = parameter.indexOf("=");
		if (percentDecode(equals < 0 ? parameter : parameter.slice(0, equals)) === name) return equals < 0 ? "" : percentDecode(parameter.slice(equals + 1));
	}
	return undefined;
}

/** `QUERY_PARAMS(ORIG|DECODED)`: all of the query, as it came, or with what can be seen decoded. */
const queryParameters: Compile = ({ argument = "" }) => {
	if (!["", "ORIG", "DECODED"].includes(argument)) return `Invalid QUERY_PARAMS option: '${argument}', only 'ORIG'/'DECODED' are allowed`;
	return ({ request }) => {
		const at = request?.path.indexOf("?") ?? -1;
		const query = at < 0 ? undefined : request?.path.slice(at + 1);
		return argument === "DECODED" ? query && decodeVisible(query) : query;
	};
};

/** As Envoy does it, a percent sign that two characters other than digits follow is left out. */
const decodeVisible = (query: string): string =>
	query.replace(/%(?:([0-9a-f]{2})|(?=..))/gi, (escape, hex: string | undefined) => {
		const code = Number.parseInt(hex ?? "", 16);
		return hex === undefined ? "" : code > 0x20 && code < 0x7f ? String.fromCharCode(code) : escape;
	});

const percentDecode = (text: string): string => text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

/** `CEL(expression)` is text, `TYPED_CEL(expression)` what the expression gives. */
const cel =
	(isTyped: boolean): Compile =>
	({ name, argument }) => {
		if (!argument) return `%${name}% needs an expression`;
		const context = createCompileContext();
		const read = compileCelValue(argument, context);
		if (context.errors.length > 0) return `%${name}%: ${context.errors.join("; ")}`;
		return (info) => {
			const value = read(info);
			return isTyped && typeof value === "boolean"
				? value
				: isTyped && (typeof value === "bigint" || typeof value === "number")
					? Number(value)
					: textOf(value);
		};
	};

/** Operators on a request's path, and on all of it. */
export const requestOperators: readonly (readonly [string, Compile])[] = [
	["REQ_WITHOUT_QUERY", reqWithoutQuery],
	["PATH", path],
	["QUERY_PARAM", queryParameter],
	["QUERY_PARAMS", queryParameters],
	["CEL", cel(false)],
	["TYPED_CEL", cel(true)],
];
