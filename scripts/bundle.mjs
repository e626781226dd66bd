// Bundles a package that ships as a program: `node bundle.mjs cli|control-plane|proxy`.
import { copyFileSync, cpSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { root } from "./workspace.mjs";

const programs = {
	cli: { entries: { weft: "packages/cli/src/main.ts", "signing-worker": "packages/citadel/src/signing-worker.ts" } },
	"control-plane": { entries: { "weft-control-plane": "packages/control-plane/src/main.ts", "signing-worker": "packages/citadel/src/signing-worker.ts" } },
	proxy: { entries: { "weft-proxy": "packages/proxy/src/main.ts", worker: "packages/proxy/src/data/worker/entry.ts" } },
};

// An ES import of these reads every export once, getters too: node:http then loads undici (14 MB), node:tls its root
// certificates (5 MB). Taken as they are, they cost what they are used for.
const lazyBuiltins = {
	name: "lazy-builtins",
	setup(bundler) {
		bundler.onResolve({ filter: /^node:(http|https|http2|tls)$/ }, ({ path, kind }) =>
			kind === "require-call" ? undefined : { path, namespace: "lazy-builtin" },
		);
		bundler.onLoad({ filter: /.*/, namespace: "lazy-builtin" }, ({ path }) => ({
			contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
		}));
	},
};

const name = process.argv[2];
if (!Object.hasOwn(programs, name)) throw new Error(`usage: bundle.mjs ${Object.keys(programs).join("|")}`);
const outdir = join(root, "packages", name, "dist");
rmSync(outdir, { recursive: true, force: true });
mkdirSync(outdir, { recursive: true });
await build({
	absWorkingDir: root,
	entryPoints: programs[name].entries,
	outdir,
	bundle: true,
	splitting: true,
	format: "esm",
	platform: "node",
	target: "node24",
	outExtension: { ".js": ".mjs" },
	// Flat: code that finds a file beside itself finds it from any chunk.
	chunkNames: "[name]-[hash]",
	minifySyntax: true,
	minifyWhitespace: true,
	plugins: [lazyBuiltins],
	legalComments: "none",
	logLevel: "warning",
	// CommonJS packages inside an ES module still call require for Node's own modules.
	banner: { js: 'import{createRequire as __weftRequire}from"node:module";const require=__weftRequire(import.meta.url);' },
});
// Read by packages/xds/src/schema.ts.
copyFileSync(join(root, "packages/xds/src/generated/schema.json"), join(outdir, "schema.json"));
// Installed by packages/cli/src/install.
if (name === "cli") cpSync(join(root, "charts"), join(outdir, "charts"), { recursive: true });
