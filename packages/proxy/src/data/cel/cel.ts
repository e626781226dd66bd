import type { StreamInfo } from "../log/stream-info.ts";
import type { CompileContext } from "../match/compile-context.ts";
import { celAttributes } from "./cel-attributes.ts";
import type { CelNode } from "../../config/cel-node.ts";
import { parseCel } from "./cel-parser.ts";

/** Durations and times are milliseconds. undefined: there is no such value, which CEL calls an error. */
export type CelValue = unknown;
type Read = (info: StreamInfo) => CelValue;

/** Whether an expression holds for a finished request; one that cannot be computed does not. What is wrong with it is reported to `context`. */
export function compileCel(text: string, context: CompileContext): (info: StreamInfo) => boolean {
	try {
		const read = compile(parseCel(text), context);
		return (info) => read(info) === true;
	} catch (error) {
		context.errors.push(`CEL expression ${JSON.stringify(text)}: ${(error as Error).message}`);
		return () => false;
	}
}

/** The same of one that came parsed; `at` names it where something is wrong. */
export function compileCelNode(node: CelNode, at: string, context: CompileContext): (info: StreamInfo) => boolean {
	try {
		const read = compile(node, context);
		return (info) => read(info) === true;
	} catch (error) {
		context.errors.push(`${at}: ${(error as Error).message}`);
		return () => false;
	}
}

/** What an expression gives, as text; `otherwise` where it cannot be computed, or is no single value. */
export function compileCelText(text: string, otherwise: string, context: CompileContext): (info: StreamInfo) => string {
	try {
		const read = compile(parseCel(text), context);
		return (info) => {
			const value = read(info);
			return typeof value === "string" ? value : typeof value === "number" || typeof value === "boolean" ? String(value) : otherwise;
		};
	} catch (error) {
		context.errors.push(`CEL expression ${JSON.stringify(text)}: ${(error as Error).message}`);
		return () => otherwise;
	}
}

function compile(node: CelNode, context: CompileContext): Read {
	switch (node.kind) {
		case "literal":
			return () => node.value;
		case "list": {
			const items = node.items.map((item) => compile(item, context));
			return (info) => items.map((item) => item(info));
		}
		case "name": {
			const read = celAttributes.get(node.name);
			if (read === undefined) throw new SyntaxError(`there is no attribute ${node.name}`);
			return read;
		}
		case "field": {
			const of = compile(node.of, context);
			return (info) => member(of(info), node.name);
		}
		case "index": {
			const of = compile(node.of, context);
			const at = compile(node.at, context);
			return (info) => member(of(info), at(info));
		}
		case "unary": {
			const of = compile(node.of, context);
			return node.op === "!" ? (info) => not(of(info)) : (info) => numeric(of(info), (value) => -value);
		}
		case "choice": {
			const [test, yes, no] = [compile(node.test, context), compile(node.yes, context), compile(node.no, context)];
			return (info) => {
				const value = test(info);
				return value === true ? yes(info) : value === false ? no(info) : undefined;
			};
		}
		case "binary":
			return compileBinary(node.op, compile(node.left, context), compile(node.right, context));
		case "call":
			return compileCall(node, context);
	}
}

/** Of headers by any case, of maps and messages by key, of lists by place. */
function member(of: CelValue, key: CelValue): CelValue {
	if (typeof of !== "object" || of === null) return undefined;
	if (Array.isArray(of)) return typeof key === "number" ? (of as readonly unknown[])[key] : undefined;
	if (typeof key !== "string") return undefined;
	if (of instanceof Map) return of.get(key);
	if ("get" in of && typeof of.get === "function") return (of as { get(name: string): unknown }).get(key.toLowerCase());
	return Object.hasOwn(of, key) ? (of as Readonly<Record<string, unknown>>)[key] : undefined;
}

const not = (value: CelValue): CelValue => (typeof value === "boolean" ? !value : undefined);
const numeric = (value: CelValue, apply: (value: number) => number): CelValue => (typeof value === "number" ? apply(value) : undefined);

function compileBinary(op: string, left: Read, right: Read): Read {
	switch (op) {
		// What one side decides the other cannot spoil.
		case "||":
			return (info) => decide(left(info), () => right(info), true);
		case "&&":
			return (info) => decide(left(info), () => right(info), false);
		case "==":
			return (info) => both(left(info), right(info), (a, b) => isSame(a, b));
		case "!=":
			return (info) => both(left(info), right(info), (a, b) => !isSame(a, b));
		case "in":
			return (info) => both(left(info), right(info), (a, b) => (Array.isArray(b) ? b.some((one) => isSame(a, one)) : member(b, a) !== undefined));
		case "+":
			return (info) => both(left(info), right(info), (a, b) => (typeof a === "string" && typeof b === "string" ? a + b : arithmetic(op, a, b)));
		case "<":
		case "<=":
		case ">":
		case ">=":
			return (info) => both(left(info), right(info), (a, b) => compare(op, a, b));
		default:
			return (info) => both(left(info), right(info), (a, b) => arithmetic(op, a, b));
	}
}

