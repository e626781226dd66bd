import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { it } from "node:test";
import { build } from "esbuild";

/** Every module that the entry may load, now or later. */
async function modulesOf(entry: string): Promise<readonly string[]> {
	const { metafile } = await build({
		entryPoints: [fileURLToPath(new URL(entry, import.meta.url))],
		bundle: true,
		write: false,
		metafile: true,
		format: "esm",
		platform: "node",
		logLevel: "silent",
	});
	return Object.keys(metafile.inputs);
}

it("neither sidecar, nor static proxy, nor worker can load grpc-js (22 MB)", async () => {
	for (const entry of ["./sidecar.ts", "./run-file.ts", "../data/worker/entry.ts"]) {
		const modules = await modulesOf(entry);
		assert.ok(modules.length > 10, entry);
		assert.deepEqual(
			modules.filter((name) => name.includes("node_modules/@grpc/")),
			[],
			entry,
		);
	}
});
