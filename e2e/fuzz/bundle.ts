import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const root = join(import.meta.dirname, "../..");

/**
 * The target with all of our code that it needs as one CommonJS file in `folder`, as the fuzzer instruments what is
 * required. Libraries stay outside: coverage of theirs would lead away from ours.
 */
export async function bundleTarget(name: string, folder: string): Promise<string> {
	mkdirSync(folder, { recursive: true });
	const file = join(folder, `${name}.cjs`);
	await build({
		entryPoints: [join(import.meta.dirname, "targets", `${name}.ts`)],
		outfile: file,
		bundle: true,
		format: "cjs",
		platform: "node",
		target: "node24",
		external: ["re2js", "yaml"],
		define: { "import.meta.dirname": "__dirname", "import.meta.url": "fileUrl" },
		banner: { js: 'const fileUrl = require("node:url").pathToFileURL(__filename).href;' },
		legalComments: "none",
		logLevel: "warning",
	});
	// Read by packages/xds/src/schema.ts.
	copyFileSync(join(root, "packages/xds/src/generated/schema.json"), join(folder, "schema.json"));
	return file;
}
