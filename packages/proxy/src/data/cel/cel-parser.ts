import type { CelNode } from "../../config/cel-node.ts";

interface Token {
	readonly kind: "number" | "string" | "name" | "op" | "end";
	readonly text: string;
	readonly node: CelNode | undefined;
	readonly at: number;
}

const lengthMax = 4_096;
const depthMax = 64;
const number = /0[xX][0-9a-fA-F]+[uU]?|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[uU]?/;
/** Raw ones first: a backslash says nothing in them. */
const rawText = /(?:[rR][bB]?|[bB][rR])(?:"""[\s\S]*?"""|'{3}[\s\S]*?'{3}|"[^"\n]*"|'[^'\n]*')/;
const plainText = /[bB]?(?:"""(?:[^\\]|\\[\s\S])*?"""|'{3}(?:[^\\]|\\[\s\S])*?'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')/;
const operator = /\|\||&&|==|!=|<=|>=|[-+*/%!<>?:.,()[\]{}]/;
const pattern = new RegExp(`\\s*(?:(${number.source})|(${rawText.source}|${plainText.source})|([A-Za-z_]\\w*)|(${operator.source}))`, "y");
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
		const [, digits, quoted, name, op] = match;
		if (digits !== undefined) tokens.push({ kind: "number", text: digits, node: numberOf(digits), at });
		else if (quoted !== undefined) tokens.push({ kind: "string", text: quoted, node: { kind: "literal", value: unquote(quoted) }, at });
		else tokens.push({ kind: name === undefined ? "op" : "name", text: name ?? op ?? "", node: undefined, at });
	}
	tokens.push({ kind: "end", text: "the end", node: undefined, at: text.length });
	return tokens;
}

function numberOf(digits: string): CelNode {
	const bare = digits.replace(/[uU]$/, "");
	if (!/^0[xX]/.test(bare) && /[.eE]/.test(bare)) return { kind: "literal", value: Number(bare) };
	const value = BigInt(bare);
	if (bare !== digits && BigInt.asUintN(64, value) === value) return { kind: "uint", value };
	if (bare !== digits || BigInt.asIntN(64, value) !== value) throw new SyntaxError(`${digits} does not fit into 64 bits`);
	return { kind: "literal", value };
}

const escapes: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", a: "\x07", b: "\b", f: "\f", v: "\v" };
const escaped = /\\(?:[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|([\s\S]))/g;

function unquote(quoted: string): string | Uint8Array {
	const [, prefix = "", quote = "", body = ""] = /^([rRbB]*)("""|'''|"|')([\s\S]*)\2$/.exec(quoted) ?? [];
	const isBytes = /[bB]/.test(prefix);
	const plain = (text: string) => (isBytes ? Buffer.from(text).toString("latin1") : text);
	if (/[rR]/.test(prefix) || quote === "") return isBytes ? Buffer.from(body) : body;
	let out = "";
	let from = 0;
	for (const match of body.matchAll(escaped)) {
		const [whole, hex, short, long, octal, other = ""] = match;
		out += plain(body.slice(from, match.index));
		from = match.index + whole.length;
		// In bytes, a number is one of them and no character.
		if (hex !== undefined || octal !== undefined)
			out += String.fromCharCode(hex === undefined ? Number.parseInt(octal as string, 8) : Number.parseInt(hex, 16));
		else if (short !== undefined || long !== undefined) out += plain(codePoint(Number.parseInt(short ?? (long as string), 16)));
		else out += plain(escapes[other] ?? other);
	}
	out += plain(body.slice(from));
	return isBytes ? Buffer.from(out, "latin1") : out;
}

function codePoint(code: number): string {
	if (code > 0x10_ff_ff || (code >= 0xd8_00 && code < 0xe0_00)) throw new SyntaxError(`there is no character ${code.toString(16)}`);
	return String.fromCodePoint(code);
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

	#entries(): readonly (readonly [CelNode, CelNode])[] {
		const entries: (readonly [CelNode, CelNode])[] = [];
		while (!this.#take("}")) {
			if (entries.length > 0) this.#expect(",");
			const key = this.#choice();
			this.#expect(":");
			entries.push([key, this.#choice()]);
		}
		return entries;
	}

	#primary(): CelNode {
		const token = this.#next;
		if (token.node !== undefined) {
			this.#at++;
			return token.node;
		}
		if (this.#take("(")) {
			const node = this.#choice();
			this.#expect(")");
			return node;
		}
		if (this.#take("{")) return { kind: "map", entries: this.#entries() };
		if (this.#take("[")) return { kind: "list", items: this.#list("]") };
		const name = this.#name();
		if (name === "true" || name === "false") return { kind: "literal", value: name === "true" };
		if (name === "null") return { kind: "literal", value: null };
		return this.#take("(") ? { kind: "call", target: undefined, name, args: this.#list(")") } : { kind: "name", name };
	}
}
