/**
 * From a path to the few routes that can take it, still in the table's order, whatever the number of routes: exact
 * paths by Map, prefixes by a radix tree in which every node lists all routes of the prefixes down to it. Routes that no
 * index can find (regex, case-insensitive, CONNECT) are in every list.
 */
export interface RouteIndex<T> {
	/** In order of precedence. For a route added as exact or prefix the path itself is already known to fit. */
	candidates(path: string, bare: string): readonly T[];
}

export type IndexKey = { readonly kind: "exact" | "prefix"; readonly value: string } | { readonly kind: "any" };

interface Node {
	label: string;
	/** Positions of routes whose prefix ends here. */
	own: number[];
	children: Map<number, Node>;
	/** Positions of all routes for paths that end in this node, ascending; then the routes themselves. */
	positions: readonly number[];
}

export function buildRouteIndex<T>(routes: readonly { readonly key: IndexKey; readonly value: T }[]): RouteIndex<T> {
	const always: number[] = [];
	const exact = new Map<string, number[]>();
	const root: Node = { label: "", own: [], children: new Map(), positions: [] };
	for (const [position, { key }] of routes.entries()) {
		// A prefix that reaches into the query cannot be found by the bare path.
		if (key.kind === "any" || (key.kind === "prefix" && key.value.includes("?"))) always.push(position);
		else if (key.kind === "prefix") insert(root, key.value, position);
		else exact.set(key.value, [...(exact.get(key.value) ?? []), position]);
	}
	const lists = new Map<Node, readonly T[]>();
	const at = (positions: readonly number[]) => positions.map((p) => (routes[p] as { readonly value: T }).value);
	settle(root, always, (node) => lists.set(node, at(node.positions)));
	const exactLists = new Map(Array.from(exact, ([path, positions]) => [path, at(mergeSorted(positions, find(root, path).positions))]));
	return {
		candidates(path, bare) {
			if (exactLists.size > 0) {
				const list = exactLists.get(bare);
				if (list) return list;
			}
			return lists.get(find(root, path)) ?? [];
		},
	};
}

function find(root: Node, path: string): Node {
	let node = root;
	let at = 0;
	for (;;) {
		const child = node.children.get(path.charCodeAt(at));
		if (child === undefined || !path.startsWith(child.label, at)) return node;
		node = child;
		at += child.label.length;
		if (at >= path.length) return node;
	}
}

function insert(root: Node, prefix: string, position: number): void {
	let node = root;
	let rest = prefix;
	while (rest !== "") {
		const child = node.children.get(rest.charCodeAt(0));
		if (child === undefined) {
			node.children.set(rest.charCodeAt(0), { label: rest, own: [position], children: new Map(), positions: [] });
			return;
		}
		const common = commonLength(child.label, rest);
		if (common < child.label.length) split(child, common);
		node = child;
		rest = rest.slice(common);
	}
	node.own.push(position);
}

/** Cuts a node's label: the tail becomes its only child, with all that was below. */
function split(node: Node, length: number): void {
	const tail: Node = { label: node.label.slice(length), own: node.own, children: node.children, positions: [] };
	node.label = node.label.slice(0, length);
	node.own = [];
	node.children = new Map([[tail.label.charCodeAt(0), tail]]);
}

function settle(node: Node, inherited: readonly number[], visit: (node: Node) => void): void {
	node.positions = node.own.length === 0 ? inherited : mergeSorted(inherited, node.own);
	visit(node);
	for (const child of node.children.values()) settle(child, node.positions, visit);
}

function mergeSorted(a: readonly number[], b: readonly number[]): readonly number[] {
	return [...new Set([...a, ...b])].sort((x, y) => x - y);
}

function commonLength(a: string, b: string): number {
	const length = Math.min(a.length, b.length);
	let i = 0;
	while (i < length && a.charCodeAt(i) === b.charCodeAt(i)) i++;
	return i;
}
