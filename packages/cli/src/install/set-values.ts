import { CommandError } from "../output/errors.ts";

/** A tree of values, as a Helm values file is. */
export interface ValueTree {
	readonly [key: string]: unknown;
}

type Mutable = Record<string, unknown>;

export function isTree(value: unknown): value is ValueTree {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `over` on top of `base`, map by map; everything else replaces whole. */
export function mergeValues(base: ValueTree, over: ValueTree): ValueTree {
	const out: Mutable = { ...base };
	for (const [key, value] of Object.entries(over)) {
		const below = out[key];
		out[key] = isTree(below) && isTree(value) ? mergeValues(below, value) : value;
	}
	return out;
}

/**
 * One `--set` in Helm's notation: `a.b=c`, several with commas, `a\.b` for a dot in a key, `a[0].b`, `a={x,y}`; true, false, null
 * and whole numbers are such, the rest is text. Throws a CommandError that shows the argument.
 * https://helm.sh/docs/intro/using_helm/#the-format-and-limitations-of---set
 */
export function parseSet(argument: string): ValueTree {
	const root: Mutable = {};
	for (const assignment of splitOutside(argument, ",")) {
		const [path, value] = splitAt(assignment, "=");
		if (value === undefined || path === "") throw new CommandError(`--set ${argument}: write it as KEY=VALUE`);
		assign(root, keysOf(path, argument), valueOf(value));
	}
	return root;
}

/** Splits at a character that is neither escaped nor inside of braces. */
function splitOutside(text: string, separator: string): string[] {
	const parts = [""];
	let depth = 0;
	for (let i = 0; i < text.length; i++) {
		const char = text[i] ?? "";
		if (char === "{") depth++;
		if (char === "}") depth--;
		if (char === separator && depth === 0) parts.push("");
		else parts[parts.length - 1] += char === "\\" ? char + (text[++i] ?? "") : char;
	}
	return parts;
}

function splitAt(text: string, separator: string): readonly [string, string | undefined] {
	const [first = "", ...rest] = splitOutside(text, separator);
	return [first, rest.length > 0 ? rest.join(separator) : undefined];
}

const unescaped = (text: string) => text.replaceAll(/\\(.)/g, "$1");

function keysOf(path: string, argument: string): (string | number)[] {
	return splitOutside(path, ".").flatMap((part) => {
		const [, name = "", indices = ""] = /^((?:[^\\[]|\\.)*)((?:\[\d+\])*)$/.exec(part) ?? [];
		if (name === "") throw new CommandError(`--set ${argument}: ${JSON.stringify(part)} is no key`);
		return [unescaped(name), ...[...indices.matchAll(/\d+/g)].map(([index]) => Number(index))];
	});
}

function valueOf(text: string): unknown {
	if (text.startsWith("{") && text.endsWith("}")) {
		const inner = text.slice(1, -1);
		return inner === "" ? [] : splitOutside(inner, ",").map((item) => valueOf(item.trim()));
	}
	if (text === "true" || text === "false") return text === "true";
	if (text === "null") return null;
	return /^-?(0|[1-9]\d{0,15})$/.test(text) ? Number(text) : unescaped(text);
}

const indexMax = 1_000;

function assign(root: Mutable, path: readonly (string | number)[], value: unknown): void {
	let holder: Mutable | unknown[] = root;
	for (const [i, key] of path.entries()) {
		if (typeof key === "number" && key > indexMax) throw new CommandError(`--set: an index of ${key} is more than ${indexMax}`);
		// An object without a prototype's names: "__proto__" is a key like any other.
		const read = Array.isArray(holder) ? holder[Number(key)] : Object.hasOwn(holder, key) ? holder[key] : undefined;
		const next = i === path.length - 1 ? value : typeof read === "object" && read !== null ? read : typeof path[i + 1] === "number" ? [] : {};
		Object.defineProperty(holder, key, { value: next, writable: true, enumerable: true, configurable: true });
		holder = next as Mutable | unknown[];
	}
}
