import type { StreamInfo } from "../log/stream-info.ts";
import type { CompileContext } from "../match/compile-context.ts";
import { celAttributes } from "./cel-attributes.ts";
import type { CelNode } from "../../config/cel-node.ts";
import { compileTimePart, textFunctions, textOf, typeNames, unaryFunctions } from "./cel-functions.ts";
import { parseCel } from "./cel-parser.ts";
import { arithmetic, asInt, CelDuration, CelTimestamp, CelType, CelUint, type CelValue, contains, isPresent, isSame, member, order } from "./cel-values.ts";

type Read = (info: StreamInfo) => CelValue;

/** Whether an expression holds for a finished request; one that cannot be computed does not. What is wrong with it is reported to `context`. */
export function compileCel(text: string, context: CompileContext): (info: StreamInfo) => boolean {
	try {
		const read = compile(parseCel(text), { context, joinsText: false });
		return (info) => read(info) === true;
	} catch (error) {
		context.errors.push(`CEL expression ${JSON.stringify(text)}: ${(error as Error).message}`);
		return () => false;
	}
}

/** The same of one that came parsed; `at` names it where something is wrong. */
export function compileCelNode(node: CelNode, at: string, context: CompileContext): (info: StreamInfo) => boolean {
	try {
		const read = compile(node, { context, joinsText: false });
		return (info) => read(info) === true;
	} catch (error) {
		context.errors.push(`${at}: ${(error as Error).message}`);
		return () => false;
	}
}

/** What an expression gives; undefined: it cannot be computed. */
export function compileCelValue(text: string, context: CompileContext): (info: StreamInfo) => CelValue {
	try {
		return compile(parseCel(text), { context, joinsText: false });
	} catch (error) {
		context.errors.push(`CEL expression ${JSON.stringify(text)}: ${(error as Error).message}`);
		return () => undefined;
	}
}

/** What an expression gives, as text; `otherwise` where it cannot be computed, or is no single value. */
export function compileCelText(text: string, otherwise: string, context: CompileContext): (info: StreamInfo) => string {
	try {
		const read = compile(parseCel(text), { context, joinsText: true });
		return (info) => {
			const value = read(info);
			return typeof value === "object" && !(value instanceof CelUint) ? otherwise : (textOf(value) ?? otherwise);
		};
	} catch (error) {
		context.errors.push(`CEL expression ${JSON.stringify(text)}: ${(error as Error).message}`);
		return () => otherwise;
	}
}

/** What an expression is compiled for. */
interface Use {
	readonly context: CompileContext;
	/** Whether `+` puts texts together. Where Envoy evaluates conditions it does not, and what has one cannot be computed. */
	readonly joinsText: boolean;
}

function compile(node: CelNode, use: Use): Read {
	switch (node.kind) {
		case "literal":
			return () => node.value;
		case "uint": {
			const value = new CelUint(node.value);
			return () => value;
		}
		case "duration":
		case "timestamp": {
			const value = node.kind === "duration" ? new CelDuration(node.ms) : new CelTimestamp(node.ms);
			return () => value;
		}
		case "map": {
			const entries = node.entries.map(([key, value]) => [compile(key, use), compile(value, use)] as const);
			return (info) => new Map(entries.map(([key, value]) => [key(info), value(info)]));
		}
		case "list": {
			const items = node.items.map((item) => compile(item, use));
			return (info) => items.map((item) => item(info));
		}
		case "name": {
			if (typeNames.includes(node.name)) return () => new CelType(node.name);
			const attribute = celAttributes.get(node.name);
			if (attribute === undefined) throw new SyntaxError(`there is no attribute ${node.name}`);
			return attribute.read;
		}
		case "field":
			return compileField(node.of, node.name, use);
		case "index": {
			if (node.of.kind === "name" && node.at.kind === "literal" && typeof node.at.value === "string") return compileField(node.of, node.at.value, use);
			const of = compile(node.of, use);
			const at = compile(node.at, use);
			return (info) => member(of(info), at(info));
		}
		case "unary": {
			const of = compile(node.of, use);
			return node.op === "!" ? (info) => not(of(info)) : (info) => negative(of(info));
		}
		case "choice": {
			const [test, yes, no] = [compile(node.test, use), compile(node.yes, use), compile(node.no, use)];
			return (info) => {
				const value = test(info);
				return value === true ? yes(info) : value === false ? no(info) : undefined;
			};
		}
		case "binary":
			return compileBinary(node.op, compile(node.left, use), compile(node.right, use), use.joinsText);
		case "call":
			return compileCall(node, use);
	}
}

