import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, globSync, lstatSync, readFileSync, readlinkSync, realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { findProgram } from "../peers-find.mjs";
import { readElfNeeds } from "./elf.ts";
import type { FileTree } from "./file-tree.ts";

const triple = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
const libraryFolders = [`/usr/lib/${triple}`, `/lib/${triple}`, "/usr/lib", "/lib"];

/** Where a file of an image comes from: a Debian package of the building machine, or this repository. */
export interface Origin {
	readonly path: string;
	readonly origin: string;
}

/**
 * Takes files of the Debian system that builds the images into a tree, each with the shared libraries that it needs, and
 * remembers the package that each belongs to. Throws with the command to run where something is not installed.
 */
export class SystemFiles {
	readonly #tree: FileTree;
	readonly #taken: string[] = [];
	readonly origins: Origin[] = [];

	constructor(tree: FileTree) {
		this.#tree = tree;
		// Debian's merged /usr: https://wiki.debian.org/UsrMerge
		for (const name of ["bin", "sbin", "lib", ...(existsSync("/lib64") ? ["lib64"] : [])]) {
			tree.folder(`/usr/${name}`);
			tree.link(`/${name}`, `usr/${name}`);
		}
	}

	/** A program by name, under the name, with its libraries. */
	program(name: string, debianPackage: string): void {
		const path = findProgram(name);
		if (path === undefined) throw new Error(`the images need ${name}: apt-get install ${debianPackage}`);
		this.file(path);
	}

	/** Files by pattern, each with its libraries. */
	glob(pattern: string, debianPackage: string): void {
		const paths = globSync(pattern).sort();
		if (paths.length === 0) throw new Error(`the images need ${pattern}: apt-get install ${debianPackage}`);
		for (const path of paths) this.file(path);
	}

	/** A file at its own place; links on the way become links of the image. */
	file(path: string): void {
		const place = join(realpathSync(dirname(path)), basename(path));
		if (this.#tree.has(place)) return;
		if (lstatSync(place).isSymbolicLink()) {
			this.#tree.link(place, readlinkSync(place));
			this.file(resolve(dirname(place), readlinkSync(place)));
			return;
		}
		const content = readFileSync(place);
		this.#tree.file(place, content, lstatSync(place).mode & 0o111 ? 0o755 : 0o644);
		this.#taken.push(place);
		this.librariesOf(content, place);
	}

	/** The loader and the libraries that a program needs, and those that these need. */
	librariesOf(program: Buffer, path: string): void {
		const needs = readElfNeeds(program);
		if (!needs) return;
		if (needs.interpreter !== undefined) this.file(needs.interpreter);
		const own = needs.searchPath.map((folder) => folder.replaceAll(/\$(ORIGIN|\{ORIGIN\})/g, dirname(path)));
		for (const name of needs.libraries) {
			const found = [...own, ...libraryFolders].map((folder) => join(folder, name)).find((candidate) => existsSync(candidate));
			if (found === undefined)
				throw new Error(`${path} needs ${name}, which no package installed here has: apt-get install apt-file && apt-file search ${name}`);
			this.file(found);
		}
	}

	/** Names the packages; adds their licences, and their records in the form that image scanners read (as Google's distroless images have them). */
	finish(): void {
		const owners = packagesOf(this.#taken);
		for (const path of this.#taken) this.origins.push({ path, origin: owners.get(path) ?? "made by the building machine" });
		for (const name of [...new Set(owners.values())].sort()) {
			const short = name.replace(/:.*/, "");
			this.#tree.file(`/var/lib/dpkg/status.d/${short}`, execFileSync("dpkg-query", ["--status", name]));
			const copyright = `/usr/share/doc/${short}/copyright`;
			if (existsSync(copyright)) this.#tree.file(copyright, readFileSync(copyright));
		}
	}
}

/** The package of each file that has one. dpkg knows a file by the path it was packed with, which is before /usr was merged. */
function packagesOf(paths: readonly string[]): ReadonlyMap<string, string> {
	const asked = paths.flatMap((path) => [path, path.replace(/^\/usr\/(?=s?bin\/|lib)/, "/")]);
	// Its status is 1 when some path is in no package.
	const { stdout } = spawnSync("dpkg-query", ["--search", ...asked], { encoding: "utf8" });
	const owners = new Map<string, string>();
	for (const line of stdout.split("\n")) {
		const [, owner, path] = /^(?!diversion )([^ ,]+).*?: (\/.+)$/.exec(line) ?? [];
		if (owner === undefined || path === undefined) continue;
		for (const place of [path, `/usr${path}`]) if (paths.includes(place)) owners.set(place, owner);
	}
	return owners;
}
