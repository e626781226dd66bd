import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

function packageRoot(name: string): string {
	return dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
}

/** Command lines of the product's own programs: the bundle where it was built, the sources otherwise or when WEFT_SOURCES is set (a bundle ages). */
export function weftProgram(): readonly string[] {
	return [process.execPath, join(packageRoot("@weft/cli"), "bin", "weft.mjs")];
}

export function proxyProgram(): readonly string[] {
	const root = packageRoot("@weft/proxy");
	const bundle = join(root, "dist", "weft-proxy.mjs");
	const useBundle = process.env["WEFT_SOURCES"] === undefined && existsSync(bundle);
	// Young generation of 1 MB: a proxy's garbage is small, and memory counts in every pod.
	return process.env["WEFT_SHIM"]
		? [process.execPath, process.env["WEFT_SHIM"]]
		: [process.execPath, "--max-semi-space-size=1", useBundle ? bundle : join(root, "src", "main.ts")];
}
