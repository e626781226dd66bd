#!/usr/bin/env -S node --max-semi-space-size=1 --no-concurrent-recompilation
import { existsSync } from "node:fs";

if (Number(process.versions.node.split(".")[0]) < 24) {
	console.error(`weft-proxy needs Node 24 or newer; this is ${process.versions.node}`);
	process.exit(1);
}
// The bundle where it was built, the sources in a checkout that was not, or when asked for: a bundle ages.
const bundle = new URL("../dist/weft-proxy.mjs", import.meta.url);
await import(process.env.WEFT_SOURCES === undefined && existsSync(bundle) ? bundle.href : new URL("../src/main.ts", import.meta.url).href);
