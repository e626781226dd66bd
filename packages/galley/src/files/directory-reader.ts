import { hash } from "node:crypto";
import { type AnyConfig, type Diagnostic, hasErrors } from "@weft/api";
import { decodeYaml } from "../decode/yaml-decoder.ts";
import { type FileStamp, isMissing, listFiles, readText, unreadable } from "./file-tree.ts";

/** A file changed so lately that the next change may carry the same time: it is read again even if its stamp is the same. */
const racyMs = 2_000;
const attemptsMax = 10;

interface KnownFile {
	readonly stamp: string;
	readonly isRacy: boolean;
	/** Of the text. */
	readonly digest: string;
	/** What the last text without errors held. */
	readonly good: readonly AnyConfig[];
	readonly diagnostics: readonly Diagnostic[];
}

export interface DirectoryContent {
	/** The last good content of every file that is there. */
	readonly objects: readonly AnyConfig[];
	readonly diagnostics: readonly Diagnostic[];
	/** Is anything different from the last read? */
	readonly changed: boolean;
}

export interface DirectoryReader {
	/** Reads what has changed, until the whole directory was the same before and after. */
	read(nowMs: number): Promise<DirectoryContent>;
}

/** Keeps, a file, the last content without errors: a broken edit never takes away what is in force. */
export function createDirectoryReader(directory: string): DirectoryReader {
	return new CachingReader(directory);
}

class CachingReader implements DirectoryReader {
	readonly #directory: string;
	#known: ReadonlyMap<string, KnownFile> = new Map();
	#treeProblems: readonly Diagnostic[] = [];

	constructor(directory: string) {
		this.#directory = directory;
	}

	async read(nowMs: number): Promise<DirectoryContent> {
		let tree = await listFiles([this.#directory]);
		for (let attempt = 1; ; attempt++) {
			const next = new Map<string, KnownFile>();
			for (const file of tree.files) {
				const known = await this.#readFile(file, nowMs);
				if (known) next.set(file.path, known);
			}
			const again = await listFiles([this.#directory]);
			// A directory that never rests is taken as it is; the next sweep comes anyway.
			if (signature(again.files) === signature(tree.files) || attempt >= attemptsMax) return this.#accept(next, again.diagnostics);
			tree = again;
		}
	}

	#accept(next: ReadonlyMap<string, KnownFile>, problems: readonly Diagnostic[]): DirectoryContent {
		// The whole directory gone is rather a mount in between than a wish to delete everything.
		const isLost = problems.length > 0 && next.size === 0;
		const files = isLost ? this.#known : next;
		const before = [...this.#known].map(([path, { digest }]) => [path, digest]);
		const after = [...files].map(([path, { digest }]) => [path, digest]);
		const changed = JSON.stringify([before, this.#treeProblems]) !== JSON.stringify([after, problems]);
		this.#known = files;
		this.#treeProblems = problems;
		const all = [...files.values()];
		return { objects: all.flatMap(({ good }) => good), diagnostics: [...problems, ...all.flatMap(({ diagnostics }) => diagnostics)], changed };
	}

	async #readFile(file: FileStamp, nowMs: number): Promise<KnownFile | undefined> {
		const known = this.#known.get(file.path);
		if (known && known.stamp === file.stamp && !known.isRacy) return known;
		const isRacy = nowMs - file.mtimeMs < racyMs;
		try {
			const text = await readText(file);
			const digest = hash("sha256", text);
			if (known && known.digest === digest) return { ...known, stamp: file.stamp, isRacy };
			const decoded = decodeYaml(text, file.path);
			const good = hasErrors(decoded.diagnostics) ? (known?.good ?? []) : decoded.objects;
			return { stamp: file.stamp, isRacy, digest, good, diagnostics: decoded.diagnostics };
		} catch (error) {
			if (isMissing(error)) return undefined;
			return { stamp: file.stamp, isRacy, digest: "", good: known?.good ?? [], diagnostics: [unreadable(file.path, error)] };
		}
	}
}

const signature = (files: readonly FileStamp[]): string => files.map(({ path, stamp }) => `${path}\0${stamp}`).join("\n");
