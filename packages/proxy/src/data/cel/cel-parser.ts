import type { CelNode } from "../../config/cel-node.ts";

interface Token {
	readonly kind: "number" | "string" | "name" | "op" | "end";
	readonly text: string;
	readonly value: string | number;
	readonly at: number;
}

const lengthMax = 4_096;
const depthMax = 64;
const pattern = /\s*(?:(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?u?)|(r?"(?:[^"\\]|\\.)*"|r?'(?:[^'\\]|\\.)*')|([A-Za-z_]\w*)|(\|\||&&|==|!=|<=|>=|[-+*/%!<>?:.,()[\]]))/y;
/** The weakest first. */
const levels: readonly (readonly string[])[] = [["||"], ["&&"], ["==", "!=", "<", "<=", ">", ">=", "in"], ["+", "-"], ["*", "/", "%"]];

/** Throws a SyntaxError that says where. */
export function parseCel(text: string): CelNode {
	if (text.length > lengthMax) throw new SyntaxError(`an expression is ${lengthMax} characters at most`);
	const parser = new Parser(tokenize(text));
	return parser.all();
}

function tokenize(text: string): readonly Token[] {
	const tokens: Token[] = [];
	pattern.lastIndex = 0;
	while (text.slice(pattern.lastIndex).trim() !== "") {
		const at = pattern.lastIndex;
		const match = pattern.exec(text);
		if (match === null) throw new SyntaxError(`unexpected ${JSON.stringify(text.slice(at).trim().slice(0, 10))} at character ${at + 1}`);
		const [, number, string, name, op] = match;
		if (number !== undefined) tokens.push({ kind: "number", text: number, value: Number(number.replace(/u$/, "")), at });
		else if (string !== undefined) tokens.push({ kind: "string", text: string, value: unquote(string), at });
		else tokens.push({ kind: name === undefined ? "op" : "name", text: name ?? op ?? "", value: "", at });
	}
	tokens.push({ kind: "end", text: "the end", value: "", at: text.length });
	return tokens;
}

const escapes: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };

function unquote(text: string): string {
	if (text.startsWith("r")) return text.slice(2, -1);
	return text.slice(1, -1).replace(/\\(.)/g, (_, character: string) => escapes[character] ?? character);
}

class Parser {
	readonly #tokens: readonly Token[];
	#at = 0;
	#depth = 0;

	constructor(tokens: readonly Token[]) {
		this.#tokens = tokens;
	}

	all(): CelNode {
		const node = this.#choice();
		if (this.#next.kind !== "end") throw this.#unexpected();
		return node;
	}

	get #next(): Token {
		return this.#tokens[this.#at] as Token;
	}

	#unexpected(): SyntaxError {
		return new SyntaxError(`unexpected ${this.#next.text} at character ${this.#next.at + 1}`);
	}

	#take(text: string): boolean {
		const { kind, text: own } = this.#next;
		if (own !== text || kind === "string" || kind === "end") return false;
		this.#at++;
		return true;
	}

	#expect(text: string): void {
		if (!this.#take(text)) throw this.#unexpected();
	}

	#choice(): CelNode {
		if (++this.#depth > depthMax) throw new SyntaxError(`nested deeper than ${depthMax}`);
		const test = this.#binary(0);
		let node = test;
		if (this.#take("?")) {
			const yes = this.#choice();
			this.#expect(":");
			node = { kind: "choice", test, yes, no: this.#choice() };
		}
		this.#depth--;
		return node;
	}

	#binary(level: number): CelNode {
		const ops = levels[level];
		if (ops === undefined) return this.#unary();
		let left = this.#binary(level + 1);
		for (let op = ops.find((one) => this.#take(one)); op !== undefined; op = ops.find((one) => this.#take(one))) {
			left = { kind: "binary", op, left, right: this.#binary(level + 1) };
		}
		return left;
	}

	#unary(): CelNode {
		if (this.#take("!")) return { kind: "unary", op: "!", of: this.#unary() };
		if (this.#take("-")) return { kind: "unary", op: "-", of: this.#unary() };
		let node = this.#primary();
		for (;;) {
			if (this.#take(".")) {
				const name = this.#name();
				node = this.#take("(") ? { kind: "call", target: node, name, args: this.#list(")") } : { kind: "field", of: node, name };
			} else if (this.#take("[")) {
				node = { kind: "index", of: node, at: this.#choice() };
				this.#expect("]");
			} else return node;
		}
	}

	#name(): string {
		if (this.#next.kind !== "name") throw this.#unexpected();
		return (this.#tokens[this.#at++] as Token).text;
	}

	#list(end: string): readonly CelNode[] {
		const items: CelNode[] = [];
		while (!this.#take(end)) {
			if (items.length > 0) this.#expect(",");
			items.push(this.#choice());
		}
		return items;
	}

	#primary(): CelNode {
		const token = this.#next;
		if (token.kind === "number" || token.kind === "string") {
			this.#at++;
			return { kind: "literal", value: token.value };
		}
		if (this.#take("(")) {
			const node = this.#choice();
			this.#expect(")");
			return node;
		}
		if (this.#take("[")) return { kind: "list", items: this.#list("]") };
		const name = this.#name();
		if (name === "true" || name === "false") return { kind: "literal", value: name === "true" };
		if (name === "null") return { kind: "literal", value: null };
		return this.#take("(") ? { kind: "call", target: undefined, name, args: this.#list(")") } : { kind: "name", name };
	}
}
