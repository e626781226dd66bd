import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { forOlderGlibc } from "./older-glibc.ts";

const folder = import.meta.dirname;
/** What the prebuilt library was linked against. */
const glibcOfLibrary = 38;

/** Installs the fuzzer, unless what is there is what its lock file says. Gives its command line. */
export function installTool(): string {
	const cli = join(folder, "node_modules/@jazzer.js/core/dist/cli.js");
	const lock = createHash("sha256")
		.update(readFileSync(join(folder, "package-lock.json")))
		.digest("hex");
	const stamp = join(folder, "node_modules", ".weft-lock");
	if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return cli;
	console.log("installing the fuzzer (npm ci)…");
	const { status } = spawnSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: folder, stdio: "inherit" });
	if (status !== 0) throw new Error(`npm ci in ${folder} ended with status ${status}`);
	adaptLibrary();
	writeFileSync(stamp, lock);
	return cli;
}

function adaptLibrary(): void {
	const { glibcVersionRuntime = "" } = (process.report.getReport() as { header: { glibcVersionRuntime?: string } }).header;
	const [, minor] = glibcVersionRuntime.split(".").map(Number);
	if (minor === undefined || minor >= glibcOfLibrary) return;
	const file = join(folder, "node_modules/@jazzer.js/fuzzer/prebuilds", `fuzzer-linux-${process.arch}.node`);
	const library = readFileSync(file);
	forOlderGlibc(library);
	writeFileSync(file, library);
}
