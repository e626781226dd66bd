import { readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { readRuntimeText } from "../../config/decode/runtime.ts";
import type { RuntimeEntries, RuntimeEntry } from "../../config/runtime-values.ts";

/** Envoy's. */
const depthMax = 16;
const filesMax = 10_000;
const fileBytesMax = 64 * 1024;
/** Files of the kernel's may have no end. */
const illegalRoots = ["/dev", "/sys", "/proc"] as const;

/**
 * A layer in files: their paths below the folder are the keys, with dots for slashes. undefined: there is no such folder.
 * Throws where a file cannot be read, or there are too many.
 */
export function readDiskLayer(folder: string): RuntimeEntries | undefined {
	if (!isFolder(folder)) return undefined;
	const entries = new Map<string, RuntimeEntry>();
	walk(folder, "", 0, entries);
	return entries;
}

function isFolder(path: string): boolean {
	return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function walk(folder: string, prefix: string, depth: number, into: Map<string, RuntimeEntry>): void {
	if (depth > depthMax) throw new Error(`Walk recursion depth exceeded ${depthMax}`);
	const real = realpathSync(folder);
	if (illegalRoots.some((root) => real === root || real.startsWith(`${root}/`))) throw new Error(`Invalid path: ${folder}`);
	for (const name of readdirSync(folder)) {
		const path = join(folder, name);
		const key = prefix === "" ? name : `${prefix}.${name}`;
		// Links are followed: mounted volumes consist of them.
		const found = statSync(path, { throwIfNoEntry: false });
		if (found?.isDirectory() === true) walk(path, key, depth + 1, into);
		if (found?.isFile() !== true) continue;
		if (found.size > fileBytesMax) throw new Error(`${path} is larger than ${fileBytesMax} bytes`);
		if (into.size >= filesMax) throw new Error(`more than ${filesMax} files`);
		into.set(key, readRuntimeText(withoutComments(readFileSync(path, "utf8"))));
	}
}

/** Lines that begin with `#` are comments; the end of the last line does not count. */
function withoutComments(text: string): string {
	const lines = text.split("\n").filter((line) => line !== "");
	return lines.flatMap((line, i) => (line.startsWith("#") ? [] : [i === lines.length - 1 ? line.trimEnd() : `${line}\n`])).join("");
}
