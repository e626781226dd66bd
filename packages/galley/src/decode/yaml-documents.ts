import { type Diagnostic, diagnosticCodes, type Location, type Path } from "@weft/api";
import { Composer, type Document, isCollection, isMap, isNode, isPair, isScalar, Lexer, LineCounter, Parser, type YAMLError } from "yaml";
import { locate, type Position } from "./positions.ts";

/** One file at most; larger ones are refused before they are parsed. */
export const fileBytesMax = 10 * 1024 * 1024;
export const nestingDepthMax = 64;
/** Uses of aliases in a file: each costs a walk through its document, and may multiply it. */
export const aliasCountMax = 100;
export const anchorCountMax = 1_000;

export interface ParsedDocument {
	readonly value: unknown;
	readonly location: Location;
	/** As it is written, without the lines that part documents. */
	readonly text: string;
}

/** The documents of a text as plain values, each knowing its places. What cannot be read is in `diagnostics`. Never throws. */
export function parseDocuments(text: string, file: string, diagnostics: Diagnostic[]): readonly ParsedDocument[] {
	const bytes = Buffer.byteLength(text);
	if (bytes > fileBytesMax) {
		diagnostics.push(problem(file, `the file has ${bytes} bytes, at most ${fileBytesMax} are read; split it`, diagnosticCodes.limit));
		return [];
	}
	const lines = new LineCounter();
	// Keys are compared in `inspect`: the composer's own check takes quadratic time.
	const composer = new Composer({ lineCounter: lines, stringKeys: true, merge: true, uniqueKeys: false, prettyErrors: false, logLevel: "silent" });
	const parsed: ParsedDocument[] = [];
	try {
		for (const document of composer.compose(tokens(text, lines), true, text.length)) {
			const written = text.slice(document.range[0], document.range[2]);
			parsed.push(...toValue(document, lines, file, diagnostics).map((found) => ({ ...found, text: written })));
		}
	} catch (error) {
		diagnostics.push(unreadable(file, error, lines));
	}
	return parsed;
}

/** A limit passed while the text is still being read. */
class LimitError extends Error {
	readonly offset: number;
	constructor(message: string, offset: number) {
		super(message);
		this.offset = offset;
	}
}

/** Lexemes of `yaml` that stand for no text of their own. */
const markers: ReadonlySet<string> = new Set(["\u0002", "\u0018", "\u001f"]);
const scalarMarker = "\u001f";

/** The parser's tokens, as long as the text keeps the limits: parser and composer are recursive, so depth is bounded before them. */
function* tokens(text: string, lines: LineCounter) {
	const parser = new Parser(lines.addNewLine);
	lines.addNewLine(0);
	const count = { flow: 0, line: 0, anchors: 0, aliases: 0 };
	let offset = 0;
	let isScalarNext = false;
	for (const lexeme of new Lexer().lex(text)) {
		if (!isScalarNext) checkLimits(lexeme, count, offset);
		isScalarNext = lexeme === scalarMarker;
		if (!markers.has(lexeme)) offset += lexeme.length;
		yield* parser.next(lexeme);
	}
	yield* parser.end();
}

interface Counts {
	/** Open brackets and braces. */
	flow: number;
	/** Block sequences and complex keys begun on this line. */
	line: number;
	anchors: number;
	aliases: number;
}

function checkLimits(lexeme: string, count: Counts, offset: number): void {
	const first = lexeme[0];
	if (first === "[" || first === "{") count.flow++;
	else if ((first === "]" || first === "}") && count.flow > 0) count.flow--;
	else if (first === "\n" || first === "\r") count.line = 0;
	else if (lexeme === "-" || lexeme === "?") count.line++;
	else if (first === "&") count.anchors++;
	else if (first === "*") count.aliases++;
	if (count.flow > nestingDepthMax || count.line > nestingDepthMax) throw new LimitError(tooDeep, offset);
	if (count.anchors > anchorCountMax) throw new LimitError(`more than ${anchorCountMax} anchors; write the values out`, offset);
	if (count.aliases > aliasCountMax) throw new LimitError(`more than ${aliasCountMax} uses of an alias; write the values out`, offset);
}

