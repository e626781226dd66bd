/** One thing in an image: a file, a link or a folder. Paths are absolute; owner is root. */
export type TreeEntry =
	| { readonly type: "file"; readonly mode: number; readonly content: Buffer }
	| { readonly type: "link"; readonly target: string }
	| { readonly type: "folder"; readonly mode: number };

/** The file system of a layer by absolute path. Parents are made as they are needed. */
export class FileTree {
	readonly #entries = new Map<string, TreeEntry>();

	add(path: string, entry: TreeEntry): void {
		if (!path.startsWith("/") || path.endsWith("/")) throw new RangeError(`not an absolute path of a file: ${path}`);
		for (let slash = path.indexOf("/", 1); slash > 0; slash = path.indexOf("/", slash + 1)) {
			const parent = path.slice(0, slash);
			if (!this.#entries.has(parent)) this.#entries.set(parent, { type: "folder", mode: 0o755 });
		}
		this.#entries.set(path, entry);
	}

	file(path: string, content: Buffer | string, mode = 0o644): void {
		this.add(path, { type: "file", mode, content: typeof content === "string" ? Buffer.from(content) : content });
	}

	link(path: string, target: string): void {
		this.add(path, { type: "link", target });
	}

	folder(path: string, mode = 0o755): void {
		this.add(path, { type: "folder", mode });
	}

	has(path: string): boolean {
		return this.#entries.has(path);
	}

	/** Sorted by path, so that the same content gives the same bytes. */
	entries(): readonly (readonly [string, TreeEntry])[] {
		return [...this.#entries].sort(([a], [b]) => (a < b ? -1 : 1));
	}
}
