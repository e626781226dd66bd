#!/usr/bin/env node
// The bundle where it was built, the sources in a checkout that was not.
import { existsSync } from "node:fs";
const bundle = new URL("../dist/weft.mjs", import.meta.url);
await import(existsSync(bundle) ? bundle.href : new URL("../src/main.ts", import.meta.url).href);
