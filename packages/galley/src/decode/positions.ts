import type { Path } from "@weft/api";
import { type Document, isAlias, isMap, isNode, isPair, isScalar, isSeq, type LineCounter, type Node } from "yaml";

export interface Position {
	readonly line: number;
	readonly column: number;
}

/** Where `path` stands in the document, 1-based: its value, or with `onKey` its key; where it is absent, the nearest parent that is there. */
export function locate(document: Document, lines: LineCounter, path: Path, onKey: boolean): Position | undefined {
	let node: unknown = document.contents;
	let best = startOf(node);
	for (const [depth, segment] of path.entries()) {
		const target: unknown = isAlias(node) ? node.resolve(document) : node;
		const isLast = depth === path.length - 1;
		if (isMap(target)) {
			const pair = target.items.find((item) => isPair(item) && keyText(item.key) === String(segment));
			if (!pair) break;
			const key = startOf(pair.key);
			node = pair.value;
			// An empty value has no text of its own; its key shows where it is missing.
			const isEmpty = isScalar(node) && node.value === null && node.source === "";
			best = (isLast && onKey) || isEmpty ? key : (startOf(node) ?? key);
		} else if (isSeq(target) && typeof segment === "number") {
			node = target.items[segment];
			if (node === undefined) break;
			best = startOf(node) ?? best;
		} else break;
	}
	if (best === undefined) return undefined;
	const { line, col } = lines.linePos(best);
	return { line: Math.max(1, line), column: Math.max(1, col) };
}

const keyText = (key: unknown): string => (isScalar(key) ? String(key.value) : String(key));

function startOf(node: unknown): number | undefined {
	return isNode(node) ? ((node as Node).range?.[0] ?? undefined) : undefined;
}
