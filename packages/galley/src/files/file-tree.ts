import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Diagnostic, diagnosticCodes } from "@weft/api";
import { fileBytesMax } from "../decode/yaml-documents.ts";

export const filesMax = 20_000;
const directoryDepthMax = 32;
const extensions = [".yaml", ".yml", ".json"];

/** What tells one content of a file from another without reading it. */
export interface FileStamp {
	readonly path: string;
	/** Inode, size and time of change in one text. */
	readonly stamp: string;
	readonly mtimeMs: number;
	readonly bytes: number;
}

export interface FileTree {
	/** Sorted by path. */
	readonly files: readonly FileStamp[];
	readonly diagnostics: readonly Diagnostic[];
}

export function unreadable(file: string, error: unknown): Diagnostic {
	const reason = error instanceof Error ? error.message : String(error);
	return { severity: "error", code: diagnosticCodes.unreadable, message: `cannot be read: ${reason}`, path: "", file };
}

/**
 * The configuration files under `paths`: files as they are named, directories with all that is in them.
 * Names that begin with a dot are left out: editors' swap files, and the `..data` directories that a mounted ConfigMap's links go through.
 */
export async function listFiles(paths: readonly string[]): Promise<FileTree> {
	const files = new Map<string, FileStamp>();
	const diagnostics: Diagnostic[] = [];
	const visited = new Set<string>();
	for (const path of paths) await visit(path, true, 0, { files, diagnostics, visited });
	const sorted = [...files.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
	if (sorted.length <= filesMax) return { files: sorted, diagnostics };
	const message = `there are ${sorted.length} files, at most ${filesMax} are read; split the directory`;
	return { files: [], diagnostics: [...diagnostics, { severity: "error", code: diagnosticCodes.limit, message, path: "" }] };
}

interface Visit {
	readonly files: Map<string, FileStamp>;
	readonly diagnostics: Diagnostic[];
	/** Real paths, so that a link to a parent ends. */
	readonly visited: Set<string>;
}

async function visit(path: string, isNamed: boolean, depth: number, into: Visit): Promise<void> {
	try {
		const stats = await stat(path);
		if (stats.isDirectory()) {
			const real = await realpath(path);
			if (into.visited.has(real)) return;
			into.visited.add(real);
			if (depth > directoryDepthMax) throw new Error(`directories nested deeper than ${directoryDepthMax} levels`);
			const names = (await readdir(path)).filter((name) => !name.startsWith(".")).sort();
			for (const name of names) await visit(join(path, name), false, depth + 1, into);
		} else if (isNamed || (stats.isFile() && extensions.some((extension) => path.endsWith(extension)))) {
			const stamp = `${stats.ino}:${stats.size}:${stats.mtimeMs}:${stats.ctimeMs}`;
			into.files.set(path, { path, stamp, mtimeMs: stats.mtimeMs, bytes: stats.size });
		}
	} catch (error) {
		// Removed between listing and looking: a file that is not there is no error, except where the user named it.
		if (!isNamed && isMissing(error)) return;
		into.diagnostics.push(unreadable(path, error));
	}
}

export function isMissing(error: unknown): boolean {
	return error instanceof Error && "code" in error && error.code === "ENOENT";
}

/** The text of a file, refused before it is read where it is too large. Throws what the file system throws. */
export async function readText(file: FileStamp): Promise<string> {
	if (file.bytes > fileBytesMax) throw new Error(`it has ${file.bytes} bytes, at most ${fileBytesMax} are read; split it`);
	return readFile(file.path, "utf8");
}
