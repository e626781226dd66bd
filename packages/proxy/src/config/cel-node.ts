/** The syntax of the Common Expression Language (https://github.com/google/cel-spec), as a tree. */
export type CelNode =
	/** A bigint is an int, a number a double. */
	| { readonly kind: "literal"; readonly value: string | bigint | number | boolean | null | Uint8Array }
	| { readonly kind: "uint"; readonly value: bigint }
	| { readonly kind: "duration" | "timestamp"; readonly ms: number }
	| { readonly kind: "name"; readonly name: string }
	| { readonly kind: "field"; readonly of: CelNode; readonly name: string }
	| { readonly kind: "index"; readonly of: CelNode; readonly at: CelNode }
	/** `target` undefined: a function of its own. */
	| { readonly kind: "call"; readonly target: CelNode | undefined; readonly name: string; readonly args: readonly CelNode[] }
	| { readonly kind: "unary"; readonly op: "!" | "-"; readonly of: CelNode }
	| { readonly kind: "binary"; readonly op: string; readonly left: CelNode; readonly right: CelNode }
	| { readonly kind: "choice"; readonly test: CelNode; readonly yes: CelNode; readonly no: CelNode }
	| { readonly kind: "list"; readonly items: readonly CelNode[] }
	| { readonly kind: "map"; readonly entries: readonly (readonly [key: CelNode, value: CelNode])[] };