const not = (value: CelValue): CelValue => (typeof value === "boolean" ? !value : undefined);
const negative = (value: CelValue): CelValue => (typeof value === "bigint" ? asInt(-value) : typeof value === "number" ? -value : undefined);

function compileBinary(op: string, left: Read, right: Read, joinsText: boolean): Read {
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
			return (info) => both(left(info), right(info), (a, b) => contains(b, a));
		case "+":
			return (info) => both(left(info), right(info), (a, b) => (joinsText && typeof a === "string" && typeof b === "string" ? a + b : arithmetic(op, a, b)));
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

function compare(op: string, a: CelValue, b: CelValue): CelValue {
	const found = order(a, b);
	if (found === undefined) return undefined;
	return op === "<" ? found < 0 : op === "<=" ? found <= 0 : op === ">" ? found > 0 : found >= 0;
}

/** A group's fields are known, so one that is not there is found now. */
function compileField(of: CelNode, name: string, use: Use): Read {
	const group = of.kind === "name" ? celAttributes.get(of.name)?.fields : undefined;
	if (group !== undefined && of.kind === "name") {
		const read = Object.hasOwn(group, name) ? group[name] : undefined;
		if (read === undefined) throw new SyntaxError(`there is no attribute ${of.name}.${name}`);
		return read;
	}
	const read = compile(of, use);
	return (info) => member(read(info), name);
}

/** Macros over lists and maps, of which Envoy says the same: their cost is not bounded by the expression's length. */
const comprehensions: readonly string[] = ["all", "exists", "exists_one", "map", "filter"];

function compileCall(node: Extract<CelNode, { kind: "call" }>, use: Use): Read {
	const { name, target } = node;
	if (target !== undefined && comprehensions.includes(name)) throw new SyntaxError(`${name}: comprehension support is disabled, as it is in Envoy`);
	const nodes = target === undefined ? node.args : [target, ...node.args];
	const [first, second] = nodes;
	if (name === "has" && target === undefined && first !== undefined && (first.kind === "field" || first.kind === "index")) {
		const read = compile(first, use);
		return (info) => isPresent(read(info));
	}
	const args = nodes.map((one) => compile(one, use));
	const [read = () => undefined, other = () => undefined] = args;
	const text = textFunctions[name];
	if (text !== undefined && args.length === 2) {
		return (info) => {
			const [a, b] = [read(info), other(info)];
			return typeof a === "string" && typeof b === "string" ? text(a, b) : undefined;
		};
	}
	if (name === "matches" && args.length === 2) {
		if (second?.kind !== "literal" || typeof second.value !== "string") throw new SyntaxError("matches wants its pattern as a literal");
		// Anywhere in the text, as RE2 finds it.
		const test = use.context.regex(`(?s:.*)(?:${second.value})(?s:.*)`);
		return (info) => {
			const value = read(info);
			return typeof value === "string" ? test.matches(value) : undefined;
		};
	}
	const apply = args.length === 1 ? unaryFunctions[name] : undefined;
	if (apply !== undefined) return (info) => apply(read(info));
	if (target !== undefined && args.length <= 2 && (second === undefined || (second.kind === "literal" && typeof second.value === "string"))) {
		const part = compileTimePart(name, second === undefined ? undefined : String(second.value));
		if (part !== undefined) return (info) => part(read(info));
	}
	throw new SyntaxError(`function ${name} with ${args.length} arguments is not implemented`);
}
