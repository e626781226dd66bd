import type { FileTree, TreeEntry } from "./file-tree.ts";

const block = 512;
const typeFlags = { file: "0", link: "2", folder: "5" } as const;

/** A POSIX (ustar) archive with every time at 0 and every owner root: the same tree gives the same bytes. */
export function tarOf(tree: FileTree): Buffer {
	const parts = tree.entries().flatMap(([path, entry]) => member(path.slice(1), entry));
	return Buffer.concat([...parts, Buffer.alloc(2 * block)]);
}

/** An archive of plain files in the order given, as image archives are. */
export function tarOfFiles(files: readonly (readonly [string, Buffer])[]): Buffer {
	const parts = files.flatMap(([name, content]) => member(name, { type: "file", mode: 0o644, content }));
	return Buffer.concat([...parts, Buffer.alloc(2 * block)]);
}

function member(name: string, entry: TreeEntry): Buffer[] {
	const content = entry.type === "file" ? entry.content : Buffer.alloc(0);
	const padding = Buffer.alloc((block - (content.length % block)) % block);
	return [header(entry.type === "folder" ? `${name}/` : name, entry, content.length), content, padding];
}

/** https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06 */
function header(name: string, entry: TreeEntry, size: number): Buffer {
	const out = Buffer.alloc(block);
	const { prefix, rest } = splitName(name);
	out.write(rest, 0, 100);
	octal(out, 100, 8, entry.type === "link" ? 0o777 : entry.mode);
	octal(out, 108, 8, 0);
	octal(out, 116, 8, 0);
	octal(out, 124, 12, size);
	octal(out, 136, 12, 0);
	out.write("        ", 148);
	out.write(typeFlags[entry.type], 156);
	if (entry.type === "link") {
		if (Buffer.byteLength(entry.target) > 100) throw new RangeError(`the target of link ${name} is longer than 100 bytes`);
		out.write(entry.target, 157, 100);
	}
	out.write("ustar\u000000", 257);
	octal(out, 329, 8, 0);
	octal(out, 337, 8, 0);
	out.write(prefix, 345, 155);
	let sum = 0;
	for (const byte of out) sum += byte;
	out.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
	return out;
}

function splitName(name: string): { readonly prefix: string; readonly rest: string } {
	if (Buffer.byteLength(name) <= 100) return { prefix: "", rest: name };
	for (let slash = name.indexOf("/"); slash > 0; slash = name.indexOf("/", slash + 1)) {
		const prefix = name.slice(0, slash);
		const rest = name.slice(slash + 1);
		if (rest !== "" && Buffer.byteLength(rest) <= 100 && Buffer.byteLength(prefix) <= 155) return { prefix, rest };
	}
	throw new RangeError(`${name}: too long a name for a ustar archive`);
}

function octal(out: Buffer, at: number, length: number, value: number): void {
	out.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at);
}
