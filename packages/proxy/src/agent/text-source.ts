import { readFile } from "node:fs/promises";

/** A text given outright, or a file that is read anew each time, as mounted tokens and roots are replaced under a running process. */
export type TextSource = { readonly text: string } | { readonly file: string };

const bytesMax = 1024 * 1024;

/** Rejects with the file's name when it cannot be read, is empty or larger than 1 MiB. */
export async function readTextSource(source: TextSource): Promise<string> {
	if ("text" in source) return source.text;
	const text = await readFile(source.file, "utf8");
	if (text.trim() === "") throw new Error(`${source.file} is empty`);
	if (text.length > bytesMax) throw new Error(`${source.file} is larger than ${bytesMax} bytes`);
	return text;
}
