#!/usr/bin/env node
// `node examples/proxy/run.mjs NAME`: any Node ≥ 20 starts it, the pinned one runs it.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ensureInstalled, pinnedNode, run } from "../../scripts/workspace.mjs";

ensureInstalled();
if ((await run("npm", ["run", "--silent", "generate"], { spawn: { stdio: ["ignore", "ignore", "inherit"] } })) !== 0) process.exit(1);
process.exit(await run(pinnedNode(), [join(dirname(fileURLToPath(import.meta.url)), "src", "main.ts"), ...process.argv.slice(2)]));
