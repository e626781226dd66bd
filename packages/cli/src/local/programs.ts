import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

function packageRoot(name: string): string {
	return dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
}

/** Command lines of the product's own programs: the bundle where it was built, the sources otherwise. */
export function weftProgram(): readonly string[] {
	return [process.execPath, join(packageRoot("@weft/cli"), "bin", "weft.mjs")];
}

interface ProxyLaunch {
	readonly nodeArguments: readonly string[];
	readonly environment: Readonly<Record<string, string>>;
}

/** How weft-proxy is started so that it stays small (see `weft` in its package.json and "Memory" in ARCHITECTURE.md). */
function proxyLaunch(): ProxyLaunch {
	return (JSON.parse(readFileSync(join(packageRoot("@weft/proxy"), "package.json"), "utf8")) as { readonly weft: ProxyLaunch }).weft;
}

export function proxyProgram(): readonly string[] {
	const root = packageRoot("@weft/proxy");
	const bundle = join(root, "dist", "weft-proxy.mjs");
	// WEFT_SOURCES: what is edited now, not what was built last.
	const isBuilt = process.env["WEFT_SOURCES"] === undefined && existsSync(bundle);
	return [process.execPath, ...proxyLaunch().nodeArguments, isBuilt ? bundle : join(root, "src", "main.ts")];
}

export function proxyEnvironment(): Readonly<Record<string, string>> {
	return proxyLaunch().environment;
}
