import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { corpusFolder } from "./corpus.ts";

/** Each target over its corpus: what once broke it, or reached code that nothing else does, still does no harm. */
for (const file of readdirSync(join(import.meta.dirname, "targets"))) {
	if (!file.endsWith(".ts")) continue;
	const name = file.slice(0, -3);
	describe(`fuzz/${name}`, async () => {
		const { fuzz } = (await import(`./targets/${file}`)) as { fuzz(data: Buffer): void };
		const folder = corpusFolder(name);
		for (const input of readdirSync(folder)) it(input, () => fuzz(readFileSync(join(folder, input))));
	});
}
