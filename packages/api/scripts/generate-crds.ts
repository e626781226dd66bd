import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { crdFileName, crdKinds, crdYaml } from "../src/crd.ts";

const target = resolve(import.meta.dirname, "../../../charts/base");
mkdirSync(target, { recursive: true });
const wanted = new Set(crdKinds.map(crdFileName));
for (const name of readdirSync(target)) if (/^crds-.*\.yaml$/.test(name) && !wanted.has(name)) rmSync(join(target, name));
for (const kind of crdKinds) writeFileSync(join(target, crdFileName(kind)), crdYaml(kind));
