import type { StreamInfo } from "../log/stream-info.ts";
import { compileOperator, type OperatorValue, type ReadOperator } from "./operators.ts";

/** What formatters need to know of the process. */
export interface FormatterEnvironment {
	readonly hostname: string;
	readonly env: Readonly<Record<string, string | undefined>>;
	readonly nowMs: () => number;
}

/** A compiled format string: text between the operators and the operators' readers. */
export type Formatter = (info: StreamInfo) => string;

export interface FormatResult<T> {
	/** Undefined when `errors` is not empty. */
	readonly value: T | undefined;
	readonly errors: readonly string[];
}

type Part = { readonly kind: "text"; readonly text: string } | { readonly kind: "operator"; readonly read: ReadOperator; readonly mayBeEmpty: boolean };

/**
 * Envoy's substitution format (docs: access log, "Format strings"): `%OPERATOR(arguments):length%`, `%%` for a percent
 * sign. An operator without a value gives `empty`: `-` in access logs, nothing in headers.
 */
export function compileFormat(format: string, empty: string, environment: FormatterEnvironment): FormatResult<Formatter> {
	const { parts, errors } = parseFormat(format, environment);
	if (errors.length > 0) return { value: undefined, errors };
	const [first, second] = parts;
	if (first === undefined) return { value: () => "", errors };
	if (second === undefined && first.kind === "text") return { value: () => first.text, errors };
	const render = (value: OperatorValue, mayBeEmpty: boolean) =>
		value === undefined || (value === "" && !mayBeEmpty) ? empty : typeof value === "object" ? JSON.stringify(value) : String(value);
	const texts = parts.map((part) => (part.kind === "text" ? part.text : ""));
	const mayBeEmpty = parts.map((part) => part.kind === "operator" && part.mayBeEmpty);
	const reads = parts.map((part) => (part.kind === "operator" ? part.read : undefined));
	return {
		value: (info) => {
			let out = "";
			for (let i = 0; i < texts.length; i++) {
				const read = reads[i];
				out += read === undefined ? (texts[i] as string) : render(read(info), mayBeEmpty[i] as boolean);
			}
			return out;
		},
		errors,
	};
}

/** For JSON logs: a string that is one operator keeps its type (number, object, null). */
export function compileTypedFormat(format: string, environment: FormatterEnvironment): FormatResult<(info: StreamInfo) => OperatorValue> {
	const { parts, errors } = parseFormat(format, environment);
	const [only, second] = parts;
	if (errors.length === 0 && only?.kind === "operator" && second === undefined) return { value: only.read, errors };
	return compileFormat(format, "-", environment);
}

/** A body, a header, a parameter or an object that is empty is there all the same. */
export const tellsEmpty = (operator: string): boolean =>
	/^(LOCAL_REPLY_BODY|QUERY_PARAMS|(QUERY_PARAM|FILTER_STATE|REQ|RESP|TRAILER|(REQUEST|RESPONSE)_(HEADER|TRAILER))\()/.test(operator);

/** Whether a header value is plain text: then it is compiled to a constant and may be pre-encoded. */
export function literalOf(format: string): string | undefined {
	return format.includes("%") ? undefined : format;
}

function parseFormat(format: string, environment: FormatterEnvironment): { readonly parts: readonly Part[]; readonly errors: readonly string[] } {
	const parts: Part[] = [];
	const errors: string[] = [];
	let text = "";
	for (let i = 0; i < format.length; i++) {
		const character = format[i] as string;
		if (character !== "%") {
			text += character;
			continue;
		}
		if (format[i + 1] === "%") {
			text += "%";
			i++;
			continue;
		}
		const end = findOperatorEnd(format, i + 1);
		const compiled = end === undefined ? undefined : compileOperator(format.slice(i + 1, end), environment);
		if (end === undefined || compiled === undefined) {
			errors.push(`${JSON.stringify(format.slice(i, i + 40))} in a format string is not closed by %`);
			break;
		}
		if (typeof compiled === "string") errors.push(compiled);
		else {
			if (text !== "") parts.push({ kind: "text", text });
			text = "";
			parts.push({ kind: "operator", read: compiled, mayBeEmpty: tellsEmpty(format.slice(i + 1, end)) });
		}
		i = end;
	}
	if (text !== "") parts.push({ kind: "text", text });
	return { parts, errors };
}

/** The closing percent sign: the first one behind a parenthesis that ends the argument (START_TIME's format is full of them, CEL of both). */
function findOperatorEnd(format: string, start: number): number | undefined {
	if (/^[A-Z0-9_]+\(/.test(format.slice(start))) {
		const close = /\)(?::\d+)?%/g;
		close.lastIndex = start;
		return close.test(format) ? close.lastIndex - 1 : undefined;
	}
	const end = format.indexOf("%", start);
	return end < 0 ? undefined : end;
}
