import { type Document, isMap, isScalar, isSeq, LineCounter, parseDocument, visit } from "yaml";

/** A place in the file, 1-based. */
export interface Position {
	readonly line: number;
	readonly column: number;
}

export interface YamlSource {
	readonly name: string;
	readonly json: unknown;
	/** Where the deepest known part of a path such as `static_resources.clusters[0].name` stands. */
	locate(path: string): Position;
}

export interface Problem {
	readonly message: string;
	readonly position: Position;
}

const textBytesMax = 16 * 1024 * 1024;

/** Parses YAML (JSON is YAML), keeping the position of every node. */
export function parseYamlSource(name: string, text: string): { readonly source: YamlSource | undefined; readonly problems: readonly Problem[] } {
	if (Buffer.byteLength(text) > textBytesMax)
		return { source: undefined, problems: [{ message: `larger than ${textBytesMax} bytes`, position: { line: 1, column: 1 } }] };
	const lines = new LineCounter();
	const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true, version: "1.2" });
	const at = (offset: number): Position => {
		const { line, col } = lines.linePos(offset);
		return { line, column: col };
	};
	if (document.errors.length > 0)
		return { source: undefined, problems: document.errors.map((error) => ({ message: error.message, position: at(error.pos[0]) })) };
	try {
		const json: unknown = document.toJS({ maxAliasCount: 1000 });
		return { source: { name, json, locate: (path) => at(offsetOf(document, path)) }, problems: [] };
	} catch (error) {
		// Aliases without an anchor, or too many of them, are only noticed here.
		if (!(error instanceof ReferenceError)) throw error;
		return { source: undefined, problems: [{ message: error.message, position: at(offsetOfAlias(document)) }] };
	}
}

/** Of the first alias that names no anchor before it; of the first there is when all do. */
function offsetOfAlias(document: Document): number {
	const anchors = new Set<string>();
	let first: number | undefined;
	let dangling: number | undefined;
	visit(document, {
		Alias(_, alias) {
			first ??= rangeStart(alias);
			if (!anchors.has(alias.source)) dangling ??= rangeStart(alias);
		},
		Node(_, node) {
			if ("anchor" in node && node.anchor !== undefined) anchors.add(node.anchor);
		},
	});
	return dangling ?? first ?? 0;
}

function offsetOf(document: Document, path: string): number {
	let node: unknown = document.contents;
	let offset = rangeStart(node);
	let rest = path;
	while (rest !== "") {
		const index = /^\[(\d+)\]\.?/.exec(rest);
		if (index) {
			if (!isSeq(node)) break;
			node = node.items[Number(index[1])];
			rest = rest.slice(index[0].length);
		} else {
			const step = keyStep(node, rest);
			if (!step) break;
			// The key's position says more than its value's: that is where the reader looks.
			offset = step.offset;
			node = step.value;
			rest = step.rest;
			continue;
		}
		offset = rangeStart(node) || offset;
	}
	return offset;
}

/** The longest key of the mapping that the path goes on with: keys may have dots. */
function keyStep(node: unknown, path: string): { readonly value: unknown; readonly rest: string; readonly offset: number } | undefined {
	if (!isMap(node)) return undefined;
	let best: { key: string; value: unknown; offset: number } | undefined;
	for (const pair of node.items) {
		const key = isScalar(pair.key) ? String(pair.key.value) : "";
		const next = path[key.length];
		if (path.startsWith(key) && (next === undefined || next === "." || next === "[") && key.length > (best?.key.length ?? -1)) {
			best = { key, value: pair.value, offset: rangeStart(pair.key) };
		}
	}
	return best && { value: best.value, rest: path.slice(best.key.length).replace(/^\./, ""), offset: best.offset };
}

function rangeStart(node: unknown): number {
	const range = typeof node === "object" && node !== null && "range" in node ? node.range : undefined;
	return Array.isArray(range) ? Number(range[0]) : 0;
}
