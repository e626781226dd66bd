import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

// Flaws that comparable software has published, by class and number (SECURITY.md): each has a test by its name.

const root = join(import.meta.dirname, "../..");
const range = (letter: string, from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => `${letter}${from + i}`);
const rows = {
	"policy bypass": range("b", 9, 22),
	"headers, identity in them, logs": range("c", 23, 26),
	"TLS, identity, CA": range("d", 27, 36),
	exhaustion: range("e", 41, 52),
	"what the control plane exposes": range("f", 53, 57),
};

/** Rows named in the titles of tests, of suites, and of tests that a table makes. */
function namedRows(): ReadonlySet<string> {
	const files = globSync("{packages/*/src,e2e}/**/*.test.ts", { cwd: root, exclude: (name) => name === "node_modules" });
	const titles = files
		.filter((file) => !file.endsWith("rows.test.ts"))
		.flatMap((file) =>
			[...readFileSync(join(root, file), "utf8").matchAll(/\b(?:test|it|describe|suite)\(\s*(["'`])((?:(?!\1).)*)\1/gs)].map((match) => match[2] ?? ""),
		);
	return new Set(titles.flatMap((title) => [...title.matchAll(/sec\/([a-f]\d+)\b/g)].map((match) => match[1] ?? "")));
}

const named = namedRows();
for (const [what, wanted] of Object.entries(rows)) {
	test(`each row has a test: ${what}`, () => {
		assert.deepEqual(
			wanted.filter((row) => !named.has(row)),
			[],
		);
	});
}

test("no test is named by a row that is none", () => {
	const all = new Set([...range("a", 1, 8), ...range("e", 37, 52), ...Object.values(rows).flat()]);
	assert.deepEqual(
		[...named].filter((row) => !all.has(row)),
		[],
	);
});
