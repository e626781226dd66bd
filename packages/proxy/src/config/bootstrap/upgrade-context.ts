/** One thing of the file that had to be read as something else. */
export interface Upgrade {
	/** In the file as it is written. */
	readonly path: string;
	readonly was: string;
	readonly fix: string;
}

export type Json = Readonly<Record<string, unknown>>;

/** A mutable copy of one object of the file, with its place in the file. */
export interface Node {
	readonly path: string;
	readonly fields: Record<string, unknown>;
	readonly upgrades: Upgrade[];
}

export function isObject(value: unknown): value is Json {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function createNode(path: string, fields: Json, upgrades: Upgrade[]): Node {
	return { path, fields: { ...fields }, upgrades };
}

const camel = (name: string) => name.replace(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase());

/** The key as the file spells it: `load_assignment` or `loadAssignment`. */
export function keyOf(node: Node, name: string): string | undefined {
	if (Object.hasOwn(node.fields, name)) return name;
	const other = camel(name);
	return Object.hasOwn(node.fields, other) ? other : undefined;
}

export function read(node: Node, name: string): unknown {
	const key = keyOf(node, name);
	return key === undefined ? undefined : node.fields[key];
}

export function take(node: Node, name: string): unknown {
	const key = keyOf(node, name);
	if (key === undefined) return undefined;
	const value = node.fields[key];
	delete node.fields[key];
	return value;
}

export function pathOf(node: Node, name: string): string {
	const key = keyOf(node, name) ?? name;
	return node.path === "" ? key : `${node.path}.${key}`;
}

export function note(node: Node, name: string, was: string, fix: string): void {
	node.upgrades.push({ path: pathOf(node, name), was, fix });
}

/** Runs `visit` over a copy of the object in `name`, and puts the copy in its place. */
export function inObject(node: Node, name: string, visit: (child: Node) => void): void {
	const key = keyOf(node, name);
	const value = key === undefined ? undefined : node.fields[key];
	if (key === undefined || !isObject(value)) return;
	const child = createNode(pathOf(node, name), value, node.upgrades);
	visit(child);
	node.fields[key] = child.fields;
}

/** The same for every object of a list. */
export function inList(node: Node, name: string, visit: (child: Node, index: number) => void): void {
	const key = keyOf(node, name);
	const value = key === undefined ? undefined : node.fields[key];
	if (key === undefined || !Array.isArray(value)) return;
	const path = pathOf(node, name);
	node.fields[key] = value.map((item, i) => {
		if (!isObject(item)) return item;
		const child = createNode(`${path}[${i}]`, item, node.upgrades);
		visit(child, i);
		return child.fields;
	});
}

/** Moves a field to a new name, as it is or through `change`. */
export function rename(node: Node, from: string, to: string, change: (value: unknown) => unknown = (value) => value): void {
	if (keyOf(node, from) === undefined) return;
	note(node, from, from, to);
	node.fields[to] = change(take(node, from));
}