const tooDeep = `nested deeper than ${nestingDepthMax} levels`;

function unreadable(file: string, error: unknown, lines: LineCounter): Diagnostic {
	if (error instanceof LimitError) return problem(file, error.message, diagnosticCodes.limit, placeOf(lines, error.offset));
	const message = error instanceof RangeError ? tooDeep : `the text cannot be read: ${String(error)}`;
	return problem(file, message, diagnosticCodes.limit);
}

function placeOf(lines: LineCounter, offset: number): Position {
	const { line, col } = lines.linePos(offset);
	return { line: Math.max(1, line), column: Math.max(1, col) };
}

function toValue(document: Document.Parsed, lines: LineCounter, file: string, diagnostics: Diagnostic[]): readonly Omit<ParsedDocument, "text">[] {
	// After one syntax error the rest is noise.
	const [error]: readonly YAMLError[] = [...document.errors, ...document.warnings];
	if (error) {
		diagnostics.push(syntaxProblem(file, error, lines));
		return [];
	}
	const found = inspect(document, lines, file);
	if (found.length > 0) {
		diagnostics.push(...found);
		return [];
	}
	const position = (path: Path, onKey: boolean) => locate(document, lines, path, onKey);
	try {
		const value: unknown = document.toJS({ maxAliasCount: aliasCountMax });
		// A document of comments alone is what is left between two `---`.
		return value === null || value === undefined ? [] : [{ value, location: { file, position } }];
	} catch (cause) {
		const reason = cause instanceof Error ? cause.message : String(cause);
		diagnostics.push(problem(file, `the document's aliases cannot be resolved: ${reason}`, diagnosticCodes.limit, position([], false)));
		return [];
	}
}

function syntaxProblem(file: string, error: YAMLError, lines: LineCounter): Diagnostic {
	// The composer catches its own overflow and says it as a syntax error.
	if (error.message.includes("call stack")) return problem(file, tooDeep, diagnosticCodes.limit, placeOf(lines, error.pos[0]));
	return problem(file, `malformed YAML: ${error.message.split("\n")[0]}`, diagnosticCodes.syntax, placeOf(lines, error.pos[0]));
}

/** So many are told of one document. */
const duplicatesMax = 100;

/** Duplicate keys, each its own mistake, and too deep nesting. Iterative: the text is not to be trusted. */
function inspect(document: Document, lines: LineCounter, file: string): readonly Diagnostic[] {
	const duplicates: number[] = [];
	const stack: { readonly node: unknown; readonly depth: number }[] = [{ node: document.contents, depth: 1 }];
	for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
		const { node, depth } = top;
		if (isPair(node)) stack.push({ node: node.key, depth }, { node: node.value, depth });
		if (!isCollection(node)) continue;
		if (depth > nestingDepthMax) return [problem(file, tooDeep, diagnosticCodes.limit, placeOf(lines, node.range?.[0] ?? 0))];
		if (isMap(node) && duplicates.length < duplicatesMax) duplicates.push(...duplicateKeys(node.items).slice(0, duplicatesMax));
		for (const item of node.items) stack.push({ node: item, depth: depth + 1 });
	}
	const message = "malformed YAML: the key stands twice in this map; remove one";
	return duplicates.sort((a, b) => a - b).map((offset) => problem(file, message, diagnosticCodes.syntax, placeOf(lines, offset)));
}

function duplicateKeys(pairs: readonly { readonly key: unknown }[]): readonly number[] {
	const seen = new Set<unknown>();
	const found: number[] = [];
	for (const { key } of pairs) {
		if (!isScalar(key)) continue;
		if (seen.has(key.value) && isNode(key)) found.push(key.range?.[0] ?? 0);
		seen.add(key.value);
	}
	return found;
}

export function problem(file: string, message: string, code: string, at?: Position): Diagnostic {
	return { severity: "error", code, message, path: "", file, ...at };
}
