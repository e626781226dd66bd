import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { suite, test } from "node:test";
import { compareCases, corpus, type Difference, listCases, translateCase } from "../scripts/golden-cases.ts";

const pendingFile = path.resolve(import.meta.dirname, "../testdata/golden-pending.yaml");

/** `case: reason`, one a line. */
function readPending(): ReadonlyMap<string, string> {
	const lines = readFileSync(pendingFile, "utf8").split("\n");
	return new Map(
		lines.flatMap((line) => {
			const match = /^([^#:\s]+):\s+(.+)$/.exec(line);
			return match ? [[match[1] ?? "", match[2] ?? ""] as const] : [];
		}),
	);
}

function describe(difference: Difference): string {
	return `${difference.kind} ${difference.resource} ${difference.path}: expected ${JSON.stringify(difference.expected)} got ${JSON.stringify(difference.got)}`;
}

const present = existsSync(corpus);

suite("translation equals what istiod sends", { skip: present ? false : "the golden corpus is not beside the repository" }, () => {
	// A skipped suite's body still runs.
	if (!present) return;
	const pending = readPending();
	const out = mkdtempSync(path.join(os.tmpdir(), "weft-golden-"));
	const cases = listCases();
	for (const name of cases) translateCase(name, path.join(out, name));
	const found = Map.groupBy(compareCases(cases, out, ["cds", "eds", "lds", "rds", "ecds"]), (difference) => difference.case);
	rmSync(out, { recursive: true });

	for (const name of cases) {
		test(name, () => {
			const differences = found.get(name) ?? [];
			if (pending.has(name)) assert.notEqual(differences.length, 0, `${name} matches now: take it out of golden-pending.yaml`);
			else assert.equal(differences.length, 0, `${differences.length} differences, the first: ${differences.slice(0, 5).map(describe).join("\n")}`);
		});
	}

	test("every pending case exists", () => {
		assert.deepEqual(
			[...pending.keys()].filter((name) => !cases.includes(name)),
			[],
		);
	});
});