function decide(left: CelValue, right: () => CelValue, deciding: boolean): CelValue {
	if (left === deciding) return deciding;
	const other = right();
	if (other === deciding) return deciding;
	return left === !deciding && other === !deciding ? !deciding : undefined;
}

const both = (a: CelValue, b: CelValue, apply: (a: CelValue, b: CelValue) => CelValue): CelValue =>
	a === undefined || b === undefined ? undefined : apply(a, b);

function isSame(a: CelValue, b: CelValue): boolean {
	if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((one, i) => isSame(one, b[i]));
	return a === b;
}

function compare(op: string, a: CelValue, b: CelValue): CelValue {
	if (typeof a !== typeof b || (typeof a !== "number" && typeof a !== "string")) return undefined;
	const [left, right] = [a as number, b as number];
	return op === "<" ? left < right : op === "<=" ? left <= right : op === ">" ? left > right : left >= right;
}

function arithmetic(op: string, a: CelValue, b: CelValue): CelValue {
	if (typeof a !== "number" || typeof b !== "number") return undefined;
	switch (op) {
		case "+":
			return a + b;
		case "-":
			return a - b;
		case "*":
			return a * b;
		case "/":
			return b === 0 ? undefined : Number.isInteger(a) && Number.isInteger(b) ? Math.trunc(a / b) : a / b;
		default:
			return b === 0 ? undefined : a % b;
	}
}

const textFunctions: Readonly<Record<string, (text: string, other: string) => CelValue>> = {
	startsWith: (text, other) => text.startsWith(other),
	endsWith: (text, other) => text.endsWith(other),
	contains: (text, other) => text.includes(other),
};

function compileCall(node: Extract<CelNode, { kind: "call" }>, context: CompileContext): Read {
	const { name, target } = node;
	const nodes = target === undefined ? node.args : [target, ...node.args];
	const [first, second] = nodes;
	if (name === "has" && target === undefined && first !== undefined && (first.kind === "field" || first.kind === "index")) {
		const read = compile(first, context);
		return (info) => read(info) !== undefined;
	}
	const args = nodes.map((one) => compile(one, context));
	const [read = () => undefined, other = () => undefined] = args;
	const text = textFunctions[name];
	if (text !== undefined && args.length === 2) {
		return (info) => {
			const [a, b] = [read(info), other(info)];
			return typeof a === "string" && typeof b === "string" ? text(a, b) : undefined;
		};
	}
	if (name === "matches" && second?.kind === "literal" && typeof second.value === "string") {
		// Anywhere in the text, as RE2 finds it.
		const test = context.regex(`(?s:.*)(?:${second.value})(?s:.*)`);
		return (info) => {
			const value = read(info);
			return typeof value === "string" ? test.matches(value) : undefined;
		};
	}
	if (args.length === 1) {
		const convert = conversions[name];
		if (convert !== undefined) return (info) => convert(read(info));
	}
	throw new SyntaxError(`function ${name} with ${args.length} arguments is not implemented`);
}

const conversions: Readonly<Record<string, (value: CelValue) => CelValue>> = {
	size: (value) => (typeof value === "string" || Array.isArray(value) ? value.length : undefined),
	string: (value) => (typeof value === "object" || value === undefined ? undefined : String(value)),
	int: (value) => (Number.isFinite(Number(value)) ? Math.trunc(Number(value)) : undefined),
	uint: (value) => (Number.isFinite(Number(value)) ? Math.trunc(Number(value)) : undefined),
	double: (value) => (Number.isFinite(Number(value)) ? Number(value) : undefined),
	lowerAscii: (value) => (typeof value === "string" ? value.toLowerCase() : undefined),
	duration: (value) => (typeof value === "string" ? parseDuration(value) : undefined),
	timestamp: (value) => (typeof value === "string" && Number.isFinite(Date.parse(value)) ? Date.parse(value) : undefined),
};

const unitsMs: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1, us: 1e-3, ns: 1e-6 };

/** `1h30m`, `5s`, `250ms`. */
function parseDuration(text: string): number | undefined {
	if (!/^-?(\d+(\.\d+)?(h|ms|us|ns|m|s))+$/.test(text)) return undefined;
	let ms = 0;
	for (const [, amount, unit = ""] of text.matchAll(/(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)/g)) ms += Number(amount) * (unitsMs[unit] ?? 0);
	return text.startsWith("-") ? -ms : ms;
}
