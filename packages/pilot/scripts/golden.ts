// Shows where the translation differs from the golden corpus.
//   node scripts/golden.ts [--kinds cds,eds] [--max N] [CASE or FAMILY…]

import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { compareCases, type Difference, listCases, translateCase } from "./golden-cases.ts";

const { values, positionals } = parseArgs({
	allowPositionals: true,
	options: { kinds: { type: "string", default: "cds,eds,lds,rds,ecds" }, max: { type: "string", default: "10" } },
});
const kinds = values.kinds.split(",");
const max = Number(values.max);
const cases = listCases(positionals.length > 0 ? positionals : undefined);
const out = mkdtempSync(path.join(os.tmpdir(), "weft-golden-"));

function short(value: unknown): string {
	const text = JSON.stringify(value) ?? "nothing";
	return text.length > 300 ? `${text.slice(0, 297)}…` : text;
}

function show(name: string, found: readonly Difference[]): void {
	const resources = new Set(found.map(({ kind, resource }) => `${kind}/${resource}`));
	console.log(`${found.length === 0 ? "ok  " : "DIFF"} ${name}${found.length === 0 ? "" : `: ${found.length} in ${resources.size} resources`}`);
	for (const difference of found.slice(0, max)) {
		console.log(
			`     ${difference.kind} ${difference.resource} ${difference.path}\n       expected ${short(difference.expected)}\n       got      ${short(difference.got)}`,
		);
	}
}

const broken = new Map<string, unknown>();
for (const name of cases) {
	try {
		translateCase(name, path.join(out, name));
	} catch (error) {
		broken.set(name, error);
	}
}
const whole = cases.filter((name) => !broken.has(name));
const byCase = Map.groupBy(compareCases(whole, out, kinds), (difference) => difference.case);
for (const name of cases) {
	if (broken.has(name)) console.log(`FAIL ${name}: ${(broken.get(name) as Error).stack}`);
	else show(name, byCase.get(name) ?? []);
}
console.log(`${whole.filter((name) => !byCase.has(name)).length} of ${cases.length} match (${kinds.join()})`);
rmSync(out, { recursive: true });
