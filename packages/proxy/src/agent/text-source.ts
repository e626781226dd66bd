import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { nodeTls } from "../data/tls/node-tls.ts";

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

/** In place of a file's name, as Istio's agent reads XDS_ROOT_CA and CA_ROOT_CA: the well-known authorities. */
const systemRoots = "SYSTEM";

/** Roots (PEM) in a file, or those that Node comes with and NODE_EXTRA_CA_CERTS. */
export function rootsFrom(name: string): TextSource {
	return name === systemRoots ? { text: nodeTls().getCACertificates("default").join("\n") } : { file: name };
}

export function readRootsSync(name: string): string {
	const source = rootsFrom(name);
	return "text" in source ? source.text : readFileSync(source.file, "utf8");
}
